"""Boxes as they are written, whatever the tool: each with its place, in pixels or in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL.Image import Transpose

from tflite.image_files import IMAGE_SUFFIXES, shown_size


class Frame(NamedTuple):
    """What a picture's boxes are relative to: pixels, and how the picture is turned to be shown
    where the boxes are those of it as it is stored."""

    height: float
    width: float
    turn: Transpose | None


class Box(NamedTuple):
    """As it was written: the file that says so, the class's name, ymin, xmin, ymax, xmax in pixels
    of a frame, without one in fractions of the picture as it is shown; whether it is trained on,
    and whether detections are judged by it."""

    where: str
    kind: str
    edges: Sequence[float]
    frame: Frame | None = None
    trains: bool = True
    judges: bool = True

    def fractions(self) -> Sequence[float]:
        """Its edges as fractions of the picture as it is shown, cut to it where they leave it with
        less than half of the box: tools let boxes reach beyond."""
        edges = self.edges
        if self.frame is not None:
            sides = (self.frame.height, self.frame.width) * 2
            edges = [value / side for value, side in zip(edges, sides, strict=True)]
            if self.frame.turn is not None:
                edges = _turned(edges, self.frame.turn)
        inside = [min(max(edge, 0.0), 1.0) for edge in edges]
        return inside if _area(inside) >= _area(edges) / 2 > 0 else edges


# A picture's path and the boxes in it.
Picture = tuple[str, list[Box]]


def number(text: Any, where: str) -> float:
    """Raises a ValueError that tells the place where it is none."""
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: {text!r:.80} is no number.") from None


def parts(place: str) -> tuple[str, str]:
    """What stands before and behind the comma, which may also be one of a file's name."""
    ends = [at for at, letter in enumerate(place) if letter == ","]
    whole = next((at for at in (len(place), *ends) if Path(place[:at]).exists()), None)
    if whole is None:
        whole = place.index(",") if ends else len(place)
    return place[:whole], place[whole + 1 :]


def picture_beside(stem: str, *folders: Path) -> Path | None:
    """The picture of this name without its ending."""
    candidates = (folder / f"{stem}{end}" for folder in folders for end in IMAGE_SUFFIXES)
    both = (path for c in candidates for path in (c, c.with_suffix(c.suffix.upper())))
    return next((path for path in both if path.is_file()), None)


def frame_of(path: Path, said: tuple[float, float]) -> Frame:
    """The frame of a picture's boxes.

    Args:
        path: of the picture.
        said: height and width of the picture that was annotated, which may have been of another
            size; 0: not said.
    """
    try:
        height, width, turn = shown_size(path)
    except OSError:
        height, width, turn = *(max(side, 1) for side in said), None  # it will be left out
    swapped = said == (width, height) != (height, width)
    if min(said) > 0 and not (swapped and turn is None):
        height, width = said
    # Tools that do not turn a photograph tell its size as it is stored.
    return Frame(height, width, turn if swapped else None)


def _area(edges: Sequence[float]) -> float:
    return (edges[2] - edges[0]) * (edges[3] - edges[1])


def _turned(box: Sequence[float], turn: Transpose) -> list[float]:
    """A box after a turn of its picture by 90° or about a diagonal."""
    ymin, xmin, ymax, xmax = box
    down, across = (xmin, xmax), (ymin, ymax)
    if turn in (Transpose.ROTATE_90, Transpose.TRANSVERSE):
        down = (1 - xmax, 1 - xmin)
    if turn in (Transpose.ROTATE_270, Transpose.TRANSVERSE):
        across = (1 - ymax, 1 - ymin)
    return [down[0], across[0], down[1], across[1]]
