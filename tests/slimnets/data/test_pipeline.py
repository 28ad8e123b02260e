"""What a training sees: random parts, changed, mixed, balanced; again with the same seed."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from slimnets import data
from slimnets.data import augmentation, mixing, pipeline
from slimnets.data.splits import Source, Split
from slimnets.training.config import check_config
from slimnets.training.data_sets import class_weights
from tflite.image_files import EncodedImage
from tflite.images import Preprocessing

SMALL = Preprocessing(size=(24, 24), crop_fraction=1.0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A smooth ramp, red across and green down, in many kinds of files: where a part comes from
    can be read off its colours."""
    root = tmp_path_factory.mktemp("ramps")
    down, across = np.meshgrid(np.linspace(0, 255, 160), np.linspace(0, 255, 200), indexing="ij")
    ramp = np.stack([across, down, np.full_like(down, 99)], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        (root / name).mkdir()
        for i in range(6):
            Image.fromarray(ramp).save(root / name / f"{i}.jpg", quality=95)
        Image.fromarray(ramp).save(root / name / "p.png")
        turned = Image.fromarray(np.rot90(ramp))
        turned.save(root / name / "turned.jpg", quality=95, exif=exif.tobytes())
    return data.load(f"folder:{root}").splits["train"]


def batch_of(split, preprocessing=SMALL, **options):
    options = {"batch_size": len(split), "seed": 0, **options}
    batches = pipeline.training_dataset(split, preprocessing, num_classes=2, **options)
    images, *rest = next(iter(batches))
    return np.rint((images.numpy() + 1) * 127.5), *(part.numpy() for part in rest)


def test_evaluation_has_the_pixels_of_the_preprocessing_to_the_bit(photos, monkeypatch):
    usual = Preprocessing(size=(24, 32))
    expected = usual([str(path) for path in photos.images])
    for memory in (1 << 30, 0):
        monkeypatch.setattr("slimnets.data.splits._MEMORY_LIMIT_BYTES", memory)
        found = pipeline.evaluation_dataset(photos, usual, num_classes=2, batch_size=5)
        images = np.concatenate([batch.numpy() for batch, _ in found])
        np.testing.assert_array_equal(images, expected)


def test_random_parts_are_of_the_area_and_ratio_that_were_asked_for(photos):
    parts = np.concatenate(
        [
            batch_of(photos, crop_area=(0.3, 0.5), crop_ratio=(0.8, 1.25), seed=n)[0]
            for n in range(9)
        ]
    )
    # A ramp's slope over the part says how wide and high it is; one pixel more than is spanned.
    wide = (parts[:, 12, -1, 0] - parts[:, 12, 0, 0]) / 255 * 24 / 23
    high = (parts[:, -1, 12, 1] - parts[:, 0, 12, 1]) / 255 * 24 / 23
    upright = wide > 0  # those stored on their side, turned a quarter, ramp otherwise
    assert upright.sum() > 0.8 * len(parts)
    areas, ratios = (wide * high)[upright], (wide * 200 / (high * 160))[upright]
    assert 0.27 < areas.min() < 0.34 < 0.46 < areas.max() < 0.53
    assert 0.75 < ratios.min() < 0.9 < 1.1 < ratios.max() < 1.33
    assert np.ptp(parts[:, 0, 0, 0]) > 60  # they come from everywhere


def test_a_fused_decoding_and_a_plain_one_give_the_same_part(photos, monkeypatch):
    options = {"crop_area": (0.4, 0.9), "seed": 3}
    fused, _ = batch_of(photos, **options)
    looks = photos.looks.copy()
    assert looks["plain"].sum() >= 8
    looks["plain"] = False
    plain, _ = batch_of(Split(photos.images, photos.labels, looks), **options)
    # Not the same kernel, and in steps of a quarter of the size; but within a pixel (of about 9).
    np.testing.assert_allclose(fused, plain, atol=12)
    assert np.abs(fused - plain).mean() < 3


def test_arrays_and_grey_networks_are_cut_too():
    split = data.load("builtin:digits").splits["val"]
    grey = SMALL.for_channels(1)
    images = pipeline.training_dataset(
        split, grey, num_classes=10, batch_size=50, seed=0, crop_area=(0.3, 1.0),
        color=0.4, rand_augment=(2, 9),
    )  # fmt: skip
    assert next(iter(images))[0].shape == (50, 24, 24, 1)


EVERYTHING = {
    "flip": True,
    "shift": 2,
    "crop_area": (0.2, 1.0),
    "color": 0.4,
    "rand_augment": (2, 9),
    "mixup": 0.2,
    "cutmix": 1.0,
    "balanced": True,
    "batch_size": 4,
}


def test_everything_at_once_repeats_with_the_seed_and_differs_by_epoch(photos):
    def epochs(seed):
        batches = pipeline.training_dataset(photos, SMALL, num_classes=2, **EVERYTHING, seed=seed)
        assert int(batches.cardinality()) == len(photos) // 4
        return [np.concatenate([x.numpy() for x, _ in batches]) for _ in range(2)]

    first, second = epochs(0)
    again = epochs(0)
    assert (first == again[0]).all()
    assert (second == again[1]).all()
    assert (first != second).any()
    assert (first != epochs(1)[0]).any()


def test_a_pass_that_was_begun_counts_whether_or_not_it_was_read(photos):
    """`training.loop` goes on after a kill by beginning the passes that were made before."""

    def third(read):
        batches = pipeline.training_dataset(photos, SMALL, num_classes=2, **EVERYTHING, seed=0)
        for _ in range(2):
            iterator = iter(batches)
            if read:
                next(iterator)
        images, _ = next(iter(batches))
        return images.numpy()

    np.testing.assert_array_equal(third(read=True), third(read=False))


def test_a_jpeg_inside_a_file_of_many_gives_the_same_parts(photos, tmp_path):
    whole, places = b"", []
    for path in photos.images:
        content = Path(path).read_bytes()
        places.append(EncodedImage(str(tmp_path / "many"), len(whole), len(content), path))
        whole += content
    (tmp_path / "many").write_bytes(whole)
    inside = Split(tuple(places), photos.labels, photos.looks)
    for options in ({"crop_area": (0.4, 0.9)}, {}):
        np.testing.assert_array_equal(
            batch_of(inside, **options)[0], batch_of(photos, **options)[0]
        )


# --- Changes of single images --------------------------------------------------------------------


@pytest.fixture(scope="module")
def astronaut():
    from skimage.data import astronaut

    return Image.fromarray(astronaut()).resize((48, 40))


def test_the_operations_are_pillows_at_the_strengths_of_torchvision(astronaut):
    full = {
        name: np.asarray(op(astronaut, 1.0), int) for name, op in augmentation.OPERATIONS.items()
    }
    pixels = np.asarray(astronaut, int)
    assert len(full) == 14
    np.testing.assert_array_equal(full["identity"], pixels)
    np.testing.assert_array_equal(full["posterize"], pixels & 0xF0)  # 4 bits are left
    np.testing.assert_array_equal(full["solarize"], 255 - pixels)
    np.testing.assert_array_equal(full["equalize"], np.asarray(ImageOps.equalize(astronaut)))
    shifted = round(150 / 331 * 48)
    np.testing.assert_allclose(full["translate_x"][:, :-22], pixels[:, shifted:], atol=60)
    assert (full["translate_x"][:, -20:] == 128).all()
    assert full["brightness"].mean() > 1.3 * pixels.mean()
    for name, op in augmentation.OPERATIONS.items():
        if name not in ("autocontrast", "equalize"):
            np.testing.assert_allclose(np.asarray(op(astronaut, 0.0), int), pixels, atol=1)


def test_jitter_of_strength_0_changes_nothing_and_more_changes_colours(astronaut):
    rng = np.random.default_rng(0)
    plain, changed = (augmentation.jitter(astronaut, s, rng) for s in (0.0, 0.4))
    np.testing.assert_allclose(np.asarray(plain, int), np.asarray(astronaut, int), atol=2)
    assert np.abs(np.asarray(changed, int) - np.asarray(astronaut)).mean() > 5


# --- Mixed images --------------------------------------------------------------------------------


def one_colour_each(count):
    """Image n is all n / count; its label is one-hot n."""
    values = np.arange(count, dtype=np.float32) / count
    return np.tile(values[:, None, None, None], (1, 16, 16, 3)), np.eye(count, dtype=np.float32)


def test_mixup_is_that_of_keras_with_the_same_shares():
    images, labels = one_colour_each(8)
    mixed, soft = mixing.mix(images, labels, tf.constant([1, 2], tf.int64), 0.4, 0.0)
    share = np.diag(soft)
    layer = keras.layers.MixUp()
    drawn = {"mix_weight": share, "permutation_order": np.roll(np.arange(8), 1)}
    np.testing.assert_allclose(mixed, layer.transform_images(images, drawn), atol=1e-6)
    np.testing.assert_allclose(soft, layer.transform_labels(labels, drawn), atol=1e-6)
    assert len(set(share.round(4))) == 8  # each image has its own


def test_cutmix_labels_are_the_shares_of_pixels():
    images, labels = one_colour_each(64)
    mixed, soft = mixing.mix(images, labels, tf.constant([5, 6], tf.int64), 0.0, 1.0)
    own = (mixed.numpy() == images).all(axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(np.diag(soft), own, atol=1e-6)
    np.testing.assert_allclose(soft.numpy().sum(axis=1), 1, atol=1e-6)
    for image, before in zip(mixed.numpy()[..., 0], images[..., 0], strict=True):
        rows, columns = np.nonzero(image != before)
        if len(rows):  # one full rectangle
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    # Beta(1, 1) is even: half of the pixels on the average, a little more where edges cut off.
    assert 0.5 < own.mean() < 0.75


def test_both_kinds_take_turns_at_random():
    images, labels = one_colour_each(8)
    pasted = []
    for n in range(40):
        mixed, _ = mixing.mix(images, labels, tf.constant([n, 7], tf.int64), 1.0, 1.0)
        pasted.append(bool(np.isin(mixed.numpy().round(5), images.round(5)).all()))
    assert 10 < sum(pasted) < 30


# --- Classes that count --------------------------------------------------------------------------


def uneven():
    labels = np.array([0] * 90 + [1] * 9 + [2])
    images = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None], (100, 4, 4))
    return Split(images, labels)


