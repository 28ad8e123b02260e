"""Class maps as annotation tools write them: a picture, and a PNG of its size beside it.

A pixel of the PNG is its class's number, grey or an index into a palette, as in Pascal VOC; 255
counts for nothing. It may be a colour that CVAT's labelmap.txt tells.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slimnets.dense.annotations import BACKGROUND
from slimnets.dense.losses import IGNORED
from slimnets.dense.places import MASKS, PICTURES, files_below, inner, twin, with_lists
from slimnets.dense.texts import read_text
from slimnets.dense.written import picture_beside
from tflite.image_files import shown_size

_COLOURS = "labelmap.txt"
_LISTS = ("classes.txt", "labels.txt", "class_names.txt", _COLOURS)


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
            there is one; or CVAT's labelmap.txt. Without, classes are called by their numbers, 0
            "background". It may also be a folder in masks/, of a split that images/ has, too.
        class_names: those that count, in place of classes.txt (the training's, for a validation
            set).

    Raises:
        ValueError: a mask that has another size than its picture, values without a name, or
            colours; a list that names the background twice or not first.
        FileNotFoundError: a folder or a picture is not there.
    """
    root = Path(folder)
    masks = inner(root, MASKS) or root
    pictures = twin(masks, MASKS, PICTURES)
    if pictures is None:
        raise FileNotFoundError(
            f"{root} has no folder masks/ beside images/: masks are read from these, or from "
            "SegmentationClass/ and JPEGImages/."
        )
    found = files_below(masks, (".png",))
    if not found:
        raise FileNotFoundError(f"no PNG files in {masks}: a mask is called as its picture.")
    files = []
    for mask in found:
        path = picture_beside(mask.stem, pictures / mask.parent.relative_to(masks))
        if path is None:
            raise FileNotFoundError(
                f"{mask}: there is no picture {mask.stem}.jpg or the like; a mask is called as its "
                "picture."
            )
        files.append(str(path))
    names = tuple(class_names or _listed(root))
    with ThreadPoolExecutor() as pool:
        seen = sorted(set().union(*pool.map(_checked, files, found, repeat(len(names)))))
    largest = max(seen, default=0)
    if not largest and class_names is None:
        raise ValueError(
            f"the masks in {masks} hold no class but 0 (and {IGNORED}, which counts for nothing): "
            "number the classes 1, 2, …; what is white (255) in a mask of black and white is to be "
            "1."
        )
    if not names and len(seen) <= largest / 2:
        raise ValueError(
            f"the masks in {masks} hold the classes {', '.join(map(str, seen[:10]))} and no others "
            f"up to {largest}: number them 1, 2, …, or name all in {root / _LISTS[0]}, a line a "
            "number from 0 on."
        )
    if not names:
        names = ("background", *map(str, range(1, largest + 1)))
    return Masks(tuple(files), tuple(map(str, found)), names)


def read_mask(path: str | os.PathLike | np.ndarray) -> np.ndarray:
    """The classes of a PNG's pixels, uint8 (height, width); an array is what it is.

    Raises:
        ValueError: it has colours without a name, or cannot be read.
    """
    from PIL import Image

    if isinstance(path, np.ndarray):
        return path
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
    except OSError as error:
        raise ValueError(f"the mask {path} cannot be read: {error}.") from error
    if pixels.ndim == 3:
        pixels = _of_colours(Path(path), picture.mode, pixels)
    if int(pixels.max()) > IGNORED:
        raise ValueError(f"the mask {path} has class {pixels.max()}; {IGNORED - 1} is the largest.")
    return pixels.astype(np.uint8)


def _of_colours(path: Path, mode: str, pixels: np.ndarray) -> np.ndarray:
    """The classes of pixels (height, width, channels): what a list says of them, or their grey."""
    colours = pixels[..., : 3 if mode.startswith("RGB") else 1]
    files = (folder / _COLOURS for folder in with_lists(path.parent))
    file = next((file for file in files if file.is_file()), None)
    if file is None and (colours == colours[..., :1]).all():
        return colours[..., 0]
    if file is None:
        raise ValueError(
            f"the mask {path} is a picture of mode {mode}: a mask holds the number of each pixel's "
            f"class, grey or with a palette, not its colour, unless CVAT's {_COLOURS} tells these."
        )
    listed = _coloured(file)
    classes = np.full(colours.shape[:2], len(listed))
    for number, colour in enumerate(listed.values()):
        classes[(colours == colour).all(-1)] = number
    if (unknown := colours[classes == len(listed)]).size:
        raise ValueError(
            f"the mask {path} has the colour {','.join(map(str, unknown[0]))}, which {file} does "
            "not list."
        )
    return classes


def _coloured(file: Path) -> dict[str, list[int]]:
    """Name → colour, of CVAT's list; the background, wherever it stands in it, first."""
    try:
        words = [line.split(":") for line in _lines(file) if not line.startswith("#")]
        listed = {name: [int(part) for part in colour.split(",")] for name, colour, *_ in words}
    except ValueError as error:
        raise ValueError(f"{file} has no lines of the kind 'name:red,green,blue::'.") from error
    return dict(sorted(listed.items(), key=lambda one: one[0].lower() not in BACKGROUND))


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def _listed(root: Path) -> tuple[str, ...]:
    """The names of values in the folder's list; of a split's, in that above it."""
    places = (folder / name for folder in with_lists(root) for name in _LISTS)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return ()
    names = tuple(_coloured(file) if file.name == _COLOURS else _lines(file))
    at = [number for number, name in enumerate(names) if name.lower() in BACKGROUND]
    if at not in ([], [0]):
        raise ValueError(
            f"{file} has the background in line {at[-1] + 1}{' again' if len(at) > 1 else ''}: "
            "its value is 0, so its line is the first, and the only one."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{file}: two classes have the same name, of {', '.join(names)}.")
    return names


def _checked(picture: str, mask: Path, count: int) -> set[int]:
    """The classes in a mask that fits its picture."""
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
    values = set(np.unique(pixels).tolist()) - {IGNORED}
    largest = max(values, default=0)
    if count and largest >= count:
        raise ValueError(
            f"the mask {mask} has class {largest}, and {count} are named, 0 to {count - 1} (and "
            f"{IGNORED} for what does not count). A list of names has a line for each value, that "
            "of 0, the background, too."
        )
    return values
