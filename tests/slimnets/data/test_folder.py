"""Folders of images: what is read, what is skipped, what is refused."""

import numpy as np
import pytest
from PIL import Image

import tflite
from slimnets import data
from tflite.images import Preprocessing

SMALL = Preprocessing(size=(16, 16), crop_fraction=1.0)


def make_images(folder, count, color):
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (20 + i, 16), color).save(folder / f"{i}.jpg")


@pytest.fixture
def pets(tmp_path):
    make_images(tmp_path / "cat", 10, "red")
    make_images(tmp_path / "dog", 20, "blue")
    return tmp_path


def test_a_flat_folder_is_split_by_class(pets):
    source = data.load(f"folder:{pets}")
    assert source.class_names == ("cat", "dog")
    counts = {name: np.bincount(split.labels).tolist() for name, split in source.splits.items()}
    assert counts == {"train": [8, 16], "val": [2, 4]}
    (pixels, labels), *_ = source.splits["val"].batches(SMALL, 64)
    red = pixels[..., 0].mean(axis=(1, 2)) > 128
    assert (red == (labels == 0)).all()


def test_train_and_val_folders_are_kept_apart(tmp_path):
    for split, count in (("train", 3), ("validation", 2)):
        for name, color in (("a", "red"), ("b", "blue")):
            make_images(tmp_path / split / name, count, color)
    source = data.load(f"folder:{tmp_path}")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 6, "val": 4}


def test_a_corrupt_jpeg_among_good_ones_is_skipped_and_named(pets, caplog):
    bad = pets / "dog" / "3.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    source = data.load(f"folder:{pets}")
    assert source.skipped == (str(bad),)
    assert str(bad) in caplog.text
    assert sum(map(len, source.splits.values())) == 29


def test_more_than_one_percent_of_bad_images_is_too_many(pets):
    for name in ("3.jpg", "4.jpg"):
        (pets / "dog" / name).write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"2 of 30 images.*3\.jpg"):
        data.load(f"folder:{pets}")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("none yet")
    with pytest.raises(ValueError, match="no images in"):
        data.load(f"folder:{tmp_path}")
    with pytest.raises(FileNotFoundError, match="no folder"):
        data.load(f"folder:{tmp_path}/nowhere")


def test_a_single_class_is_refused(tmp_path):
    make_images(tmp_path / "cat", 3, "red")
    with pytest.raises(ValueError, match=r"one class only \(cat\)"):
        data.load(f"folder:{tmp_path}")


def test_an_empty_class_is_refused(pets):
    (pets / "axolotl").mkdir()
    with pytest.raises(ValueError, match="no readable image in class axolotl"):
        data.load(f"folder:{pets}")


def test_classes_that_differ_between_train_and_val_are_refused(tmp_path):
    for part in ("train/a", "train/b", "val/a", "val/c"):
        make_images(tmp_path / part, 2, "red")
    with pytest.raises(ValueError, match="differ: b, c"):
        data.load(f"folder:{tmp_path}")


def test_train_without_val_is_refused(tmp_path):
    make_images(tmp_path / "train" / "a", 2, "red")
    with pytest.raises(ValueError, match="no val/"):
        data.load(f"folder:{tmp_path}")


def test_calibration_takes_training_images_only(tmp_path):
    for part, color in (("train", "white"), ("val", "black"), ("test", "black")):
        for name in ("a", "b"):
            make_images(tmp_path / part / name, 3, color)
    images = data.calibration_images(f"folder:{tmp_path}", SMALL, count=4)
    assert images.shape == (4, 16, 16, 3)
    assert images.min() > 0.9


def test_calibration_takes_an_unsorted_folder_too(tmp_path):
    make_images(tmp_path / "loose", 3, "white")
    assert len(data.calibration_images(str(tmp_path / "loose"), SMALL)) == 3


def test_calibration_skips_a_damaged_picture_and_takes_a_later_one(pets, caplog):
    bad = pets / "cat" / "3.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    assert len(data.calibration_images(str(pets), SMALL, count=100)) == 29
    assert f"cannot read the image {bad}" in caplog.text


def test_calibration_without_a_readable_picture_is_refused(tmp_path):
    (tmp_path / "only.jpg").write_text("no picture")
    with pytest.raises(ValueError, match=r"no image of .*can be read"):
        data.calibration_images(str(tmp_path), SMALL)


def test_calibration_takes_what_a_representative_dataset_takes(pets):
    ours = data.calibration_images(f"folder:{pets}", SMALL, count=9)
    theirs = np.concatenate(list(tflite.representative_dataset(pets, SMALL, count=9)))
    np.testing.assert_array_equal(ours, theirs)
    red = ours[..., 0].mean(axis=(1, 2)) > 0
    assert red.tolist() == [True, False] * 4 + [True]


def test_copies_in_hidden_folders_are_no_images_of_a_class(pets):
    (pets / "cat" / ".ipynb_checkpoints").mkdir()
    for name in ("cat/.ipynb_checkpoints/1-checkpoint.jpg", "cat/._1.jpg"):
        (pets / name).write_bytes((pets / "cat" / "1.jpg").read_bytes())
    (pets / "__MACOSX").mkdir()
    source = data.load(f"folder:{pets}")
    assert source.class_names == ("cat", "dog")
    assert sum(map(len, source.splits.values())) == 30
