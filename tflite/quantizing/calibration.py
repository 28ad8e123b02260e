"""Images for calibration: where they come from, and whether they can be trusted.

Post-training quantization takes every activation's range from the images that are run through
the network, so images that the network never meets in use give ranges that never fit. Nothing
here invents data.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from tflite.image_files import choose_files, in_turns, readable

BUILTIN_SOURCES = ("builtin:digits",)
FEWEST_IMAGES = 10
# Images of 0..1 fill half of -1..1.
_LEAST_FILLED = 0.55

_HOW_TO_GIVE = (
    "Pass calibration=tflite.representative_dataset(FOLDER_OF_IMAGES, preprocessing), or a "
    "float32 array (N, height, width, channels) of preprocessed training images; about 100 do."
)


class RepresentativeDataset:
    """A repeatable sequence of float32 batches (1, height, width, channels).

    Iterating twice gives the same images in the same order.

    Attributes:
        count: how many images at most.
        skipped: what could not be read and why, one line a file; filled while iterating.
    """

    def __init__(
        self,
        candidates: Callable[[], Iterable[Any]],
        prepare: Callable[[Any], np.ndarray],
        count: int,
    ) -> None:
        """Reads nothing yet.

        Args:
            candidates: gives all images (or their paths) from the first on, at every call.
            prepare: makes one of them float32 (height, width, channels).
            count: how many to give; those that cannot be read are replaced by later ones.
        """
        self.count = count
        self.skipped: list[str] = []
        self._candidates = candidates
        self._prepare = prepare

    def __iter__(self) -> Iterator[np.ndarray]:
        for image in islice(readable(self._candidates(), self.skipped), self.count):
            yield np.asarray(self._prepare(image), np.float32)[np.newaxis]


def representative_dataset(
    source: Any, preprocessing: Callable | None, count: int = 100, seed: int = 0
) -> RepresentativeDataset:
    """Calibration images, preprocessed as the network wants them.

    Args:
        source: one of
            a folder of images, either flat or with one sub-folder a class (then the classes take
            turns, so that `count` images hold as many of each as possible);
            an array (N, height, width, channels) of integers 0..255, or of floating numbers
            that are already in the network's input space;
            a `tf.data.Dataset` of images, of (image, label) pairs or of batches of either: its
            first `count` images, with integers and floating numbers told apart as above;
            `"builtin:digits"`: scikit-learn's 8×8 handwritten digits, as RGB bytes.
        preprocessing: called on a PIL image or on a uint8 array, returns float32 (height, width,
            channels). None is possible where the source is already in the input space.
        count: at most so many images.
        seed: of the choice among the images of a folder or an array.

    Returns:
        An object to iterate over as often as wanted, always with the same images.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the folder holds no images, the array has the wrong shape, `count` < 1.
        TypeError: a source of no known kind; pixels without a preprocessing.
    """
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"count must be a positive whole number, got {count!r}.")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number, 0 or more, got {seed!r}.")
    if preprocessing is not None and not callable(preprocessing):
        raise TypeError(
            f"preprocessing must be callable, such as slimnets.preprocessing(name), got "
            f"{preprocessing!r:.80}."
        )
    prepare = partial(_to_input_space, preprocessing=preprocessing)
    if isinstance(source, str) and source.startswith("builtin:"):
        candidates = _of_array(_builtin_images(source), seed)
    elif isinstance(source, (str, os.PathLike)):
        if preprocessing is None:
            raise TypeError(_needs_preprocessing("image files"))
        prepare = preprocessing
        candidates = partial(iter, choose_files(source, seed))
    elif hasattr(source, "as_numpy_iterator"):
        candidates = partial(_of_tf_data, source)
    elif hasattr(source, "__array__"):
        candidates = _of_array(np.asarray(source), seed)
    else:
        raise TypeError(
            "source must be a folder, an array, a tf.data.Dataset or one of "
            f"{', '.join(BUILTIN_SOURCES)}; got {type(source).__name__}."
        )
    return RepresentativeDataset(candidates, prepare, count)


def _to_input_space(image: np.ndarray, preprocessing: Callable | None) -> np.ndarray:
    if np.issubdtype(image.dtype, np.floating):
        return image
    if preprocessing is None:
        raise TypeError(_needs_preprocessing(f"{image.dtype} pixels"))
    return preprocessing(image.astype(np.uint8))


def _needs_preprocessing(what: str) -> str:
    return (
        f"{what} need a preprocessing: a callable that takes an image and returns float32 "
        "(height, width, channels) in the network's input space, e.g. slimnets.preprocessing(name)."
    )


def _of_array(images: np.ndarray, seed: int) -> Callable[[], Iterator[np.ndarray]]:
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "an array of calibration images must have the shape (N, height, width, channels) "
            f"with N >= 1, got {images.shape}."
        )
    if not np.issubdtype(images.dtype, np.floating) and (images.min() < 0 or images.max() > 255):
        raise ValueError(f"integer pixels must lie in 0..255, got {images.min()}..{images.max()}.")
    order = in_turns([None] * len(images), seed)
    return lambda: (images[i] for i in order)


def _of_tf_data(dataset: Any) -> Iterator[np.ndarray]:
    for element in dataset.as_numpy_iterator():
        image = element[0] if isinstance(element, tuple) else element
        if isinstance(image, dict) or np.ndim(image) not in (3, 4):
            raise ValueError(
                "a tf.data.Dataset must give images (height, width, channels), batches of them, "
                f"or pairs of these and labels; got {type(element).__name__} "
                f"with shape {np.shape(image)}."
            )
        yield from (image if np.ndim(image) == 4 else [image])


def _builtin_images(name: str) -> np.ndarray:
    if name not in BUILTIN_SOURCES:
        raise ValueError(f"built-in images are {', '.join(BUILTIN_SOURCES)}; got {name!r}.")
    from sklearn.datasets import load_digits

    grey = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def collect(
    calibration: Iterable[np.ndarray] | np.ndarray | None, shape: tuple[int, int, int]
) -> np.ndarray:
    """All calibration images as one array, checked before any long work begins.

    Args:
        calibration: float32 batches (n, *shape) or single images, or one array (N, *shape).
        shape: the network's (height, width, channels).

    Returns:
        float32 (N, height, width, channels).

    Raises:
        ValueError: none were given; another shape; NaN or infinite values.
        TypeError: not an array nor an iterable of arrays.
    """
    if calibration is None:
        raise ValueError(f"calibration images are missing. {_HOW_TO_GIVE}")
    if isinstance(calibration, (str, os.PathLike)):
        raise TypeError(f"calibration must be images, got {str(calibration)!r}. {_HOW_TO_GIVE}")
    if callable(calibration) and not hasattr(calibration, "__iter__"):
        # TFLiteConverter's convention is a function that makes a generator.
        calibration = calibration()
    if not hasattr(calibration, "__iter__"):
        raise TypeError(
            f"calibration must be images, got {type(calibration).__name__}. {_HOW_TO_GIVE}"
        )
    whole = calibration if hasattr(calibration, "__array__") else None
    batches = [whole] if whole is not None else calibration
    images = [_checked_batch(batch, shape, index) for index, batch in enumerate(batches)]
    if not images or not sum(map(len, images)):
        raise ValueError(f"calibration is empty. {_HOW_TO_GIVE}")
    return images[0] if len(images) == 1 else np.concatenate(images)


def _checked_batch(batch: Any, shape: tuple[int, int, int], index: int) -> np.ndarray:
    if isinstance(batch, (list, tuple)) and len(batch):
        batch = batch[0]  # (images, labels), or TFLiteConverter's list of one input
    array = np.asarray(batch)
    if array.dtype == object or not np.issubdtype(array.dtype, np.number):
        raise TypeError(f"calibration batch {index} is {array.dtype}, not numbers. {_HOW_TO_GIVE}")
    if array.ndim == 3:
        array = array[np.newaxis]
    if array.ndim != 4 or array.shape[1:] != tuple(shape):
        raise ValueError(
            f"calibration batch {index} has the shape {np.shape(batch)}, but the model takes "
            f"images of shape {tuple(shape)}: batches must be (n, {', '.join(map(str, shape))})."
        )
    array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f"calibration batch {index} holds NaN or infinite values.")
    return array


def check_range(images: np.ndarray, low: float, high: float) -> None:
    """ValueError when images lie so far outside the input range that they are something else.

    Resizing with cubic or Lanczos kernels overshoots a little, so a tenth of the range is allowed.
    """
    slack = 0.1 * (high - low)
    found_low, found_high = float(images.min()), float(images.max())
    if found_low >= low - slack and found_high <= high + slack:
        return
    advice = "preprocess them as the model's training did"
    if found_low >= 0 and found_high <= 255 and found_high > 2:
        advice = (
            "these look like pixels of 0..255: pass them through the model's preprocessing, e.g. "
            "tflite.representative_dataset(images.astype('uint8'), preprocessing)"
        )
    raise ValueError(
        f"calibration images lie in {found_low:g}..{found_high:g}, but the model expects "
        f"{low:g}..{high:g}; {advice}."
    )


def range_doubts(images: np.ndarray, low: float, high: float) -> list[str]:
    """What is suspicious about where images lie in the input range; [] when nothing."""
    found_low, found_high = float(images.min()), float(images.max())
    if found_high - found_low > _LEAST_FILLED * (high - low):
        return []
    return [
        f"calibration images lie in {found_low:g}..{found_high:g}, but the model's input is "
        f"{low:g}..{high:g}: they are of another kind than its use, or prepared otherwise than in "
        "its training, so the ranges that they give do not fit."
    ]


def doubts(images: np.ndarray) -> list[str]:
    """What is suspicious about calibration images, each with its consequence; [] when nothing."""
    found = []
    if len(images) < FEWEST_IMAGES:
        found.append(
            f"only {len(images)} calibration image{'s' * (len(images) != 1)}: activation ranges "
            "come out too narrow and larger activations will be clipped, which costs accuracy; "
            "use about 100."
        )
    flat = images.reshape(len(images), -1)
    constant = int((flat.min(axis=1) == flat.max(axis=1)).sum())
    if constant:
        found.append(
            f"{constant} of {len(images)} calibration images are a single constant value: they "
            "excite no edges or textures, so the ranges they give are far too narrow."
        )
    elif len(images) > 1 and (flat == flat[0]).all():
        found.append(
            f"all {len(images)} calibration images are the same one: the ranges fit that image "
            "and clip the others."
        )
    return found
