"""Boxes as annotation tools write them: Pascal VOC folders, COCO's JSON, YOLO's text, CSV.

A wrong box does not stop the reading, it is left out and told: in a real folder there are always
some. What is wrong with a whole file is an error.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from slimnets.dense.assignment import Objects, complaint_of
from slimnets.dense.yolo_names import listed_names

# What tools put first in their lists of classes, and what is no class of boxes.
BACKGROUND = ("background", "__background__", "_background_")
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class Annotations(NamedTuple):
    """Pictures and the boxes in them.

    `files`: paths; `objects`: of each picture (none is legal); `class_names`; `rejected`: what was
    left out and why, a line each, with the file that it stands in.
    """

    files: tuple[str, ...]
    objects: tuple[Objects, ...]
    class_names: tuple[str, ...]
    rejected: tuple[str, ...]

    def __str__(self) -> str:
        boxes = sum(len(one.classes) for one in self.objects)
        empty = sum(not len(one.classes) for one in self.objects)
        lines = [
            f"{len(self.files)} pictures, {boxes} boxes of {len(self.class_names)} classes, "
            f"{empty} pictures without any; {len(self.rejected)} left out"
        ]
        return "\n  ".join([*lines, *self.rejected])


class _Box(NamedTuple):
    """As it was written: the file that says so, the class's name, corners in fractions."""

    where: str
    kind: str
    corners: Sequence[float]


_Picture = tuple[str, list[_Box]]


def read_annotations(source: str, class_names: Sequence[str] | None = None) -> Annotations:
    """Reads the boxes of a folder or file.

    Args:
        source: "voc:FOLDER" (Annotations/*.xml and JPEGImages/, or the .xml files beside the
            pictures); "coco:FILE.json" or "coco:FILE.json,FOLDER" of its pictures; "yolo:FOLDER"
            (images/ and labels/, or .txt files beside the pictures, and classes.txt or data.yaml);
            "csv:FILE" with the columns path, class, ymin, xmin, ymax, xmax in pixels.
        class_names: those that count, in their order (the training's, for a validation set); boxes
            of others are left out and told. None: all that occur, sorted; YOLO's and COCO's in
            the order of their lists.

    Raises:
        ValueError: an unknown kind; a file that is not of its kind, with its place; "background"
            as a class: what is in no box is background.
        FileNotFoundError: a file or folder is not there.
    """
    kind, _, place = str(source).partition(":")
    if kind not in _READERS or not place:
        known = ", ".join(f"{name}:PATH" for name in _READERS)
        raise ValueError(f"annotations are told as {known}; got {source!r:.80}.")
    if not Path(place.split(",")[0]).exists():
        raise FileNotFoundError(f"{place.split(',')[0]} is not there.")
    pictures, listed = _READERS[kind](place)
    if not pictures:
        raise ValueError(f"{source} has no pictures with annotations.")
    found = sorted({box.kind for _, boxes in pictures for box in boxes})
    names = tuple(class_names or listed or found)
    if wrong := [name for name in names if name.lower() in BACKGROUND]:
        raise ValueError(
            f"{source} has a class {wrong[0]!r}: what is in no box is background, which is no "
            "class of its own. Take it out of the list of classes."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{source}: two classes have the same name, of {', '.join(names)}.")
    rejected: list[str] = []
    objects = [_objects(boxes, names, rejected) for _, boxes in pictures]
    return Annotations(tuple(path for path, _ in pictures), tuple(objects), names, tuple(rejected))


def _objects(boxes: list[_Box], names: Sequence[str], rejected: list[str]) -> Objects:
    kept = []
    for box in boxes:
        complaint = complaint_of(box.corners)
        if complaint is None and box.kind not in names:
            complaint = f"its class {box.kind!r:.80} is none of {', '.join(names[:8])}."
        if complaint:
            rejected.append(f"{box.where}: {complaint}")
        else:
            kept.append(box)
    corners = np.array([box.corners for box in kept], np.float32).reshape(-1, 4)
    kinds = np.array([names.index(box.kind) for box in kept], np.int64)
    return Objects(np.clip(corners, 0, 1), kinds)


def _number(text: Any, where: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: {text!r:.80} is no number.") from None


def _fractions(corners: Sequence[float], height: float, width: float, where: str) -> list[float]:
    if not (height > 0 and width > 0):
        raise ValueError(f"{where}: a picture of {height:g}×{width:g} pixels.")
    sides = (height, width) * 2
    return [value / side for value, side in zip(corners, sides, strict=True)]


def _size(path: Path) -> tuple[int, int]:
    """Height and width of a picture."""
    from PIL import Image

    with Image.open(path) as picture:
        return picture.size[1], picture.size[0]


_SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "test", "testing")


def with_lists(folder: Path) -> tuple[Path, ...]:
    """Where a list of classes may be: in the folder, and above one of a split."""
    is_split = folder.name.lower() in _SPLIT_NAMES
    return (folder, folder.parent) if is_split else (folder,)


def picture_beside(stem: str, *folders: Path) -> Path | None:
    """The picture of this name without its ending."""
    candidates = (folder / f"{stem}{end}" for folder in folders for end in _PICTURES)
    both = (path for c in candidates for path in (c, c.with_suffix(c.suffix.upper())))
    return next((path for path in both if path.is_file()), None)


def _voc(place: str) -> tuple[list[_Picture], None]:
    """Edges count from 1 and include the last pixel: the picture's whole box is 1, 1, W, H."""
    root = Path(place)
    xml = root / "Annotations" if (root / "Annotations").is_dir() else root
    pictures = []
    for file in sorted(xml.glob("*.xml")):
        where = str(file)
        try:
            tree = ElementTree.parse(file).getroot()
        except ElementTree.ParseError as error:
            raise ValueError(f"{where} is no XML: {error}.") from error
        path = picture_beside(file.stem, root / "JPEGImages", root / "images", xml)
        if path is None:
            raise FileNotFoundError(f"{where}: there is no picture {file.stem}.jpg or the like.")
        height, width = _size(path)
        boxes = []
        for one in tree.iter("object"):
            edges = [
                _number(one.findtext(f"bndbox/{edge}"), where)
                for edge in ("ymin", "xmin", "ymax", "xmax")
            ]
            edges[:2] = [max(edge - 1, 0) if edge >= 0 else edge for edge in edges[:2]]
            kind = (one.findtext("name") or "").strip()
            boxes.append(_Box(where, kind, _fractions(edges, height, width, where)))
        pictures.append((str(path), boxes))
    return pictures, None


def _coco(place: str) -> tuple[list[_Picture], list[str]]:
    """Boxes are x, y, width, height in pixels; crowds are left out, as in training on COCO."""
    name, _, folder = place.partition(",")
    file = Path(name)
    try:
        content = json.loads(file.read_text("utf-8"))
        categories = {one["id"]: str(one["name"]) for one in content["categories"]}
        images = {one["id"]: one for one in content["images"]}
        boxes: dict[Any, list[_Box]] = {key: [] for key in images}
        for one in content["annotations"]:
            if one.get("iscrowd"):
                continue
            where, image = f"{file}, annotation {one.get('id')}", images[one["image_id"]]
            bbox = [_number(value, where) for value in one["bbox"]]
            if len(bbox) != 4:
                raise ValueError(f"{where}: bbox must be x, y, width, height, got {bbox!r:.80}.")
            x, y, width, height = bbox
            edges = _fractions(
                [y, x, y + height, x + width], image["height"], image["width"], where
            )
            kind = categories.get(one["category_id"], f"category {one['category_id']}")
            boxes[one["image_id"]].append(_Box(where, kind, edges))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{file} is no COCO file of boxes ({type(error).__name__}: {error})."
        ) from error
    root = Path(folder) if folder else file.parent
    pictures = [(str(root / one["file_name"]), boxes[key]) for key, one in images.items()]
    return pictures, [categories[key] for key in sorted(categories)]


