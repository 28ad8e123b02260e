"""`folder:PATH`: images in one sub-folder per class."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from absl import logging

from slimnets.data import pictures
from slimnets.data.splits import Source
from slimnets.dense.split_names import SPLITS, split_name
from tflite.image_files import IMAGE_SUFFIXES, each_image_file, image_files, is_hidden


def load(path: str) -> Source:
    """Reads a folder of images.

    Either PATH/CLASS/image, of which a stratified fifth becomes "val", or PATH/train/CLASS/image
    with PATH/val, PATH/test or both beside it, under these or similar names (Training, seg_test,
    validation). Without val/ a fifth of train/ is it; a test/ without classes is left out. Classes
    are sorted by name. Every image is decoded once: those that cannot be are skipped and named in
    the log. Hidden files and folders are no data.

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
    names = {name: tuple(map(_class_name, _sub_folders(part))) for name, part in parts.items()}
    pictures.check_same_classes(
        root, {f"{part.name}/": names[name] for name, part in parts.items()}
    )
    files = {name: _list_files(part) for name, part in parts.items()}
    for part in parts.values():
        if stray := sum(path.suffix.lower() in IMAGE_SUFFIXES for path in part.iterdir()):
            logging.warning("%d pictures beside the classes of %s: left out", stray, part)
    if "all" in files:
        files = {"train": files["all"]}
    return pictures.build(f"folder:{path}", next(iter(names.values())), files)


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
    named = {folder: name for folder in folders if (name := split_name(folder.name))}
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
    return {name: parts[name] for name in SPLITS if name in parts}


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


def _sub_folders(folder: Path) -> list[Path]:
    folders = (d for d in folder.iterdir() if d.is_dir() and not is_hidden(d.name))
    return sorted(folders, key=_class_name)


def _class_name(folder: Path) -> str:
    """Its name, with an accent written one way: archives made on a Mac write two letters for ñ."""
    return unicodedata.normalize("NFC", folder.name)


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
    return files
