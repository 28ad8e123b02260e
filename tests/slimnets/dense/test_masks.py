"""Masks as PNG: read as they are, and what does not fit is named."""

import numpy as np
import pytest
from PIL import Image

from slimnets.dense.masks import read_mask, read_masks


@pytest.fixture
def folder(tmp_path):
    """Two pictures of 4×6 pixels (height, width); one all background, one half a cat."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for stem in ("a", "b"):
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / f"{stem}.jpg")
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
    Image.new("RGB", (6, 4)).save(folder / "masks" / "a.png")


def another_size(folder):
    Image.new("L", (4, 6)).save(folder / "masks" / "a.png")


def a_class_too_many(folder):
    Image.new("L", (6, 4), 2).save(folder / "masks" / "a.png")


def no_picture(folder):
    (folder / "images" / "b.jpg").unlink()


def background_twice(folder):
    (folder / "classes.txt").write_text("background\ncat\n__background__\n")


def background_left_out(folder):
    (folder / "classes.txt").write_text("cat\n")


def no_masks(folder):
    (folder / "masks").rename(folder / "labels")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (colours, r"a\.png is a picture of mode RGB"),
        (another_size, r"a\.png is of 6×4 pixels, its picture of 4×6"),
        (a_class_too_many, r"a\.png has class 2, and 2 are named, 0 to 1"),
        (no_picture, r"b\.png: there is no picture b\.jpg"),
        (background_twice, r"the background in line 3 again"),
        (background_left_out, r"class 1, and 1 are named.*the background, too"),
        (no_masks, r"no folder masks/ or SegmentationClass/"),
    ],
)
def test_what_does_not_fit_is_named(folder, spoil, message):
    spoil(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_masks(folder)
