"""Masks as PNG: read as they are, and what does not fit is named."""

import numpy as np
import pytest
from PIL import Image

from slimnets import data
from slimnets.dense.masks import read_mask, read_masks


@pytest.fixture
def folder(tmp_path):
    """Two pictures of 4×6 pixels (height, width); one all background, one half a cat."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for stem in ("a", "b"):
        Image.new("RGB", (6, 4), (250, 50, 83)).save(tmp_path / "images" / f"{stem}.jpg")
    half = np.zeros((4, 6), np.uint8)
    half[:, :3] = 1
    half[0, 5] = 255
    palette = Image.fromarray(half, "P")
    palette.putpalette([value for value in range(256) for _ in range(3)])
    palette.save(tmp_path / "masks" / "a.png")
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "masks" / "b.png")
    (tmp_path / "classes.txt").write_text("background\ncat\n")
    return tmp_path


def test_a_palette_is_no_colour_but_numbers(folder):
    found = read_masks(folder)
    assert found.class_names == ("background", "cat")
    mask = read_mask(found.masks[0])
    assert mask.tolist()[1] == [1, 1, 1, 0, 0, 0]
    assert mask[0, 5] == 255


def test_without_a_list_classes_are_called_by_their_numbers(folder):
    (folder / "classes.txt").unlink()
    assert read_masks(folder).class_names == ("background", "1")


def colours(folder):
    Image.new("RGB", (6, 4), (250, 50, 83)).save(folder / "masks" / "a.png")


def another_size(folder):
    Image.new("L", (4, 6)).save(folder / "masks" / "a.png")


def a_class_too_many(folder):
    Image.new("L", (6, 4), 2).save(folder / "masks" / "a.png")


def greys_for_numbers(folder):
    (folder / "classes.txt").unlink()
    Image.new("L", (6, 4), 128).save(folder / "masks" / "a.png")


def no_picture(folder):
    (folder / "images" / "b.jpg").unlink()


def background_twice(folder):
    (folder / "classes.txt").write_text("background\ncat\n__background__\n")


def background_left_out(folder):
    (folder / "classes.txt").write_text("cat\n")


def no_masks(folder):
    (folder / "masks").rename(folder / "answers")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (colours, r"a\.png is a picture of mode RGB"),
        (another_size, r"a\.png is of 6×4 pixels, its picture of 4×6"),
        (a_class_too_many, r"a\.png has class 2, and 2 are named, 0 to 1"),
        (greys_for_numbers, r"hold the classes 0, 128 and no others up to 128: number them 1, 2"),
        (no_picture, r"b\.png: there is no picture b\.jpg"),
        (background_twice, r"the background in line 3 again"),
        (background_left_out, r"class 1, and 1 are named.*the background, too"),
        (no_masks, r"no folder masks/ beside images/.*SegmentationClass/"),
    ],
)
def test_what_does_not_fit_is_named(folder, spoil, message):
    spoil(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_masks(folder)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
def test_numbers_may_be_written_as_greys_of_any_mode(folder, mode):
    numbers = np.zeros((4, 6), np.uint8)
    numbers[1, :3] = 1
    grey = Image.fromarray(numbers.astype(np.uint16) if mode == "I;16" else numbers)
    (grey if mode == "I;16" else grey.convert(mode)).save(folder / "masks" / "a.png")
    np.testing.assert_array_equal(read_mask(read_masks(folder).masks[0]), numbers)


def cvat(folder, colours="cat:250,50,83::\nbackground:0,0,0::\n"):
    """CVAT's "Segmentation mask 1.1"."""
    (folder / "classes.txt").unlink()
    (folder / "images").rename(folder / "JPEGImages")
    (folder / "masks").rename(folder / "SegmentationClass")
    (folder / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{colours}")
    for file in (folder / "SegmentationClass").iterdir():
        picture = Image.new("RGB", (6, 4))
        picture.putpixel((2, 1), (250, 50, 83))
        picture.save(file)
    return folder


def test_cvats_colours_are_the_classes_of_its_list_the_background_first(folder):
    found = read_masks(cvat(folder))
    assert found.class_names == ("background", "cat")
    mask = read_mask(found.masks[0])
    assert (mask[1, 2], mask.sum()) == (1, 1)


def test_a_colour_that_cvats_list_lacks_is_told(folder):
    with pytest.raises(ValueError, match=r"a\.png has the colour 250,50,83, which .*labelmap\.txt"):
        read_masks(cvat(folder, "background:0,0,0::\ncat:1,2,3::\n"))


def test_splits_may_be_inside_of_images_and_masks(tmp_path):
    for split, stem in (("train", "a"), ("train", "b"), ("val", "c")):
        for place in ("images", "annotations"):
            (tmp_path / place / split).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / split / f"{stem}.jpg")
        Image.new("L", (6, 4), 1).save(tmp_path / "annotations" / split / f"{stem}.png")
    parts = data.load(f"masks:{tmp_path}").splits
    assert {name: len(part) for name, part in parts.items()} == {"train": 2, "val": 1}
