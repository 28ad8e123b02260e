"""Other views of a picture whose boxes, and mask, stay true.

Source: torchvision `references/detection/transforms.py` and `transforms/v2`: RandomZoomOut,
RandomIoUCrop (Liu et al. 2016, SSD, section 2.2, arXiv 1512.02325), flip, RandomPhotometricDistort
without hue.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimnets.dense.assignment import Objects
from slimnets.dense.losses import IGNORED

# Of the best of its boxes a crop must hold so much (intersection over union with the crop).
_LEAST_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)
_TRIALS = 40
_LARGEST = 4.0  # of a canvas, in sides of the picture
_GREY = 127

Scene = tuple[np.ndarray, Objects, np.ndarray | None]


def augment_objects(
    image: np.ndarray,
    objects: Any,
    mask: np.ndarray | None = None,
    *,
    random: np.random.Generator,
    crops: bool = True,
    flip: bool = True,
    colour: bool = True,
) -> Scene:
    """Another view of a picture: half the time on a larger canvas, a crop around objects, mirrored.

    Of a crop, the objects count whose middle it holds, cut to it; colours vary a little.

    Args:
        image: uint8 (H, W, C).
        objects: (boxes, classes); boxes ymin, xmin, ymax, xmax, fractions of the picture.
        mask: uint8 (H, W), classes of pixels.
        random: `numpy.random.default_rng(seed)`.
        crops, flip, colour: whether these are done: canvas and crop; mirroring; colours.

    Returns:
        The same three of another size; `mask` None where none was given.

    Raises:
        ValueError, TypeError: an image or mask of another kind or size.
    """
    image, mask = _checked(image, mask)
    boxes = np.asarray(objects[0], np.float32).reshape(-1, 4)
    scene = image, Objects(boxes, np.asarray(objects[1])), mask
    if crops:
        if random.random() < 0.5:
            scene = _zoomed_out(*scene, random)
        scene = _cropped(*scene, random)
    if flip and random.random() < 0.5:
        scene = _mirrored(*scene)
    return (_coloured(scene[0], random) if colour else scene[0]), scene[1], scene[2]


def _checked(image: Any, mask: Any) -> tuple[np.ndarray, np.ndarray | None]:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise TypeError(
            f"image must be uint8 (height, width, channels), got {image.dtype} of {image.shape}."
        )
    if mask is not None and np.shape(mask) != image.shape[:2]:
        raise ValueError(
            f"the mask is of {np.shape(mask)} pixels, its picture of {image.shape[:2]}."
        )
    return image, mask


def _mirrored(image: np.ndarray, objects: Objects, mask: np.ndarray | None) -> Scene:
    boxes = objects.boxes[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 1, 0, 1]
    mirrored = Objects(boxes.astype(np.float32), objects.classes)
    return image[:, ::-1], mirrored, None if mask is None else mask[:, ::-1]


def _zoomed_out(
    image: np.ndarray, objects: Objects, mask: np.ndarray | None, random: np.random.Generator
) -> Scene:
    """The picture somewhere on a grey canvas, of which a mask says nothing."""
    height, width = image.shape[:2]
    side = random.uniform(1, _LARGEST)
    tall, wide = int(height * side), int(width * side)
    top, left = int(random.integers(tall - height + 1)), int(random.integers(wide - width + 1))
    window = np.s_[top : top + height, left : left + width]
    canvas = np.full((tall, wide, image.shape[2]), _GREY, np.uint8)
    canvas[window] = image
    if mask is not None:
        around = np.full((tall, wide), IGNORED, mask.dtype)
        around[window] = mask
        mask = around
    corner, sides = np.array([top, left] * 2), np.array([tall, wide] * 2)
    boxes = (_scaled(objects.boxes, height, width) + corner) / sides
    return canvas, Objects(boxes.astype(np.float32), objects.classes), mask


def _scaled(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Fractions as pixels."""
    return boxes * [height, width, height, width]


def _cropped(
    image: np.ndarray, objects: Objects, mask: np.ndarray | None, random: np.random.Generator
) -> Scene:
    """A crop that holds enough of an object; the picture as it is where none is found."""
    least = _LEAST_OVERLAPS[random.integers(len(_LEAST_OVERLAPS))]
    if least is None or not len(objects.boxes):
        return image, objects, mask
    height, width = image.shape[:2]
    boxes = _scaled(objects.boxes, height, width)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    for _ in range(_TRIALS):
        tall, wide = (max(1, int(side * random.uniform(0.3, 1))) for side in (height, width))
        if not 0.5 <= tall / wide <= 2:
            continue
        top, left = int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1))
        window = np.array([top, left, top + tall, left + wide])
        held = ((middles > window[:2]) & (middles < window[2:])).all(1)
        if not held.any():
            continue
        cut = np.clip(boxes[held], np.tile(window[:2], 2), np.tile(window[2:], 2))
        if _overlaps(boxes[held], cut, tall * wide).max() < least:
            continue
        cut = (cut - np.tile(window[:2], 2)) / [tall, wide, tall, wide]
        area = np.s_[top : top + tall, left : left + wide]
        kept = Objects(cut.astype(np.float32), objects.classes[held])
        return image[area], kept, None if mask is None else mask[area]
    return image, objects, mask


def _overlaps(boxes: np.ndarray, cut: np.ndarray, window: float) -> np.ndarray:
    """Intersection over union of boxes with a window, given their parts in it."""
    shared, areas = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (cut, boxes))
    return shared / (areas + window - shared)


def _coloured(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Brightness within an eighth; contrast and saturation by half, each half the time."""
    pixels = image * np.float32(random.uniform(0.875, 1.125))
    for anchor in (lambda p: p.mean(), lambda p: p.mean(-1, keepdims=True)):
        if random.random() < 0.5:
            factor = np.float32(random.uniform(0.5, 1.5))
            pixels = anchor(pixels) + factor * (pixels - anchor(pixels))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
