"""Boxes as annotation tools write them: Pascal VOC folders, COCO's JSON, YOLO's text, CSV.

A wrong box does not stop the reading, it is left out and told: in a real folder there are always
some. What is wrong with a whole file is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from PIL.Image import Transpose

from slimnets.dense.assignment import Objects, complaint_of
from slimnets.dense.split_names import with_lists
from slimnets.dense.texts import as_path, read_table, read_text
from slimnets.dense.yolo_names import listed_names
from tflite.images import IMAGE_SUFFIXES, is_hidden, shown_size

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


class _Box(NamedTuple):
    """As it was written: the file that says so, the class's name, corners in fractions; whether
    it is trained on, and whether detections are judged by it."""

    where: str
    kind: str
    corners: Sequence[float]
    trains: bool = True
    judges: bool = True


_Picture = tuple[str, list[_Box]]


def read_annotations(source: str, class_names: Sequence[str] | None = None) -> Annotations:
    """Reads the boxes of a folder or file.

    Args:
        source: "voc:FOLDER" (Annotations/*.xml and JPEGImages/, or the .xml files beside the
            pictures); "coco:FILE.json" or "coco:FILE.json,FOLDER" of its pictures; "yolo:FOLDER"
            (images/ and labels/, or .txt files beside the pictures, and classes.txt or data.yaml);
            "csv:FILE" with the columns path, class, ymin, xmin, ymax, xmax in pixels, and perhaps
            split. Pixels are those of the picture as it is shown, or of the size that XML or JSON
            tells; a photograph that EXIF turns may be told as it is stored.
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
    if not Path(_parts(place)[0]).exists():
        raise FileNotFoundError(f"{_parts(place)[0]} is not there.")
    pictures, listed = _READERS[kind](place)
    if not pictures:
        raise ValueError(f"{source} has no pictures with annotations.")
    found = sorted({box.kind for _, boxes in pictures for box in boxes if box.trains})
    names = tuple(class_names or listed or found)
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


def _parts(place: str) -> tuple[str, str]:
    """What stands before and behind the comma, which may also be one of a file's name."""
    ends = [at for at, letter in enumerate(place) if letter == ","]
    whole = next((at for at in (len(place), *ends) if Path(place[:at]).exists()), None)
    if whole is None:
        whole = place.index(",") if ends else len(place)
    return place[:whole], place[whole + 1 :]


def _kept(boxes: list[_Box], names: Sequence[str], rejected: list[str]) -> list[_Box]:
    kept = []
    for box in boxes:
        complaint = complaint_of(box.corners)
        if complaint is None and box.kind not in names:
            complaint = f"its class {box.kind!r:.80} is none of {', '.join(names[:8])}."
        if complaint:
            rejected.append(f"{box.where}: {complaint}")
        else:
            kept.append(box)
    return kept


def _objects(boxes: list[_Box], names: Sequence[str]) -> Objects:
    corners = np.array([box.corners for box in boxes], np.float32).reshape(-1, 4)
    kinds = np.array([names.index(box.kind) for box in boxes], np.int64)
    return Objects(np.clip(corners, 0, 1), kinds)


def _number(text: Any, where: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: {text!r:.80} is no number.") from None


class _Frame(NamedTuple):
    """What a picture's boxes are relative to: pixels, and how the picture is turned to be shown
    where the boxes are those of it as it is stored."""

    height: float
    width: float
    turn: Transpose | None


def _frame(path: Path, said: tuple[float, float], where: str) -> _Frame:
    """The frame of a picture's boxes.

    Args:
        path: of the picture.
        said: height and width of the picture that was annotated, which may have been of another
            size; 0: not said.
        where: for messages.
    """
    try:
        height, width, turn = shown_size(path)
    except OSError:
        height, width, turn = *said, None  # it will be left out as a whole
    swapped = said == (width, height) != (height, width)
    if min(said) > 0 and not (swapped and turn is None):
        height, width = said
    if not (height > 0 and width > 0):
        raise ValueError(f"{where}: a picture of {height:g}×{width:g} pixels.")
    # Tools that do not turn a photograph tell its size as it is stored.
    return _Frame(height, width, turn if swapped else None)


def _fractions(corners: Sequence[float], frame: _Frame) -> list[float]:
    """Corners ymin, xmin, ymax, xmax in pixels as fractions of the picture as it is shown."""
    sides = (frame.height, frame.width) * 2
    fractions = [value / side for value, side in zip(corners, sides, strict=True)]
    return _turned(fractions, frame.turn) if frame.turn is not None else fractions


def _turned(box: Sequence[float], turn: Transpose) -> list[float]:
    """A box after a turn of its picture by 90° or about a diagonal."""
    ymin, xmin, ymax, xmax = box
    down, across = (xmin, xmax), (ymin, ymax)
    if turn in (Transpose.ROTATE_90, Transpose.TRANSVERSE):
        down = (1 - xmax, 1 - xmin)
    if turn in (Transpose.ROTATE_270, Transpose.TRANSVERSE):
        across = (1 - ymax, 1 - ymin)
    return [down[0], across[0], down[1], across[1]]


def picture_beside(stem: str, *folders: Path) -> Path | None:
    """The picture of this name without its ending."""
    candidates = (folder / f"{stem}{end}" for folder in folders for end in IMAGE_SUFFIXES)
    both = (path for c in candidates for path in (c, c.with_suffix(c.suffix.upper())))
    return next((path for path in both if path.is_file()), None)


def _listing(folder: Path, pattern: str) -> list[Path]:
    """Its files, sorted, without a program's own, such as ._picture.xml of a Mac's archive."""
    return sorted(file for file in folder.glob(pattern) if not is_hidden(file.name))


def _voc(place: str) -> tuple[list[_Picture], None]:
    """Edges count from 1 and include the last pixel: the picture's whole box is 1, 1, W, H.

    Difficult objects are trained on, but judge nothing.
    """
    root = Path(place)
    xml = root / "Annotations" if (root / "Annotations").is_dir() else root
    pictures = []
    for file in _listing(xml, "*.xml"):
        where = str(file)
        try:
            tree = ElementTree.parse(file).getroot()
        except ElementTree.ParseError as error:
            raise ValueError(f"{where} is no XML: {error}.") from error
        path = picture_beside(file.stem, root / "JPEGImages", root / "images", xml)
        if path is None:
            raise FileNotFoundError(f"{where}: there is no picture {file.stem}.jpg or the like.")
        said = tuple(_number(tree.findtext(f"size/{s}") or 0, where) for s in ("height", "width"))
        frame, boxes = _frame(path, said, where), []
        for one in tree.iter("object"):
            edges = [
                _number(one.findtext(f"bndbox/{edge}"), where)
                for edge in ("ymin", "xmin", "ymax", "xmax")
            ]
            edges[:2] = [max(edge - 1, 0) if edge >= 0 else edge for edge in edges[:2]]
            kind = (one.findtext("name") or "").strip()
            easy = (one.findtext("difficult") or "0").strip() in ("0", "")
            boxes.append(_Box(where, kind, _fractions(edges, frame), judges=easy))
        pictures.append((str(path), boxes))
    return pictures, None


def _coco(place: str) -> tuple[list[_Picture], list[str]]:
    """Boxes are x, y, width, height in pixels; crowds are not trained on and judge nothing."""
    name, folder = _parts(place)
    file = Path(name)
    root = Path(folder).expanduser() if folder else file.parent
    try:
        content = json.loads(read_text(file))
        categories = {one["id"]: str(one["name"]) for one in content["categories"]}
        images = {one["id"]: one for one in content["images"]}
        paths = {key: as_path(root, one["file_name"]) for key, one in images.items()}
        boxes: dict[Any, list[_Box]] = {key: [] for key in images}
        frames: dict[Any, _Frame] = {}
        for one in content["annotations"]:
            where, key = f"{file}, annotation {one.get('id')}", one["image_id"]
            if key not in images:
                raise ValueError(f"{where} is of image {key!r:.40}, which no entry of images has.")
            bbox = [_number(value, where) for value in one["bbox"]]
            if len(bbox) != 4:
                raise ValueError(f"{where}: bbox must be x, y, width, height, got {bbox!r:.80}.")
            x, y, width, height = bbox
            if key not in frames:
                said = tuple(_number(images[key][side], where) for side in ("height", "width"))
                frames[key] = _frame(paths[key], said, where)
            edges = _fractions([y, x, y + height, x + width], frames[key])
            kind = categories.get(one["category_id"], f"category {one['category_id']}")
            single = not one.get("iscrowd")
            boxes[key].append(_Box(where, kind, edges, trains=single, judges=single))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{file} is no COCO file of boxes ({type(error).__name__}: {error})."
        ) from error
    pictures = [(str(paths[key]), of_picture) for key, of_picture in boxes.items()]
    return pictures, [categories[key] for key in sorted(categories)]


def _yolo(place: str) -> tuple[list[_Picture], list[str] | None]:
    """A line a box: class, x and y of its centre, width, height, in fractions; or class and the
    corners of a polygon, whose box counts. A picture without such a file has no objects."""
    name, split = _parts(place)
    root = Path(name)
    labels, images = root / "labels", root / "images"
    labels, images = ((place if place.is_dir() else root) / split for place in (labels, images))
    names = listed_names(*with_lists(root))
    files = [file for file in _listing(images, "*") if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files or not _listing(labels, "*.txt"):
        return [], names or None
    pictures = []
    for picture in files:
        file, boxes = labels / f"{picture.stem}.txt", []
        lines = read_text(file).splitlines() if file.is_file() else []
        for number, line in enumerate(lines, start=1):
            where, words = f"{file}:{number}", line.split()
            if not words:
                continue
            polygon = len(words) >= 7 and len(words) % 2 == 1
            if not (len(words) == 5 or polygon) or not words[0].isdigit():
                raise ValueError(
                    f"{where}: a line must be 'class x y width height', got {line!r:.80}."
                )
            values = [_number(word, where) for word in words[1:]]
            index = int(words[0])
            kind = names[index] if index < len(names) else words[0]
            if polygon:
                edges = [min(values[1::2]), min(values[::2]), max(values[1::2]), max(values[::2])]
            else:
                x, y, width, height = values
                edges = [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
            boxes.append(_Box(where, kind, edges))
        pictures.append((str(picture), boxes))
    return pictures, names or None


def _csv(place: str) -> tuple[list[_Picture], None]:
    file, needed = Path(place), ("path", "class", "ymin", "xmin", "ymax", "xmax")
    table = read_table(file)
    if missing := [name for name in needed if name not in table.columns]:
        raise ValueError(f"{file} lacks the columns {', '.join(missing)}.")
    boxes: dict[str, list[_Box]] = {}
    frames: dict[Path, _Frame] = {}
    for line, cells in table.rows:
        where, path = f"{file}:{line}", as_path(file.parent, cells["path"])
        if not path.is_file():
            raise FileNotFoundError(f"{where}: {path} is not there.")
        of_picture = boxes.setdefault(str(path), [])
        if not cells["class"]:  # a picture without objects
            continue
        if path not in frames:
            frames[path] = _frame(path, (0, 0), where)
        edges = [_number(cells[name], where) for name in needed[2:]]
        of_picture.append(_Box(where, cells["class"], _fractions(edges, frames[path])))
    return list(boxes.items()), None


_READERS: dict[str, Callable[[str], tuple[list[_Picture], list[str] | None]]] = {
    "voc": _voc,
    "coco": _coco,
    "yolo": _yolo,
    "csv": _csv,
}
