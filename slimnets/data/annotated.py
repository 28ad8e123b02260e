"""`voc:`, `coco:`, `yolo:`, `masks:` and CSV files of boxes: pictures for detectors and segmenters.

How each tool writes is read by `slimnets.dense.annotations` and `slimnets.dense.masks`; here it
becomes splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging

from slimnets.data.pictures import VAL_FRACTION, check_few_are_bad
from slimnets.data.splits import Annotated, Source, stratified_order
from slimnets.dense import coco, yolo_names
from slimnets.dense.annotations import Annotations, read_annotations
from slimnets.dense.box_table import EDGES, box_table
from slimnets.dense.masks import read_masks
from slimnets.dense.places import BOXES, MASKS, PICTURES, inner
from slimnets.dense.split_names import SPLITS, split_name
from slimnets.dense.texts import as_path, read_text
from tflite.image_files import look_at

# The file with the boxes in each split's folder.
_ONE_FILE = {"coco": "*.json", "csv": "*.csv"}
# What of images/train and labels/train a split is told by; the other folder is found by it.
_WITH_SPLITS_INSIDE = {"yolo": PICTURES, "voc": BOXES, "masks": MASKS}
# Where lists of pictures are: Pascal VOC's, and darknet's.
_LISTS = {"voc": "ImageSets/Main", "masks": "ImageSets/Segmentation", "yolo": "."}
# What a split's list is called; the first that there is counts.
_LIST_NAMES = {"train": ("train", "trainval"), "val": ("val", "valid"), "test": ("test",)}


def load(kind: str, path: str) -> Source:
    """Reads a folder or file of annotations.

    A folder may have train/ and val/ (or valid/, test/ beside) that each are one, or have them
    inside of images/ and labels/; annotations/ may have a JSON file a split. Pascal VOC's may list
    its splits in ImageSets/, YOLO's in train.txt and val.txt. Else a fifth of the pictures becomes
    "val", the rare classes in both. Boxes that are wrong are left out and told; so are pictures
    that cannot be read.

    Args:
        kind: "voc", "coco", "yolo", "csv" or "masks".
        path: as of `slimnets.read_annotations`; of masks the folder; of YOLO also Ultralytics'
            data.yaml.

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
    if kind in _LISTS and set(parts) == {"train"}:
        parts = _listed(Path(path).expanduser() / _LISTS[kind], parts["train"]) or parts
    if kind == "csv" and set(parts) == {"train"}:
        parts = _told(Path(path).expanduser(), parts["train"])
    for line in skipped[:20]:
        logging.warning("left out: %s", line)
    if "val" not in parts:
        parts = {**_held_out(name, parts.pop("train")), **parts}
    if kind != "masks":
        _check_classes(name, names, parts)
    return Source(name, names, parts, tuple(skipped))


def has_boxes(path: str) -> bool:
    """Whether a CSV file's columns, or those of a folder's first, are those of boxes."""
    place = Path(path).expanduser()
    if place.is_dir():
        place = next((Path(one) for one in _splits_in(place, "*.csv").values()), place)
    return place.is_file() and {"class", *EDGES} <= {*box_table(place).columns}


def _places(kind: str, path: str) -> dict[str, str]:
    """Split → where it is; "train" first."""
    root = Path(path).expanduser()
    if kind == "yolo" and root.suffix.lower() in (".yaml", ".yml"):
        return _of_yaml(root)
    if not root.is_dir():
        return {"train": str(root)}
    if kind in _ONE_FILE and (found := _splits_in(root, _ONE_FILE[kind])):
        return found if kind == "csv" else {n: f"{f},{Path(f).parent}" for n, f in found.items()}
    if kind == "coco":
        return {name: str(file) for name, file in coco.files_of(root).items()}
    folders = _split_folders(root)
    if "train" not in folders and (part := inner(root, _WITH_SPLITS_INSIDE.get(kind, ()))):
        folders = _split_folders(part)
    if "train" not in folders:
        return {"train": str(root)}
    return {name: str(folders[name]) for name in SPLITS if name in folders}


def _split_folders(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in sorted(one for one in root.iterdir() if one.is_dir()):
        name = split_name(folder.name)
        if name is not None and name in found:
            raise ValueError(
                f"{root}: both {found[name].name}/ and {folder.name}/ may be the {name} split; "
                "rename or move one."
            )
        if name is not None:
            found[name] = folder
    return found


def _splits_in(root: Path, pattern: str) -> dict[str, str]:
    """Split → the one file of this pattern in its folder; empty where train/ has none."""
    files = {name: sorted(one.glob(pattern)) for name, one in _split_folders(root).items()}
    if not files.get("train"):
        return {}
    for found in files.values():
        if len(found) > 1:
            raise ValueError(
                f"{found[0].parent} has {len(found)} {pattern[1:]} files; which has its boxes?"
            )
    return {name: str(files[name][0]) for name in SPLITS if files.get(name)}


def _of_yaml(file: Path) -> dict[str, str]:
    """Split → its folder and the list of names, of Ultralytics' data.yaml."""
    folders = yolo_names.split_folders(file)
    if "train" not in folders:
        raise ValueError(
            f"{file} tells no folder of train that is there; give the one of images/ and labels/, "
            "as yolo:FOLDER."
        )
    return {name: f"{folders[name]},{file}" for name in SPLITS if name in folders}


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


def _listed(folder: Path, whole: Annotated) -> dict[str, Annotated]:
    """The splits that lists tell; empty where there are none, or that of train alone."""
    lists = {
        name: next((file for one in called if (file := folder / f"{one}.txt").is_file()), None)
        for name, called in _LIST_NAMES.items()
    }
    lists = {name: file for name, file in lists.items() if file is not None}
    if "train" not in lists or len(lists) == 1:
        return {}
    stems: dict[str, list[Path]] = {}
    for image in map(Path, whole.images):
        stems.setdefault(image.stem, []).append(image)
    order, parts = {Path(image): index for index, image in enumerate(whole.images)}, {}
    for name, file in lists.items():
        lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
        found = [_picture_of(line.replace("\\", "/"), stems) for line in lines]
        chosen = [order[image] for image in found if image is not None]
        if lines and not chosen and name != "test":
            raise ValueError(f"{file} names {lines[0]!r} and others, which have no annotations.")
        if missing := len(lines) - len(chosen):
            logging.warning("%d of the %d in %s have no annotations", missing, len(lines), file)
        if chosen:
            parts[name] = whole.select(np.array(chosen))
    return parts if "train" in parts and len(parts) > 1 else {}


def _picture_of(line: str, stems: Mapping[str, list[Path]]) -> Path | None:
    """What a line of a list names, perhaps as a file, perhaps before a number; of pictures of one
    name, the one in the folders that it tells."""
    above, _, name = line.rpartition("/")
    for word in (name, Path(name).stem, name.split()[0]):
        if word in stems:
            told = Path(above).parts[::-1]
            return max(stems[word], key=lambda image: _alike(image.parent.parts[::-1], told))
    return None


def _alike(first: Sequence[str], second: Sequence[str]) -> int:
    """How many items they begin with are the same."""
    pairs = zip(first, second, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _told(file: Path, whole: Annotated) -> dict[str, Annotated]:
    """The splits that a table's column split tells; all of it as "train" where there is none."""
    table = box_table(file)
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
        for name in SPLITS
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
