"""`scenes`: digits pasted on photographs, with boxes and masks; always there, the same every time.

scikit-learn's 8×8 digits, enlarged and coloured, on crops of its two photographs. What is trained
on and what is judged by share neither digits nor places of a photograph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from slimnets.data.splits import Annotated, Source

# The share of each photograph's width, and of the digits, that is the training's.
_TRAINING = 2 / 3
_SPLITS = ("train", "test")


class Scenes(NamedTuple):
    """Pictures and what is in them.

    `images` uint8 (N, size, size, 3); `objects`: of each picture (boxes, classes), boxes float32
    (n, 4) of ymin, xmin, ymax, xmax as fractions, classes int64 (n,) into `class_names`; `masks`
    uint8 (N, size, size), 0 for the background and 1 for the first class.
    """

    images: np.ndarray
    objects: tuple[tuple[np.ndarray, np.ndarray], ...]
    masks: np.ndarray
    class_names: tuple[str, ...]


def scenes(
    count: int,
    size: int = 160,
    *,
    split: str = "train",
    digits: Sequence[int] = (0, 1, 7),
    most: int = 3,
    seed: int = 0,
) -> Scenes:
    """`count` pictures of one to `most` digits, seeded.

    Args:
        size: height and width in pixels, at least 48.
        split: "train" or "test".
        digits: those that there are; their places here are the classes.
        most: at most so many in a picture; none covers more than a tenth of another's box.
        seed: other pictures for another one.

    Raises:
        ValueError: a value out of range.
    """
    if split not in _SPLITS:
        raise ValueError(f"split must be 'train' or 'test', got {split!r:.80}.")
    if not digits or not set(digits) <= set(range(10)):
        raise ValueError(f"digits must be some of 0 to 9, got {digits!r:.80}.")
    if count < 1 or size < 48 or most < 1:
        raise ValueError(
            f"there must be at least one picture of 48 pixels with one digit, got count={count}, "
            f"size={size}, most={most}."
        )
    random = np.random.default_rng([seed, _SPLITS.index(split)])
    made = [_scene(random, size, split, tuple(digits), most) for _ in range(count)]
    images, objects, masks = zip(*made, strict=True)
    names = tuple(str(digit) for digit in digits)
    return Scenes(np.stack(images), objects, np.stack(masks), names)


@cache
def load() -> Source:
    """`builtin:scenes`: 480 scenes to train on, 80 more of the same digits and places as "val", and
    200 of others as "test", 160×160 pixels; digits 0, 1 and 7.
    """
    parts = {
        "train": scenes(480),
        "val": scenes(80, seed=1),
        "test": scenes(200, split="test"),
    }
    splits = {
        name: Annotated(made.images, made.objects, made.masks) for name, made in parts.items()
    }
    return Source("builtin:scenes", parts["train"].class_names, splits)


def _scene(
    random: np.random.Generator, size: int, split: str, digits: tuple[int, ...], most: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    image = _background(random, size, split).astype(np.float32)
    mask = np.zeros((size, size), np.uint8)
    boxes, classes = [], []
    for _ in range(random.integers(1, most + 1)):
        kind = int(random.integers(len(digits)))
        ink = _digit(random, digits[kind], split, int(size * random.uniform(0.25, 0.5)))
        height, width = ink.shape
        for y, x in _places(random, size - height, size - width):
            if not any(_covers((y, x, y + height, x + width), box) for box in boxes):
                break
        else:
            continue
        window = np.s_[y : y + height, x : x + width]
        colour = random.uniform(0, 255, 3)
        # Ink that nobody can tell from what is under it would be no object.
        colour += np.where(np.abs(colour - image[window].mean((0, 1))) < 60, 128, 0)
        image[window] += ink[..., None] * (colour % 256 - image[window])
        mask[window][ink > 0.5] = kind + 1
        boxes.append((y, x, y + height, x + width))
        classes.append(kind)
    fractions = np.array(boxes, np.float32).reshape(-1, 4) / size
    return np.rint(image).astype(np.uint8), (fractions, np.array(classes, np.int64)), mask


def _places(random: np.random.Generator, height: int, width: int) -> Iterator[tuple[int, int]]:
    for _ in range(20):
        yield int(random.integers(height + 1)), int(random.integers(width + 1))


def _covers(box: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two boxes share more than a tenth of the smaller one."""
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return max(height, 0) * max(width, 0) > min(areas) / 10


@cache
def _pictures() -> tuple[dict[int, np.ndarray], tuple[np.ndarray, ...]]:
    """The digits by class, 0 to 1, and the photographs."""
    from sklearn.datasets import load_digits, load_sample_images

    bunch = load_digits()
    by_class = {digit: bunch.images[bunch.target == digit] / 16 for digit in range(10)}
    return by_class, tuple(load_sample_images().images)


def _background(random: np.random.Generator, size: int, split: str) -> np.ndarray:
    photographs = _pictures()[1]
    photograph = photographs[random.integers(len(photographs))]
    edge = int(photograph.shape[1] * _TRAINING)
    photograph = photograph[:, :edge] if split == "train" else photograph[:, edge:]
    side = int(min(photograph.shape[:2]) * random.uniform(0.4, 1))
    top, left = (int(random.integers(n - side + 1)) for n in photograph.shape[:2])
    crop = Image.fromarray(photograph[top : top + side, left : left + side])
    crop = np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR))
    return crop[:, ::-1] if random.integers(2) else crop


def _digit(random: np.random.Generator, digit: int, split: str, height: int) -> np.ndarray:
    """How much ink there is, 0 to 1, on the smallest rectangle that holds the digit."""
    drawn = _pictures()[0][digit]
    edge = int(len(drawn) * _TRAINING)
    drawn = drawn[:edge] if split == "train" else drawn[edge:]
    small = Image.fromarray((drawn[random.integers(len(drawn))] * 255).astype(np.uint8))
    large = np.asarray(small.resize((4 * height,) * 2, Image.Resampling.BICUBIC)) > 110
    rows, columns = np.flatnonzero(large.any(1)), np.flatnonzero(large.any(0))
    tight = large[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = max(4, round(height * tight.shape[1] / tight.shape[0]))
    shown = Image.fromarray(tight).convert("L").resize((min(width, height), height))
    return np.asarray(shown, np.float32) / 255
