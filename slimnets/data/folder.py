"""`folder:PATH`: images in one sub-folder per class."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging

from slimnets.data.splits import Source, Split, stratified_order
from tflite.images import IMAGE_SUFFIXES, each_image_file, image_files, is_hidden, read_image

_MAX_BAD_FRACTION = 0.01
_VAL_FRACTION = 0.2
# Words in a folder's name that make it a split: train, Training, seg_train, train-images.
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def load(path: str) -> Source:
    """Reads a folder of images.

    Either PATH/CLASS/image, of which a stratified fifth becomes "val", or PATH/train/CLASS/image
    with PATH/val, PATH/test or both beside it, under these or similar names (Training, seg_test,
    validation). Without val/ a fifth of train/ is it; a test/ without classes is left out. Classes
    are sorted by name. Every image is decoded once: those that cannot be are skipped and named in
    the log, and so are pictures that are in two splits. Hidden files and folders are no data.

    Raises:
        FileNotFoundError: PATH is not a folder.
        ValueError: no images, an empty class, a single class, classes that differ between splits,
            folders that may be splits or classes, train/ alone, or more than 1 % (and more than
            one) of the files unreadable.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; pass folder:PATH with one sub-folder a class.")
    parts = _split_folders(root) or {"all": root}
    names = {name: tuple(d.name for d in _sub_folders(part)) for name, part in parts.items()}
    first = next(iter(parts))
    for name, part in parts.items():
        if names[name] != names[first]:
            differing = sorted(set(names[name]) ^ set(names[first]))
            raise ValueError(
                f"{root}: the classes of {parts[first].name}/ and {part.name}/ differ: "
                f"{', '.join(differing)} in only one of them."
            )
    splits, skipped, digests = {}, (), {}
    for name, part in parts.items():
        files = _list_files(part)
        splits[name], bad, found = _readable(part, names[first], files)
        skipped += bad
        digests.update(found)
    if "val" not in splits:
        whole = "all" if "all" in splits else "train"
        splits = {**_held_out(root, names[first], splits.pop(whole)), **splits}
    _tell_of_copies(splits, digests)
    return Source(f"folder:{path}", names[first], splits, skipped)


