"""`voc:`, `coco:`, `yolo:`, `masks:` and CSV files of boxes: pictures for detectors and segmenters.

How each tool writes is read by `slimnets.dense.annotations` and `slimnets.dense.masks`; here it
becomes splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging

from slimnets.data.pictures import VAL_FRACTION, check_few_are_bad
from slimnets.data.splits import Annotated, Source, stratified_order
from slimnets.dense.annotations import Annotations, read_annotations
from slimnets.dense.masks import read_masks
from slimnets.dense.split_names import split_name
from slimnets.dense.texts import as_path, read_table, read_text
from tflite.images import look_at

# Lists of pictures in Pascal VOC's folders.
_VOC_LISTS = {"voc": "Main", "masks": "Segmentation"}


def load(kind: str, path: str) -> Source:
    """Reads a folder or file of annotations.

    A folder may have train/ and val/ (or valid/, test/ beside) that each are one; Pascal VOC's may
    list its splits in ImageSets/. Else a fifth of the pictures becomes "val", the rare classes in
    both. Boxes that are wrong are left out and told; so are pictures that cannot be read.

    Args:
        kind: "voc", "coco", "yolo", "csv" or "masks".
        path: as of `slimnets.read_annotations`; of masks the folder.

    Raises:
        ValueError: as `read_annotations` and `read_masks`; no boxes to train on; a class in another
            split that training lacks; more than 1 % (and more than one) of the pictures unreadable.
        FileNotFoundError: a file or folder is not there.
    """
    name, skipped = f"{kind}:{path}", []
    read = _masks if kind == "masks" else _boxes
    parts, names = {}, None
    for split, place in _places(kind, path).items():
        part, found, left_out = read(kind, place, names)
        parts[split] = part
        skipped += left_out
        names = names or found
    if kind in _VOC_LISTS and set(parts) == {"train"}:
        parts = _listed(Path(path).expanduser(), _VOC_LISTS[kind], parts["train"]) or parts
    if kind == "csv":
        parts = _told(Path(path).expanduser(), parts["train"])
    if "val" not in parts:
        parts = {**_held_out(name, parts.pop("train")), **parts}
    if kind != "masks":
        _check_classes(name, names, parts)
    for line in skipped[:20]:
        logging.warning("left out: %s", line)
    return Source(name, names, parts, tuple(skipped))


def has_boxes(file: str) -> bool:
    """Whether a CSV file's columns are those of boxes."""
    path, edges = Path(file).expanduser(), {"ymin", "xmin", "ymax", "xmax"}
    return path.is_file() and {"class", *edges} <= {*read_table(path).columns}


def _places(kind: str, path: str) -> dict[str, str]:
    """Split → where it is; "train" first."""
    root = Path(path).expanduser()
    if not root.is_dir():
        return {"train": str(root)}
    # Ultralytics' folders have the splits inside of images/ and labels/.
    inner = root / "labels" if kind == "yolo" and (root / "labels" / "train").is_dir() else root
    folders = {split_name(one.name): one for one in sorted(inner.iterdir()) if one.is_dir()}
    if "train" not in folders:
        return {"train": _json(root) if kind == "coco" else str(root)}
    places = {name: folders[name] for name in ("train", "val", "test") if name in folders}
    if inner != root:
        return {name: f"{root},{place.name}" for name, place in places.items()}
    return {n: _json(place) if kind == "coco" else str(place) for n, place in places.items()}


def _json(folder: Path) -> str:
    """The one COCO file in a folder of pictures."""
    found = sorted(folder.glob("*.json"))
    if len(found) != 1:
        raise ValueError(
            f"{folder} has {len(found)} .json files; give the one with the boxes, as "
            "coco:FILE.json,FOLDER."
        )
    return f"{found[0]},{folder}"


def _boxes(
    kind: str, place: str, names: tuple[str, ...] | None
) -> tuple[Annotated, tuple[str, ...], list[str]]:
    found = read_annotations(f"{kind}:{place}")
    if names is not None:
        found = _in_words_of(found, names, place)
    part, unreadable = _readable(place, Annotated(found.files, found.objects, judged=found.judged))
    return part, found.class_names, [*found.rejected, *unreadable]


def _in_words_of(found: Annotations, names: tuple[str, ...], place: str) -> Annotations:
    """The same with the training's class numbers."""
    used = {found.class_names[k] for _, classes in found.objects for k in classes}
    if unknown := sorted(used - set(names)):
        raise ValueError(
            f"{place} has boxes of {', '.join(unknown[:10])}, which the training pictures lack "
            f"(they have {', '.join(names[:10])})."
        )
    order = np.array([names.index(n) if n in names else -1 for n in found.class_names], np.int64)

    def renamed(pictures: tuple) -> tuple:
        return tuple(one._replace(classes=order[one.classes]) for one in pictures)

    judged = found.judged and renamed(found.judged)
    return found._replace(objects=renamed(found.objects), class_names=names, judged=judged)


