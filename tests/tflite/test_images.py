"""How an image becomes a tensor, whatever comes: channels and shapes."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import slimnets
from tflite import images
from tflite.images import ImageInput, Preprocessing

GREY = Preprocessing(size=(4, 6), crop_fraction=1.0, mean=(0.0,), std=(1.0,))
RGB = Preprocessing(size=(4, 6), crop_fraction=1.0)
RGBA = Preprocessing(size=(4, 6), crop_fraction=1.0, mean=(0.0,) * 4, std=(1.0,) * 4)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def test_slimnets_has_no_preprocessing_of_its_own():
    assert slimnets.Preprocessing is Preprocessing


# --- Channels ------------------------------------------------------------------------------------


def test_a_grey_network_is_given_the_brightness_that_television_takes(noise):
    flat = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    # ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.
    assert GREY.pixels(flat).tolist() == np.full((4, 6, 1), 124).tolist()
    assert GREY(noise[..., 0]).shape == (4, 6, 1)
    assert GREY([noise, noise[..., :1]]).shape == (2, 4, 6, 1)


def test_a_network_of_four_channels_is_given_opacity():
    clear = Image.new("RGBA", (6, 4), (255, 0, 0, 51))
    assert RGBA.pixels(clear)[0, 0].tolist() == [255, 0, 0, 51]
    assert RGBA.pixels(Image.new("RGB", (6, 4), "blue"))[0, 0].tolist() == [0, 0, 255, 255]
    assert RGBA.pixels(Image.new("CMYK", (6, 4), (0, 255, 255, 0)))[0, 0].tolist()[3] == 255
    assert RGBA(np.zeros((2, 9, 9, 4), np.uint8)).shape == (2, 4, 6, 4)


def test_one_number_for_all_channels_is_that_of_any_other_count():
    assert RGB.for_channels(1) == GREY
    assert RGB.for_channels(4) == RGBA
    assert RGB.for_channels(3) is RGB


def test_grey_takes_the_average_of_imagenets_mean_and_std():
    grey = slimnets.preprocessing("squeezenet1_1").for_channels(1)
    # 0.449 and 0.226: what one-channel networks are commonly given for ImageNet.
    assert grey.mean == pytest.approx((0.449,), abs=5e-4)
    assert grey.std == pytest.approx((0.226,), abs=5e-4)
    with pytest.raises(ValueError, match="cannot be those of 4: say them with"):
        slimnets.preprocessing("squeezenet1_1").for_channels(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": (0.0, 0.0), "std": (1.0, 1.0)}, "one for grey, four with opacity.*0.0, 0.0"),
        ({"mean": (0.0,)}, "a number for each channel"),
        ({"mean": 0.5}, "mean=0.5"),
        ({"std": (1.0, 1.0, float("nan"))}, "nan"),
        ({"mean": ("a", "b", "c")}, "'a'"),
        ({"size": 224}, "size must be two positive integers.*224"),
        ({"crop_fraction": "all"}, "'all'"),
        ({"value_range": (1.0, 1.0)}, "two different numbers"),
        ({"value_range": 255}, "value_range.*255"),
        ({"interpolation": ["bilinear"]}, "interpolation must be one of"),
    ],
)
def test_fields_of_a_wrong_kind_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**change)


def test_a_file_may_tell_of_channels_that_no_picture_has(noise):
    told = ImageInput((4, 6), mean=(0.0,) * 2, std=(1.0,) * 2)
    assert told.range == (0, 255)
    with pytest.raises(ValueError, match=r"takes 2: prepare them yourself and pass preprocessed="):
        told(noise)


def test_a_file_in_pixels_prepares_as_the_preprocessing_that_it_was_made_from(noise):
    ours = Preprocessing(size=(8, 8), mean=(0.5,) * 3, std=(0.25,) * 3, value_range=(0.0, 1.0))
    told = ImageInput((8, 8), 0.875, mean=(127.5,) * 3, std=(63.75,) * 3)
    assert ours.range == told.range == (-2, 2)
    np.testing.assert_allclose(told(noise), ours(noise), atol=1e-6)
    inside = dataclasses.replace(told, in_graph=True)
    np.testing.assert_array_equal(inside.of_file(noise), ours.pixels(noise))
    np.testing.assert_allclose(inside.to_file(ours(noise)), ours.pixels(noise), atol=1e-4)


# --- Threads of pictures -------------------------------------------------------------------------


@pytest.mark.parametrize("keep_aspect_ratio", [True, False])
@pytest.mark.parametrize("shape", [(60_000, 1), (1, 60_000), (2_000_000, 3)])
def test_a_thread_of_a_picture_takes_no_more_memory_than_others(shape, keep_aspect_ratio):
    how = Preprocessing(keep_aspect_ratio=keep_aspect_ratio)
    height, width = shape
    thread = np.zeros((*shape, 3), np.uint8)
    thread[height // 4 : height - height // 4, width // 4 : width - width // 4] = 255
    seen = how.pixels(thread)
    assert seen.shape == (224, 224, 3)
    assert seen[112, 112].tolist() == [255] * 3
    if keep_aspect_ratio:
        assert seen.min() == 255  # its middle, whose ends are far away


def test_a_resize_never_makes_more_than_a_few_megapixels(monkeypatch):
    made = []
    resize = Image.Image.resize

    def watched(self, size, *args, **kwargs):
        # Pillow scales the width first: that is what lies between.
        made.append(max(size[0] * size[1], size[0] * self.height))
        return resize(self, size, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", watched)
    for keep in (True, False):
        for shape in ((1, 60_000), (60_000, 1), (600_000, 2)):
            Preprocessing(keep_aspect_ratio=keep).pixels(np.zeros(shape, np.uint8))
    assert max(made) < 4e6


@pytest.mark.parametrize("keep_aspect_ratio", [True, False])
def test_cutting_the_ends_off_first_changes_nothing_that_is_seen(monkeypatch, keep_aspect_ratio):
    how = Preprocessing(size=(16, 16), keep_aspect_ratio=keep_aspect_ratio)
    long = np.random.default_rng(1).integers(0, 256, (1200, 8, 3), np.uint8)
    cut = how.pixels(long).astype(int)
    monkeypatch.setattr(images, "_MANY_TIMES", 10**6)
    assert np.abs(cut - how.pixels(long)).max() <= 1
