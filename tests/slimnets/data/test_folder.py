"""Folders of images: what is read, what is skipped, what is refused."""

import unicodedata

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


def make_splits(root, *names, count=4):
    for number, name in enumerate(names):
        make_images(root / name / "cat", count, (200, 10 * number, 0))
        make_images(root / name / "dog", count, (0, 10 * number, 200))


def sizes(root):
    return {name: len(split) for name, split in data.load(f"folder:{root}").splits.items()}


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "Val", "Test"),
        ("TRAINING", "Validation", "Testing"),
        ("seg_train", "seg_val", "seg_test"),
        ("train_set", "valid-images", "test_set"),
    ],
)
def test_splits_go_by_many_names_in_any_case(tmp_path, names):
    make_splits(tmp_path, *names)
    assert data.load(f"folder:{tmp_path}").class_names == ("cat", "dog")
    assert sizes(tmp_path) == {"train": 8, "val": 8, "test": 8}


def test_without_a_val_folder_a_fifth_of_the_training_images_is_held_out(tmp_path):
    make_splits(tmp_path, "Training", "Testing", count=10)
    assert sizes(tmp_path) == {"train": 16, "val": 4, "test": 20}


def test_a_split_may_be_unpacked_into_a_folder_of_its_own_name(tmp_path):
    make_splits(tmp_path / "seg_train", "seg_train")
    make_splits(tmp_path / "seg_test", "seg_test")
    assert sizes(tmp_path) == {"train": 6, "val": 2, "test": 8}


def test_a_class_may_be_called_train(tmp_path):
    for name in ("boat", "car", "train"):
        make_images(tmp_path / name, 5, "red")
    assert data.load(f"folder:{tmp_path}").class_names == ("boat", "car", "train")


def test_a_folder_that_may_be_a_split_or_a_class_is_asked_about(tmp_path):
    make_splits(tmp_path, "train")
    make_images(tmp_path / "boat", 3, "red")
    with pytest.raises(ValueError, match=r"not clear whether train/.* a class beside boat/"):
        data.load(f"folder:{tmp_path}")


def test_two_folders_for_one_split_are_asked_about(tmp_path):
    make_splits(tmp_path, "train", "Training", "val")
    with pytest.raises(ValueError, match=r"both .*train/.* may be the train split"):
        data.load(f"folder:{tmp_path}")


def test_splits_without_classes_are_no_classes(tmp_path):
    make_images(tmp_path / "Train", 4, "red")
    make_images(tmp_path / "Test", 4, "blue")
    with pytest.raises(ValueError, match="sub-folders named as their classes"):
        data.load(f"folder:{tmp_path}")


def test_an_unlabelled_test_folder_is_left_out_and_named(tmp_path, caplog):
    make_splits(tmp_path, "train", "val")
    make_images(tmp_path / "test", 4, "red")
    assert sizes(tmp_path) == {"train": 8, "val": 8}
    assert f"{tmp_path / 'test'} holds images without class sub-folders" in caplog.text


def test_pictures_beside_the_classes_are_left_out_and_counted(pets, caplog):
    Image.new("RGB", (16, 16)).save(pets / "of_no_class.png")
    assert sum(sizes(pets).values()) == 30
    assert "1 pictures beside the classes" in caplog.text


def test_a_class_is_the_same_however_its_accent_is_written(tmp_path):
    for split, form in (("train", "NFC"), ("val", "NFD")):
        for name, color in (("Ñandú", "red"), ("Otter", "blue")):
            make_images(tmp_path / split / unicodedata.normalize(form, name), 2, color)
    source = data.load(f"folder:{tmp_path}")
    assert source.class_names == ("Otter", "Ñandú")
    for split in source.splits.values():
        ((pixels, labels),) = split.batches(SMALL, 64)
        assert ((pixels[..., 0].mean(axis=(1, 2)) > 128) == labels).all()


def test_a_class_of_two_pictures_among_many_is_in_both_splits(tmp_path):
    make_images(tmp_path / "common", 60, "red")
    make_images(tmp_path / "rare", 2, "blue")
    splits = data.load(f"folder:{tmp_path}").splits
    assert {name: np.bincount(split.labels)[1] for name, split in splits.items()} == {
        "train": 1,
        "val": 1,
    }


def test_classes_may_be_links_and_a_link_to_a_folder_above_is_none(pets):
    for split in ("train", "val"):
        (pets / "linked" / split).mkdir(parents=True)
        for name in ("cat", "dog"):
            (pets / "linked" / split / name).symlink_to(pets / name)
    (pets / "cat" / "all").symlink_to(pets)
    counts = {"train": 30, "val": 30}
    assert sizes(pets / "linked") == counts
    assert len(data.calibration_images(f"folder:{pets / 'linked' / 'val'}", SMALL)) == 30
