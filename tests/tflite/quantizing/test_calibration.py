"""`representative_dataset`: which images, in which order, and what is said about bad ones."""

import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import tflite
from tflite.quantizing import calibration


class Scaled:
    """A preprocessing as slimnets has it: image to float32 (8, 8, 3) in [-1, 1]."""

    def __call__(self, image):
        if isinstance(image, Image.Image):
            image = np.asarray(image.convert("RGB").resize((8, 8)))
        return np.resize(image, (8, 8, 3)).astype(np.float32) / 127.5 - 1


def write_image(path, value):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name, first, count in (("cat", 0, 20), ("dog", 100, 5), ("emu", 200, 5)):
        for i in range(count):
            write_image(tmp_path / name / f"{i}.png", first + i)
    return tmp_path


def grey_levels(dataset) -> list[int]:
    return [round((float(batch.mean()) + 1) * 127.5) for batch in dataset]


def test_classes_take_turns(folder):
    levels = grey_levels(tflite.representative_dataset(folder, Scaled(), count=12))
    assert Counter(level // 100 for level in levels) == {0: 4, 1: 4, 2: 4}
    assert len(set(levels)) == 12


def test_a_small_class_does_not_stop_the_others(folder):
    levels = grey_levels(tflite.representative_dataset(folder, Scaled(), count=100))
    assert Counter(level // 100 for level in levels) == {0: 20, 1: 5, 2: 5}


def test_the_same_seed_gives_the_same_images_again_and_again(folder):
    dataset = tflite.representative_dataset(folder, Scaled(), count=9, seed=3)
    first = grey_levels(dataset)
    assert grey_levels(dataset) == first
    assert grey_levels(tflite.representative_dataset(folder, Scaled(), count=9, seed=3)) == first
    assert grey_levels(tflite.representative_dataset(folder, Scaled(), count=9, seed=4)) != first


def test_a_flat_folder(tmp_path):
    for i in range(5):
        write_image(tmp_path / f"{i}.jpg", 50 * i)
    batches = list(tflite.representative_dataset(tmp_path, Scaled(), count=3))
    assert [(batch.shape, batch.dtype) for batch in batches] == [((1, 8, 8, 3), np.float32)] * 3


def test_corrupt_files_are_skipped_named_and_replaced(folder, caplog):
    for broken in ("cat/1.png", "dog/1.png"):
        (folder / broken).write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (folder / "emu" / "2.png").write_bytes((folder / "emu" / "2.png").read_bytes()[:45])
    dataset = tflite.representative_dataset(folder, Scaled(), count=100)
    assert len(list(dataset)) == 27
    assert len(list(dataset)) == 27
    for name in ("cat/1.png", "dog/1.png", "emu/2.png"):
        assert sum(name in line for line in dataset.skipped) == 1
        assert (
            caplog.text.count(f"calibration skips a file: cannot read the image {folder / name}")
            == 1
        )


def test_pixels_are_preprocessed_and_floating_numbers_are_not():
    pixels = np.full((3, 8, 8, 3), 255, np.uint8)
    (first, *_) = tflite.representative_dataset(pixels, Scaled())
    assert (first == 1.0).all()
    (first, *_) = tflite.representative_dataset(pixels.astype(np.float32) / 510, None)
    assert (first == 0.5).all()


def test_built_in_digits_use_the_full_range_of_bytes():
    batches = list(tflite.representative_dataset("builtin:digits", Scaled(), count=50))
    assert len(batches) == 50
    assert min(b.min() for b in batches) == -1
    assert max(b.max() for b in batches) == 1


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_tf_data_gives_its_first_images(batched, labelled):
    import tensorflow as tf

    pixels = np.arange(30, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices((pixels, range(30)) if labelled else pixels)
    dataset = dataset.batch(4) if batched else dataset
    assert grey_levels(tflite.representative_dataset(dataset, Scaled(), count=6)) == [*range(6)]


@pytest.mark.parametrize(
    ("source", "preprocessing", "count", "error", "message"),
    [
        ("/nowhere/at/all", Scaled(), 5, FileNotFoundError, "does not exist"),
        ("builtin:cats", Scaled(), 5, ValueError, "builtin:digits; got 'builtin:cats'"),
        (np.zeros((8, 8, 3), np.uint8), Scaled(), 5, ValueError, r"\(N, height, width, channels"),
        (np.full((1, 8, 8, 3), 300), Scaled(), 5, ValueError, r"0\.\.255, got 300"),
        (3, Scaled(), 5, TypeError, "got int"),
        (np.zeros((2, 8, 8, 3)), None, 0, ValueError, "positive whole number, got 0"),
    ],
)
def test_sources_that_are_none(source, preprocessing, count, error, message):
    with pytest.raises(error, match=message):
        tflite.representative_dataset(source, preprocessing, count)


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="holds no images"):
        tflite.representative_dataset(tmp_path, Scaled())


def test_pixels_without_preprocessing_are_refused():
    with pytest.raises(TypeError, match="uint8 pixels need a preprocessing"):
        list(tflite.representative_dataset(np.zeros((2, 8, 8, 3), np.uint8), None))


# --- What `convert` makes of them --------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((6, 4, 4, 3)),
        [np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 4, 3))],
        [[np.zeros((1, 4, 4, 3), np.float32)] for _ in range(6)],
        [(np.zeros((3, 4, 4, 3)), np.zeros(3)) for _ in range(2)],
        (np.zeros((4, 4, 3)) for _ in range(6)),
        lambda: (np.zeros((1, 4, 4, 3)) for _ in range(6)),
    ],
)
def test_arrays_batches_pairs_generators_and_functions_are_taken(given):
    images = calibration.collect(given, (4, 4, 3))
    assert (images.shape, images.dtype) == ((6, 4, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, ValueError, r"missing.*representative_dataset\(FOLDER"),
        ("photos", TypeError, "got 'photos'"),
        (7, TypeError, "got int"),
        ([], ValueError, "is empty"),
        ([np.zeros((1, 4, 5, 3))], ValueError, r"shape \(1, 4, 5, 3\).*\(4, 4, 3\)"),
        ([np.array(["a"])], TypeError, "not numbers"),
        ([np.full((1, 4, 4, 3), np.inf)], ValueError, "NaN or infinite"),
    ],
)
def test_what_is_no_images_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        calibration.collect(given, (4, 4, 3))


