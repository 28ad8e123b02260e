"""`folder:PATH`: images in one sub-folder per class."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging

from slimnets.data.splits import Source, Split, stratified_order
from tflite.images import IMAGE_SUFFIXES, image_files, is_hidden, read_image

_MAX_BAD_FRACTION = 0.01
_VAL_FRACTION = 0.2
_SPLIT_NAMES = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}


def load(path: str) -> Source:
    """Reads a folder of images.

    Either PATH/CLASS/image, of which a stratified fifth becomes "val", or PATH/train/CLASS/image
    with PATH/val and perhaps PATH/test beside it. Classes are sorted by name. Every image is
    decoded once: those that cannot be are skipped and named in the log.

    Raises:
        FileNotFoundError: PATH is not a folder.
        ValueError: no images, an empty class, a single class, classes that differ between splits,
            train/ without val/, or more than 1 % (and more than one) of the files unreadable.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; pass folder:PATH with one sub-folder a class.")
    parts = {_SPLIT_NAMES[d.name]: d for d in _sub_folders(root) if d.name in _SPLIT_NAMES}
    if "train" not in parts:
        class_names, files = _list_classes(root)
        whole, skipped = _readable(root, class_names, files)
        order = stratified_order(whole.labels)
        # At least one image of each class on either side.
        held_out = max(round(len(whole) * _VAL_FRACTION), len(class_names))
        splits = {"train": whole.select(order[held_out:]), "val": whole.select(order[:held_out])}
        _check_classes(root, class_names, splits)
        return Source(f"folder:{path}", class_names, splits, skipped)

    if "val" not in parts:
        raise ValueError(f"{root} has train/ but no val/; add one, or drop the train/ level.")
    names = {name: tuple(d.name for d in _sub_folders(part)) for name, part in parts.items()}
    for name in parts:
        if names[name] != names["train"]:
            differing = sorted(set(names[name]) ^ set(names["train"]))
            raise ValueError(
                f"{root}: the classes of train/ and {parts[name].name}/ differ: "
                f"{', '.join(differing)} in only one of them."
            )
    splits, skipped = {}, ()
    for name, part in parts.items():
        class_names, files = _list_classes(part)
        splits[name], bad = _readable(part, class_names, files)
        skipped += bad
    _check_classes(root, names["train"], splits)
    return Source(f"folder:{path}", names["train"], splits, skipped)


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(d for d in folder.iterdir() if d.is_dir() and not is_hidden(d.name))


def _list_classes(root: Path) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    """Class names, and (path, label) of every file that looks like an image."""
    folders = _sub_folders(root)
    files = [
        (str(file), label) for label, folder in enumerate(folders) for file in image_files(folder)
    ]
    if not files:
        raise ValueError(
            f"no images in {root}: expected one sub-folder per class holding "
            f"{', '.join(IMAGE_SUFFIXES)} files."
        )
    if len(folders) == 1:
        raise ValueError(f"{root} has one class only ({folders[0].name}); at least two are needed.")
    _require_images(root, [f.name for f in folders], (label for _, label in files))
    return tuple(f.name for f in folders), files


def _readable(
    root: Path, class_names: tuple[str, ...], files: list[tuple[str, int]]
) -> tuple[Split, tuple[str, ...]]:
    with ThreadPoolExecutor() as pool:
        problems = list(pool.map(_problem, (path for path, _ in files)))
    bad = [path for (path, _), problem in zip(files, problems, strict=True) if problem]
    for problem in filter(None, problems):
        logging.warning("skipped: %s", problem)
    if bad:
        logging.warning("%d of %d images in %s skipped", len(bad), len(files), root)
    if len(bad) > max(1, _MAX_BAD_FRACTION * len(files)):
        raise ValueError(
            f"{len(bad)} of {len(files)} images in {root} cannot be read, more than "
            f"{_MAX_BAD_FRACTION:.0%}; the first is {bad[0]}."
        )
    good = [file for file, problem in zip(files, problems, strict=True) if not problem]
    _require_images(root, class_names, (label for _, label in good))
    labels = np.array([label for _, label in good], np.int64)
    return Split(tuple(path for path, _ in good), labels), tuple(bad)


def _problem(path: str) -> str | None:
    try:
        read_image(path)
    except ValueError as error:
        return str(error)
    return None


def _require_images(root: Path, class_names: Iterable[str], labels: Iterable[int]) -> None:
    present = set(labels)
    empty = [name for label, name in enumerate(class_names) if label not in present]
    if empty:
        raise ValueError(f"{root}: no readable image in class {', '.join(empty)}.")


def _check_classes(root: Path, class_names: tuple[str, ...], splits: dict[str, Split]) -> None:
    for name, split in splits.items():
        missing = sorted(set(range(len(class_names))) - set(split.labels.tolist()))
        if missing:
            raise ValueError(
                f"{root}: class {class_names[missing[0]]} has no image left for the {name} "
                "split; two images a class are the least."
            )
