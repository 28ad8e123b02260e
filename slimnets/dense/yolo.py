"""YOLO's text, a file a picture, as darknet, Ultralytics and labelling tools have it."""

from __future__ import annotations

from pathlib import Path

from slimnets.dense.places import LABELS, PICTURES, files_below, inner, twin, with_lists
from slimnets.dense.texts import read_text
from slimnets.dense.written import Box, Picture, number, parts
from slimnets.dense.yolo_names import has_key_points, listed_names
from tflite.image_files import IMAGE_SUFFIXES


def read(place: str) -> tuple[list[Picture], list[str] | None]:
    """A line a box: class, x and y of its centre, width, height, in fractions; or class and the
    corners of a polygon, whose box counts. A picture without such a file has no objects."""
    name, told = parts(place)
    root = Path(name)
    images = inner(root, PICTURES) or root
    labels = twin(images, PICTURES, LABELS) or inner(root, LABELS) or images
    lists = [Path(told).expanduser()] if told else [*with_lists(images), *with_lists(labels)]
    names, posed = listed_names(*lists), has_key_points(*lists)
    texts = {file.relative_to(labels).with_suffix("") for file in files_below(labels, (".txt",))}
    files = files_below(images, IMAGE_SUFFIXES)
    stems = [file.relative_to(images).with_suffix("") for file in files]
    if images == labels:  # where any pictures may be, those in folders with texts count
        folders = {stem.parent for stem in stems if stem in texts}
        chosen = [stem.parent in folders for stem in stems]
        files = [file for file, one in zip(files, chosen, strict=True) if one]
        stems = [stem for stem, one in zip(stems, chosen, strict=True) if one]
    if not texts.intersection(stems):
        return [], names or None
    pictures = []
    for file, stem in zip(files, stems, strict=True):
        text = labels / f"{stem}.txt"
        pictures.append((str(file), _boxes(text, names, posed) if stem in texts else []))
    return pictures, names or None


def _boxes(file: Path, names: list[str], posed: bool) -> list[Box]:
    boxes = []
    for count, line in enumerate(read_text(file).splitlines(), start=1):
        where, words = f"{file}:{count}", line.split()
        if not words:
            continue
        polygon = not posed and len(words) >= 7 and len(words) % 2 == 1
        kind = words[0].removesuffix(".0")
        if not (len(words) == 5 or polygon or (posed and len(words) > 5)) or not kind.isdigit():
            raise ValueError(f"{where}: a line must be 'class x y width height', got {line!r:.80}.")
        values = [number(word, where) for word in words[1:]]
        kind = names[int(kind)] if int(kind) < len(names) else kind
        if polygon:
            edges = [min(values[1::2]), min(values[::2]), max(values[1::2]), max(values[::2])]
        else:
            x, y, width, height = values[:4]
            edges = [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
        boxes.append(Box(where, kind, edges))
    return boxes