def _masks(
    kind: str, place: str, names: tuple[str, ...] | None
) -> tuple[Annotated, tuple[str, ...], list[str]]:
    found = read_masks(place, names)
    part, unreadable = _readable(place, Annotated(found.files, masks=found.masks))
    return part, found.class_names, unreadable


def _readable(place: str, part: Annotated) -> tuple[Annotated, list[str]]:
    def problem(picture: str) -> str:
        try:
            look_at(picture)
        except OSError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        problems = list(pool.map(problem, part.images))
    bad = [one for one in problems if one]
    check_few_are_bad(bad, len(part), place)
    return part.select(np.flatnonzero([not one for one in problems])), bad


def _listed(root: Path, folder: str, whole: Annotated) -> dict[str, Annotated]:
    """The splits that VOC's lists tell; empty where there are none."""
    place = root / "ImageSets" / folder
    lists = {name: place / f"{name}.txt" for name in ("train", "val", "test")}
    if not (lists["train"].is_file() and lists["val"].is_file()):
        return {}
    stems = {Path(image).stem: index for index, image in enumerate(whole.images)}
    parts = {}
    for name, file in lists.items():
        lines = read_text(file).splitlines() if file.is_file() else []
        words = [_stem(line, stems) for line in lines if line.strip()]
        chosen = [stems[word] for word in words if word in stems]
        if words and not chosen and name != "test":
            raise ValueError(f"{file} names {words[0]!r} and others, which have no annotations.")
        if missing := len(words) - len(chosen):
            logging.warning("%d of the %d in %s have no annotations", missing, len(words), file)
        if chosen:
            parts[name] = whole.select(np.array(chosen))
    return parts if {"train", "val"} <= set(parts) else {}


def _stem(line: str, stems: Mapping[str, int]) -> str:
    """The picture that a line of a list names, perhaps as a file, perhaps before a number."""
    name = line.strip().replace("\\", "/").rpartition("/")[2]
    for word in (name, Path(name).stem, name.split()[0]):
        if word in stems:
            return word
    return name


def _told(file: Path, whole: Annotated) -> dict[str, Annotated]:
    """The splits that a table's column split tells; all of it as "train" where there is none."""
    table = read_table(file)
    if "split" not in table.columns:
        return {"train": whole}
    said: dict[str, str] = {}
    for line, cells in table.rows:
        where, picture = f"{file}:{line}", str(as_path(file.parent, cells["path"]))
        split = split_name(cells["split"])
        if split is None:
            raise ValueError(
                f"{where}: split must be train, val or test, got {cells['split']!r:.80}."
            )
        if said.setdefault(picture, split) != split:
            raise ValueError(f"{where}: {picture} is of split {said[picture]} further above.")
    parts = {
        name: np.array([i for i, image in enumerate(whole.images) if said[image] == name], int)
        for name in ("train", "val", "test")
    }
    if not len(parts["train"]):
        raise ValueError(f"{file} has no row of split train.")
    return {name: whole.select(chosen) for name, chosen in parts.items() if len(chosen)}


def _held_out(name: str, whole: Annotated) -> dict[str, Annotated]:
    """A fifth as "val", of each class where it has pictures enough; a picture counts to the rarest
    of its classes."""
    if len(whole) < 2:
        raise ValueError(f"{name} has {len(whole)} picture; two are the least, one to judge by.")
    kinds = [set(map(int, classes)) for _, classes in whole.objects or [((), ())] * len(whole)]
    counts = np.bincount([k for one in kinds for k in one], minlength=1)
    rarest = np.array([min(one, key=lambda k: counts[k]) if one else -1 for one in kinds])
    order = stratified_order(rarest)
    count = max(1, round(len(whole) * VAL_FRACTION))
    return {"train": whole.select(order[count:]), "val": whole.select(order[:count])}


def _check_classes(name: str, names: tuple[str, ...], parts: dict[str, Annotated]) -> None:
    """Raise where there is nothing to learn a class from that is asked for."""
    used = {
        split: {int(k) for _, classes in part.objects for k in classes}
        for split, part in parts.items()
    }
    if not used["train"]:
        raise ValueError(f"{name} has no boxes to train on.")
    for split, kinds in used.items():
        if unknown := [names[k] for k in sorted(kinds - used["train"])]:
            raise ValueError(
                f"{name}: {split} has boxes of {', '.join(unknown[:10])}, which train has none of."
            )
