"""Named data sources: what is in them, the same every time."""

import gzip

import numpy as np
import pytest

from slimnets import data
from slimnets.data import pipeline
from tflite.images import Preprocessing

SMALL = Preprocessing(size=(32, 32), crop_fraction=1.0)


def write_idx(path, values):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))


@pytest.fixture
def idx_folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        write_idx(
            tmp_path / f"{part}-images-idx3-ubyte.gz",
            rng.integers(0, 256, (count, 28, 28), np.uint8),
        )
        write_idx(
            tmp_path / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8)
        )
    return tmp_path


def test_the_digits_are_all_there_once_and_stratified():
    source = data.load("builtin:digits")
    sizes = {name: len(split) for name, split in source.splits.items()}
    assert sizes == {"train": 1197, "val": 200, "test": 400}
    everything = np.concatenate([split.images for split in source.splits.values()])
    # scikit-learn's own description: 1,797 images, class counts 178 182 177 183 181 …
    from sklearn.datasets import load_digits

    original = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, original))
    for split in source.splits.values():
        share = np.bincount(split.labels, minlength=10) / len(split)
        np.testing.assert_allclose(share, 0.1, atol=0.012)


def test_loading_twice_gives_the_same_splits():
    first, second = data.load("builtin:digits"), data.load("builtin:digits")
    for name in first.splits:
        assert (first.splits[name].images == second.splits[name].images).all()


def test_fashion_mnist_is_read_from_a_folder_of_idx_files(idx_folder):
    source = data.load(f"fashion_mnist:{idx_folder}")
    assert {name: len(split) for name, split in source.splits.items()} == {
        "train": 36,
        "val": 4,
        "test": 20,
    }
    assert source.class_names[9] == "Ankle_boot"
    (pixels, labels), *_ = source.splits["test"].batches(SMALL, 16)
    assert pixels.shape == (16, 32, 32, 3)
    assert labels.tolist() == (np.arange(16) % 10).tolist()


def test_debians_folder_is_used_when_it_is_there(idx_folder, monkeypatch):
    from slimnets.data import arrays

    monkeypatch.setattr(arrays, "DEBIAN_FASHION_MNIST", idx_folder)
    assert data.load("fashion_mnist").name == f"fashion_mnist:{idx_folder}"


def test_a_cut_idx_file_is_named(idx_folder):
    path = idx_folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    with pytest.raises(ValueError, match=r"t10k-images.*cut short"):
        data.load(f"fashion_mnist:{idx_folder}")
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="cannot read"):
        data.load(f"fashion_mnist:{idx_folder}")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        data.load(f"fashion_mnist:{idx_folder}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digits", "Did you mean 'builtin:digits'"),
        ("cifar10:/tmp", "cifar10 takes no folder"),
    ],
)
def test_unknown_sources_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        data.load(source)


def test_every_prefix_of_the_stratified_order_is_stratified():
    labels = np.repeat([0, 1, 2], [10, 20, 70])
    order = data.stratified_order(labels, seed=3)
    assert sorted(order) == list(range(100))
    for cut in (10, 20, 50):
        counts = np.bincount(labels[order[:cut]], minlength=3)
        np.testing.assert_allclose(counts, np.array([0.1, 0.2, 0.7]) * cut, atol=1)
    assert (order != data.stratified_order(labels, seed=4)).any()


def test_an_unknown_split_is_refused_and_all_joins_them():
    source = data.load("builtin:digits")
    with pytest.raises(ValueError, match="train, val, test"):
        source.split("dev")
    assert source.split()[0] == "test"
    assert len(source.split("all")[1]) == 1797


def test_calibration_takes_digits_of_the_training_split_in_turns():
    train = data.load("builtin:digits").splits["train"]
    label_of = {
        image.tobytes(): label for image, label in zip(train.images, train.labels, strict=True)
    }
    whole = Preprocessing(size=(8, 8), crop_fraction=1.0)
    images = data.calibration_images("builtin:digits", whole, count=30)
    pixels = np.rint((images[..., 0] + 1) * 127.5).astype(np.uint8)
    labels = [label_of[image.tobytes()] for image in pixels]
    assert np.bincount(labels).tolist() == [3] * 10
    assert len({image.tobytes() for image in pixels}) == 30


def test_a_grey_network_is_given_grey_batches():
    grey = Preprocessing(size=(16, 16), crop_fraction=1.0, mean=(0.0,), std=(1.0,))
    split = data.load("builtin:digits").splits["val"]
    (pixels, _), *_ = split.batches(grey, 5)
    assert pixels.shape == (5, 16, 16, 1)
    for flip, shift in ((False, 0), (True, 2)):
        batches = pipeline.training_dataset(
            split, grey, num_classes=10, batch_size=8, seed=0, flip=flip, shift=shift
        )
        images, _ = next(iter(batches))
        assert images.shape == (8, 16, 16, 1)