def test_balanced_sampling_draws_all_classes_alike_and_no_image_twice_before_all_once():
    batches = pipeline.training_dataset(
        uneven(), Preprocessing(size=(4, 4), crop_fraction=1.0), num_classes=3, batch_size=100,
        seed=0, balanced=True,
    )  # fmt: skip
    first, second = (next(iter(batches)) for _ in range(2))
    for _, labels in (first, second):
        assert sorted(labels.numpy().sum(axis=0)) == [33, 33, 34]
    drawn = [
        np.rint((images.numpy()[:, 0, 0, 0] + 1) * 127.5).astype(int)
        for images, _ in (first, second)
    ]
    frequent = drawn[0][drawn[0] < 90]
    assert len(set(frequent)) == len(frequent)
    rare = np.bincount(drawn[0][(drawn[0] >= 90) & (drawn[0] < 99)])[90:]
    assert set(rare) <= {3, 4}
    assert (drawn[0] != drawn[1]).any()


def source():
    return Source("x", ("cat", "dog", "hen"), {"train": uneven()})


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    expected = compute_class_weight("balanced", classes=np.arange(3), y=uneven().labels)
    found = class_weights(check_config({"data": {"balance": "weights"}}), source())
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert class_weights(check_config({}), source()) is None


def test_a_weight_by_name_goes_to_its_class_and_an_unknown_name_is_refused():
    config = check_config({"data": {"class_weights": {"dog": 4.0}}})
    weights = class_weights(config, source())
    np.testing.assert_allclose(weights / weights[0], [1, 4, 1], rtol=1e-6)
    np.testing.assert_allclose(weights[uneven().labels].mean(), 1, rtol=1e-6)
    with pytest.raises(ValueError, match=r"names 'dogs', which is no class.*Did you mean 'dog'"):
        class_weights(check_config({"data": {"class_weights": {"dogs": 2}}}), source())