def test_pixels_for_a_network_of_minus_1_to_1_are_recognised():
    with pytest.raises(ValueError, match=r"0\.\.200.*-1\.\.1.*representative_dataset\(images"):
        calibration.check_range(np.array([0.0, 200.0]), -1, 1)
    calibration.check_range(np.array([-1.05, 1.1]), -1, 1)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.random.default_rng(0).random((3, 4, 4, 3)), "only 3 calibration images.*clipped"),
        (np.ones((20, 4, 4, 3)) * np.arange(20)[:, None, None, None], "20 of 20.*constant"),
        (np.tile(np.random.default_rng(0).random((1, 4, 4, 3)), (20, 1, 1, 1)), "the same one"),
    ],
)
def test_doubtful_images_come_with_the_consequence(images, message):
    (doubt,) = calibration.doubts(images)
    assert re.search(message, doubt)


def test_good_images_raise_no_doubt():
    assert calibration.doubts(np.random.default_rng(0).random((20, 4, 4, 3))) == []


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 0), (-0.2, 0.3)])
def test_images_in_a_corner_of_the_input_range_are_doubted(low, high):
    images = np.random.default_rng(0).uniform(low, high, (20, 4, 4, 3))
    (doubt,) = calibration.range_doubts(images, -1, 1)
    assert "the model's input is -1..1" in doubt


def test_images_that_fill_most_of_the_input_range_are_not():
    images = np.random.default_rng(0).uniform(-0.9, 0.6, (20, 4, 4, 3))
    assert calibration.range_doubts(images, -1, 1) == []
