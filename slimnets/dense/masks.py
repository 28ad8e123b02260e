"""Class maps as annotation tools write them: a picture, and a PNG of its size beside it.

A pixel of the PNG is its class's number, grey or an index into a palette, as in Pascal VOC; 255
counts for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slimnets.dense.annotations import BACKGROUND, picture_beside
from slimnets.dense.losses import IGNORED
from slimnets.dense.split_names import with_lists
from slimnets.dense.texts import read_text
from tflite.images import is_hidden, shown_size

_PICTURES, _MASKS = ("images", "JPEGImages"), ("masks", "SegmentationClass")
_LISTS = ("classes.txt", "labels.txt")


class Masks(NamedTuple):
    """`files`: paths of pictures; `masks`: of their PNGs; `class_names`: of the pixels' values."""

    files: tuple[str, ...]
    masks: tuple[str, ...]
    class_names: tuple[str, ...]


def read_masks(folder: str | os.PathLike, class_names: Sequence[str] | None = None) -> Masks:
    """The pictures and masks of a folder, every mask looked at.

    Args:
        folder: has images/ and masks/ (or JPEGImages/ and SegmentationClass/), files of the same
            names in both, and classes.txt: a line a value, 0 first, and so "background" first where
            there is one. Without it, classes are called by their numbers, 0 "background".
        class_names: those that count, in place of classes.txt (the training's, for a validation
            set).

    Raises:
        ValueError: a mask that has another size than its picture, values without a name, or
            colours; a list that names the background twice or not first.
        FileNotFoundError: a folder or a picture is not there.
    """
    root = Path(folder)
    pictures, masks = (_first(root, names) for names in (_PICTURES, _MASKS))
    found = sorted(
        file
        for file in masks.iterdir()
        if file.suffix.lower() == ".png" and not is_hidden(file.name)
    )
    if not found:
        raise FileNotFoundError(f"no PNG files in {masks}: a mask is called as its picture.")
    files = []
    for mask in found:
        path = picture_beside(mask.stem, pictures)
        if path is None:
            raise FileNotFoundError(f"{mask}: there is no picture {mask.stem}.jpg or the like.")
        files.append(str(path))
    names = tuple(class_names or _listed(root))
    with ThreadPoolExecutor() as pool:
        largest = max(pool.map(_checked, files, found, repeat(len(names))))
    if not largest and class_names is None:
        raise ValueError(
            f"the masks in {masks} hold no class but 0 (and {IGNORED}, which counts for nothing): "
            "number the classes 1, 2, …; what is white (255) in a mask of black and white is to be "
            "1."
        )
    if not names:
        names = ("background", *map(str, range(1, largest + 1)))
    return Masks(tuple(files), tuple(map(str, found)), names)


def read_mask(path: str | os.PathLike | np.ndarray) -> np.ndarray:
    """The classes of a PNG's pixels, uint8 (height, width); an array is what it is.

    Raises:
        ValueError: it has colours, or cannot be read.
    """
    from PIL import Image

    if isinstance(path, np.ndarray):
        return path
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L", "1"):
                raise ValueError(
                    f"the mask {path} is a picture of mode {picture.mode}: a mask holds the number "
                    "of each pixel's class, grey or with a palette, not its colour."
                )
            return np.asarray(picture).astype(np.uint8)
    except OSError as error:
        raise ValueError(f"the mask {path} cannot be read: {error}.") from error


def _first(root: Path, names: Sequence[str]) -> Path:
    place = next((root / name for name in names if (root / name).is_dir()), None)
    if place is None:
        raise FileNotFoundError(
            f"{root} has no folder {' or '.join(f'{name}/' for name in names)}: masks are read "
            "from images/ and masks/, or from JPEGImages/ and SegmentationClass/."
        )
    return place


def _listed(root: Path) -> tuple[str, ...]:
    """The names of values in the folder's list; of a split's, in that above it."""
    places = (folder / name for folder in with_lists(root) for name in _LISTS)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return ()
    names = tuple(line.strip() for line in read_text(file).splitlines() if line.strip())
    at = [number for number, name in enumerate(names) if name.lower() in BACKGROUND]
    if at not in ([], [0]):
        raise ValueError(
            f"{file} has the background in line {at[-1] + 1}{' again' if len(at) > 1 else ''}: "
            "its value is 0, so its line is the first, and the only one."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{file}: two classes have the same name, of {', '.join(names)}.")
    return names


def _checked(picture: str, mask: Path, count: int) -> int:
    """The largest class of a mask that fits its picture."""
    pixels = read_mask(mask)
    try:
        *size, _ = shown_size(picture)
    except OSError:
        size = pixels.shape  # it will be left out as a whole
    if pixels.shape != tuple(size):
        raise ValueError(
            f"the mask {mask} is of {pixels.shape[0]}×{pixels.shape[1]} pixels, its picture of "
            f"{size[0]}×{size[1]} (height×width, as it is shown)."
        )
    values = pixels[pixels != IGNORED]
    largest = int(values.max()) if values.size else 0
    if count and largest >= count:
        raise ValueError(
            f"the mask {mask} has class {largest}, and {count} are named, 0 to {count - 1} (and "
            f"{IGNORED} for what does not count). A list of names has a line for each value, that "
            "of 0, the background, too."
        )
    return largest