def test_what_an_image_counts_follows_its_mixed_label():
    weights = [1.0, 3.0, 9.0]
    batches = pipeline.training_dataset(
        uneven(), Preprocessing(size=(4, 4), crop_fraction=1.0), num_classes=3, batch_size=100,
        seed=0, mixup=1.0, class_weights=weights,
    )  # fmt: skip
    _, labels, counts = next(iter(batches))
    np.testing.assert_allclose(counts, labels.numpy() @ weights, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop_area": (0.5, 2)}, r"config\.data\.crop_area must be two shares"),
        ({"crop_area": (0.5, 0.2)}, "the least first"),
        ({"crop_ratio": 1}, "width over height"),
        ({"rand_augment": (2, 31)}, r"magnitude in 0\.\.30"),
        ({"color": 2}, r"config\.data\.color must be in \[0, 1\]"),
        ({"mixup": -1}, r"config\.data\.mixup must be 0 or more"),
        ({"balance": "balanced"}, "none, weights, sampling"),
        ({"class_weights": {"cat": 0}}, "a number above 0"),
        ({"class_weights": {"cat": 2}, "balance": "weights"}, "both say what classes count"),
    ],
)
def test_wrong_changes_are_refused_with_what_is_allowed(change, message):
    with pytest.raises(ValueError, match=message):
        check_config({"data": change})


def test_changes_that_know_no_opacity_are_refused_with_four_channels():
    with pytest.raises(ValueError, match="know no opacity"):
        check_config({"data": {"color": 0.4}, "model": {"channels": 4}})
