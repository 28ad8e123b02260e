"""Boxes as annotation tools write them: Pascal VOC folders, COCO's JSON, YOLO's text, CSV.

A wrong box does not stop the reading, it is left out and told: in a real folder there are always
some. What is wrong with a whole file is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slimnets.dense import box_table, coco, voc, yolo
from slimnets.dense.assignment import Objects, complaint_of
from slimnets.dense.written import Box, Picture, parts

# What tools put first in their lists of classes, and what is no class of boxes.
BACKGROUND = ("background", "__background__", "_background_")


class Annotations(NamedTuple):
    """Pictures and the boxes in them.

    `files`: paths; `objects`: of each picture, to train on (none is legal); `class_names`;
    `rejected`: what was left out and why, a line each, with the file that it stands in; `judged`:
    what detections are judged by, where that is something else, because COCO calls boxes crowds
    (which are not trained on), or Pascal VOC difficult.
    """

    files: tuple[str, ...]
    objects: tuple[Objects, ...]
    class_names: tuple[str, ...]
    rejected: tuple[str, ...]
    judged: tuple[Judged, ...] | None = None

    def __str__(self) -> str:
        boxes = sum(len(one.classes) for one in self.objects)
        empty = sum(not len(one.classes) for one in self.objects)
        lines = [
            f"{len(self.files)} pictures, {boxes} boxes of {len(self.class_names)} classes, "
            f"{empty} pictures without any; {len(self.rejected)} left out"
        ]
        return "\n  ".join([*lines, *self.rejected])


class Judged(NamedTuple):
    """`Objects`, and for each whether to find it counts neither way, as `mean_precision` has it."""

    boxes: np.ndarray
    classes: np.ndarray
    ignored: np.ndarray


def read_annotations(source: str, class_names: Sequence[str] | None = None) -> Annotations:
    """Reads the boxes of a folder or file.

    Args:
        source: "voc:FOLDER" (annotations/*.xml and images/ or JPEGImages/, or the .xml files beside
            the pictures); "coco:FILE.json" or "coco:FILE.json,FOLDER" of its pictures;
            "yolo:FOLDER" (images/ and labels/, or .txt files beside the pictures, and classes.txt
            or data.yaml) or "yolo:FOLDER,FILE" of the names; "csv:FILE" with the columns path,
            class, ymin, xmin, ymax, xmax in pixels, and perhaps split. Pixels are those of the
            picture as it is shown, or of the size that XML, JSON or the columns width and height
            tell; a photograph that EXIF turns may be told as it is stored. A box that leaves its
            picture with less than half of itself is cut to it.
        class_names: those that count, in their order (the training's, for a validation set); boxes
            of others are left out and told. None: all that occur, sorted; YOLO's and COCO's in
            the order of their lists.

    Raises:
        ValueError: an unknown kind; a file that is not of its kind, with its place; fractions
            where pixels belong; boxes of a class "background": what is in no box is background.
        FileNotFoundError: a file or folder is not there.
    """
    kind, _, place = str(source).partition(":")
    if kind not in _READERS or not place:
        known = ", ".join(f"{name}:PATH" for name in _READERS)
        raise ValueError(f"annotations are told as {known}; got {source!r:.80}.")
    if not Path(parts(place)[0]).exists():
        raise FileNotFoundError(f"{parts(place)[0]} is not there.")
    pictures, listed = _READERS[kind](place)
    if not pictures:
        raise ValueError(f"{source} has no pictures with annotations.")
    _check_pixels(source, [box for _, boxes in pictures for box in boxes if box.frame is not None])
    found = sorted({box.kind for _, boxes in pictures for box in boxes if box.trains})
    used = [n for n in listed or () if n in found or n.lower() not in BACKGROUND]
    names = tuple(class_names or used or found)
    if wrong := [name for name in names if name.lower() in BACKGROUND]:
        raise ValueError(
            f"{source} has a class {wrong[0]!r}: what is in no box is background, which is no "
            "class of its own. Take it out of the list of classes."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{source}: two classes have the same name, of {', '.join(names)}.")
    rejected: list[str] = []
    kept = [_kept(boxes, names, rejected) for _, boxes in pictures]
    objects = tuple(_objects([box for box in boxes if box.trains], names) for boxes in kept)
    judged = None
    if not all(box.judges for boxes in kept for box in boxes):
        judged = tuple(
            Judged(*_objects(boxes, names), np.array([not box.judges for box in boxes], bool))
            for boxes in kept
        )
    files = tuple(path for path, _ in pictures)
    return Annotations(files, objects, names, tuple(rejected), judged)


def _check_pixels(source: str, boxes: Sequence[Box]) -> None:
    if boxes and all(max(box.edges) <= 1 for box in boxes):
        raise ValueError(
            f"{source}: no box reaches beyond 1, as in {boxes[0].where}; edges must be in pixels, "
            "not in fractions of the picture."
        )


def _kept(boxes: list[Box], names: Sequence[str], rejected: list[str]) -> list[Box]:
    kept = []
    for box in boxes:
        complaint = complaint_of(box.fractions())
        if complaint is None and box.kind not in names:
            complaint = f"its class {box.kind!r:.80} is none of {', '.join(names[:8])}."
        if complaint:
            rejected.append(f"{box.where}: {complaint}")
        else:
            kept.append(box)
    return kept


def _objects(boxes: list[Box], names: Sequence[str]) -> Objects:
    corners = np.array([box.fractions() for box in boxes], np.float32).reshape(-1, 4)
    kinds = np.array([names.index(box.kind) for box in boxes], np.int64)
    return Objects(np.clip(corners, 0, 1), kinds)


_READERS: Mapping[str, Callable[[str], tuple[list[Picture], list[str] | None]]] = {
    "voc": voc.read,
    "coco": coco.read,
    "yolo": yolo.read,
    "csv": box_table.read,
}
