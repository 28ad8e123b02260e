"""Pictures with what a detector or a segmenter found in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tflite.files.writing import atomic_writer
from tflite.image_files import read_image

# One after another by class, readable on most photographs.
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000")
_LEAST_SIDE = 320
_OPACITY = 0.55


def colour_of(kind: int) -> str:
    """The colour of class `kind`, 0 for the first that is no background."""
    return COLOURS[kind % len(COLOURS)]


def enlarged(image: Any) -> Image.Image:
    """A picture as RGB, a small one by a whole factor: what is drawn on it can be read."""
    picture = read_image(image).convert("RGB")
    factor = max(1, _LEAST_SIDE // max(picture.size))
    if factor == 1:
        return picture
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def with_boxes(
    picture: Image.Image,
    found: Sequence[tuple[str, float, tuple[float, ...]]],
    labels: Sequence[str],
) -> Image.Image:
    """A copy of a picture with each object's box, name and score.

    Args:
        found: (label, score, (ymin, xmin, ymax, xmax) in fractions), the surest first.
        labels: all there are, for their colours.
    """
    picture = picture.convert("RGB")
    draw = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / 200))
    font = ImageFont.load_default(size=max(10, min(picture.size) / 30))
    for label, score, (top, left, bottom, right) in reversed(found):  # the surest on top
        colour = colour_of(labels.index(label) if label in labels else 0)
        corners = (left * picture.width, top * picture.height)
        draw.rectangle(
            (*corners, right * picture.width, bottom * picture.height), outline=colour, width=line
        )
        text = f"{label} {score:.0%}"
        draw.rectangle(draw.textbbox(corners, text, font=font), fill=colour)
        draw.text(corners, text, fill="white", font=font)
    return picture


def with_classes(picture: Image.Image, classes: np.ndarray) -> Image.Image:
    """A copy of a picture, tinted where a pixel's class is not 0.

    Args:
        classes: integers (h, w), of any size.
    """
    picture = picture.convert("RGB")
    shown = Image.fromarray(classes.astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    kinds = np.asarray(shown)
    pixels = np.asarray(picture, np.float32)
    for kind in np.unique(kinds[kinds > 0]):
        tint = np.array(Image.new("RGB", (1, 1), colour_of(int(kind) - 1)).getpixel((0, 0)))
        where = kinds == kind
        pixels[where] += _OPACITY * (tint - pixels[where])
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def save(picture: Image.Image, place: Path) -> None:
    """Writes a picture in the format that its name's ending says, whole or not at all.

    Raises:
        KeyError: no format ends so.
        OSError: it cannot be written.
    """
    with atomic_writer(place) as file:
        picture.save(file, Image.registered_extensions()[place.suffix.lower()])