def _yolo(place: str) -> tuple[list[_Picture], list[str] | None]:
    """A line a box: class, x and y of its centre, width, height, in fractions."""
    name, _, split = place.partition(",")
    root = Path(name)
    folder = (root / "labels" if (root / "labels").is_dir() else root) / split
    names = listed_names(*with_lists(root))
    pictures = []
    for file in sorted(folder.glob("*.txt")):
        path = picture_beside(file.stem, root / "images" / split, folder)
        if path is None:  # the list of classes, notes
            continue
        boxes = []
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
            where, words = f"{file}:{number}", line.split()
            if not words:
                continue
            if len(words) != 5 or not words[0].isdigit():
                raise ValueError(
                    f"{where}: a line must be 'class x y width height', got {line!r:.80}."
                )
            x, y, width, height = (_number(word, where) for word in words[1:])
            index = int(words[0])
            kind = names[index] if index < len(names) else words[0]
            edges = [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
            boxes.append(_Box(where, kind, edges))
        pictures.append((str(path), boxes))
    return pictures, names or None


def _csv(place: str) -> tuple[list[_Picture], None]:
    file, columns = Path(place), ("path", "class", "ymin", "xmin", "ymax", "xmax")
    boxes: dict[str, list[_Box]] = {}
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
            raise ValueError(f"{file} lacks the columns {', '.join(missing)}.")
        for row in reader:
            where, path = f"{file}:{reader.line_num}", file.parent / (row["path"] or "")
            if not path.is_file():
                raise FileNotFoundError(f"{where}: {path} is not there.")
            of_picture = boxes.setdefault(str(path), [])
            if not row["class"]:  # a picture without objects
                continue
            edges = [_number(row[name], where) for name in columns[2:]]
            of_picture.append(_Box(where, row["class"], _fractions(edges, *_size(path), where)))
    return list(boxes.items()), None


_READERS: dict[str, Callable[[str], tuple[list[_Picture], list[str] | None]]] = {
    "voc": _voc,
    "coco": _coco,
    "yolo": _yolo,
    "csv": _csv,
}