def folders_of_classes(path: str | Path) -> list[Path]:
    """The folders whose sub-folders `load` reads as classes: PATH itself, or its splits.

    Raises:
        ValueError: as `load`, where folders may be splits or classes.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        return []
    return [*_split_folders(root).values()] or [root]


def _split_folders(root: Path) -> dict[str, Path]:
    """Split → folder; empty where the sub-folders are classes.

    Whether a folder called train is a split or holds pictures of trains is told by what is in it:
    a split has sub-folders with images.
    """
    folders = _sub_folders(root)
    named = {folder: name for folder in folders if (name := _split_name(folder.name))}
    split = {folder: name for folder, name in named.items() if _holds_classes(folder)}
    others = [folder for folder in folders if folder not in split]
    if "train" not in split.values():
        if named and len(named) == len(folders):
            raise ValueError(
                f"{root} has {', '.join(f'{f.name}/' for f in named)} and no train/ with one "
                "sub-folder a class in it: put the images into sub-folders named as their classes."
            )
        return {}
    parts: dict[str, Path] = {}
    for folder, name in split.items():
        if name in parts:
            raise ValueError(
                f"{root}: both {parts[name].name}/ and {folder.name}/ may be the {name} split; "
                "rename or move one."
            )
        parts[name] = _unpacked(folder)
    for folder in others:
        name = named.get(folder)
        if name == "test" and _holds_images(folder):
            logging.warning("%s holds images without class sub-folders: it is left out", folder)
        elif name == "val" and _holds_images(folder):
            raise ValueError(
                f"{folder} holds images but no sub-folders: give it one a class, as train/ has."
            )
        elif not name and len(parts) == 1 and _holds_images(folder):
            raise ValueError(
                f"{root}: it is not clear whether {parts['train'].name}/, which has sub-folders of "
                f"images, is a split or a class beside {folder.name}/. Move what is no data away, "
                "or add val/."
            )
    if set(parts) == {"train"}:
        raise ValueError(f"{root} has train/ but no val/; add one, or drop the train/ level.")
    return {name: parts[name] for name in ("train", "val", "test") if name in parts}


def _split_name(name: str) -> str | None:
    found = {
        _SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLIT_WORDS
    }
    return found.pop() if len(found) == 1 else None


def _unpacked(folder: Path) -> Path:
    """The folder, or the one inside it that alone holds all of it, as archives unpack."""
    inner = _sub_folders(folder)
    while len(inner) == 1 and not _holds_images(inner[0]) and _holds_classes(inner[0]):
        folder, inner = inner[0], _sub_folders(inner[0])
    return folder


def _holds_images(folder: Path) -> bool:
    return any(path.parent == folder for path in each_image_file(folder))


def _holds_classes(folder: Path) -> bool:
    return any(path.parent != folder for path in each_image_file(folder))


def _held_out(root: Path, class_names: tuple[str, ...], whole: Split) -> dict[str, Split]:
    """A stratified fifth as "val" and the rest as "train", each with every class."""
    order = stratified_order(whole.labels)
    count = max(round(len(whole) * _VAL_FRACTION), len(class_names))
    val, train = [*order[:count]], [*order[count:]]
    for label, name in enumerate(class_names):
        if (whole.labels == label).sum() < 2:
            raise ValueError(
                f"{root}: class {name} has no image left for the val split; two images a class are "
                "the least."
            )
        # Of a class with few images among many, the cut may have left all on one side.
        for giver, taker in ((train, val), (val, train)):
            if not (whole.labels[taker] == label).any():
                moved = next(index for index in giver if whole.labels[index] == label)
                giver.remove(moved)
                taker.append(moved)
    return {"train": whole.select(np.array(train)), "val": whole.select(np.array(val))}


def _tell_of_copies(splits: dict[str, Split], digests: dict[str, bytes]) -> None:
    """Warns of pictures that are in two splits: what is learned by heart is measured there."""
    seen: dict[bytes, tuple[str, str]] = {}
    for name, split in splits.items():
        copies = []
        for path in split.images:
            where, first = seen.setdefault(digests[path], (name, path))
            if where != name:
                copies.append((where, first, path))
        if copies:
            where, first, path = copies[0]
            logging.warning(
                "%d of %d %s images are in %s as well, for example %s as %s: accuracy is measured "
                "on what was trained on",
                len(copies),
                len(split),
                name,
                where,
                path,
                first,
            )


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(d for d in folder.iterdir() if d.is_dir() and not is_hidden(d.name))


def _list_files(root: Path) -> list[tuple[str, int]]:
    """(path, label) of every image of a folder of classes."""
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
    return files


def _readable(
    root: Path, class_names: tuple[str, ...], files: list[tuple[str, int]]
) -> tuple[Split, tuple[str, ...], dict[str, bytes]]:
    """The files that can be decoded, those that cannot, and a digest of each of the former."""
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_digest, (path for path, _ in files)))
    bad = [path for (path, _), one in zip(files, found, strict=True) if isinstance(one, str)]
    for problem in (one for one in found if isinstance(one, str)):
        logging.warning("skipped: %s", problem)
    if bad:
        logging.warning("%d of %d images in %s skipped", len(bad), len(files), root)
    if len(bad) > max(1, _MAX_BAD_FRACTION * len(files)):
        raise ValueError(
            f"{len(bad)} of {len(files)} images in {root} cannot be read, more than "
            f"{_MAX_BAD_FRACTION:.0%}; the first is {bad[0]}."
        )
    good = [
        (path, label, one)
        for (path, label), one in zip(files, found, strict=True)
        if not isinstance(one, str)
    ]
    _require_images(root, class_names, (label for _, label, _ in good))
    labels = np.array([label for _, label, _ in good], np.int64)
    split = Split(tuple(path for path, _, _ in good), labels)
    return split, tuple(bad), {path: digest for path, _, digest in good}


def _digest(path: str) -> bytes | str:
    """What tells the file from others, once it is decoded; the problem where it cannot be."""
    try:
        read_image(path)
    except ValueError as error:
        return str(error)
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()


def _require_images(root: Path, class_names: Iterable[str], labels: Iterable[int]) -> None:
    present = set(labels)
    empty = [name for label, name in enumerate(class_names) if label not in present]
    if empty:
        raise ValueError(f"{root}: no readable image in class {', '.join(empty)}.")
