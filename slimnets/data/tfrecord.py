"""`tfrecord:PATTERN`: pictures in TFRecord files, as TF-Slim writes ImageNet and others."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from absl import logging

from slimnets.data import examples, pictures
from slimnets.data.examples import Record
from slimnets.data.splits import Source
from slimnets.dense.split_names import SPLITS, split_name
from tflite.image_files import is_hidden

_LABELS = "labels.txt"
# What TF-Slim calls label 0 of ImageNet, which no picture has.
_NO_CLASS = ("background", "dummy", "unused background")


def load(pattern: str) -> Source:
    """Reads TFRecord files of `tf.train.Example` with TF-Slim's features: `image/encoded`,
    `image/class/label` and perhaps `image/class/text`.

    A file's split is the word train, validation or test in its name; files without one are
    "train". Without validation files a stratified fifth of the training images is "val". Labels
    may count from 0, or from 1 as ImageNet's of TF-Slim do (where 0 is the background's): if no
    picture has label 0, label 1 is the first class, and one line of the log says so. Classes are
    called as `image/class/text` or the file labels.txt beside says (a name a line, or
    `number:name`), else by their labels. The files are read once and not kept in memory; they must
    not be compressed.

    Args:
        pattern: of paths, such as `imagenet/*-of-*`, or a folder.

    Raises:
        FileNotFoundError: no file matches.
        ValueError: a damaged file, a feature that is missing, names that disagree, no training
            images, and as `slimnets.data.pictures.build`.
    """
    name = f"tfrecord:{pattern}"
    parts: dict[str, list[Record]] = {}
    files = _files(pattern)
    for split in SPLITS:
        chosen = [file for file in files if (split_name(file.name) or "train") == split]
        if not chosen:
            continue
        parts[split] = list(
            examples.read(
                chosen, image="image/encoded", label="image/class/label", text="image/class/text"
            )
        )
        if not parts[split]:
            raise ValueError(f"{name}: no record in {', '.join(map(str, chosen))}.")
    if "train" not in parts:
        raise ValueError(
            f"{name} matches no file to train on, only those of {' and '.join(parts)}: give a "
            "pattern of both, such as 'folder/*'."
        )
    names, first = _names(name, parts, files[0].parent / _LABELS)
    pictures.check_same_classes(
        name, {split: {names[r.label - first] for r in part} for split, part in parts.items()}
    )
    labelled = {
        split: [(record.picture, record.label - first) for record in part]
        for split, part in parts.items()
    }
    return pictures.build(name, names, labelled)


def _files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    found = path.iterdir() if path.is_dir() else map(Path, glob.glob(str(path)))
    files = [
        file
        for file in sorted(found)
        if file.is_file() and not is_hidden(file.name) and file.suffix not in (".txt", ".json")
    ]
    if not files:
        raise FileNotFoundError(
            f"no file matches {path}; give a pattern such as 'tfrecord:folder/*.tfrecord'."
        )
    return files


def _names(where: str, parts: dict[str, list[Record]], beside: Path) -> tuple[tuple[str, ...], int]:
    """The classes' names in order, and the label of the first."""
    called: dict[int, tuple[str, Record]] = {}
    for record in (record for part in parts.values() for record in part):
        if record.label < 0:
            raise ValueError(f"{record.picture.name} has the label {record.label}.")
        name, earlier = called.setdefault(record.label, (record.text, record))
        if name != record.text:
            raise ValueError(
                f"{where}: label {record.label} is {name!r} in {earlier.picture.name} and "
                f"{record.text!r} in {record.picture.name}."
            )
    names = {label: text for label, (text, _) in called.items() if text}
    listed = _read_labels(beside) if beside.is_file() else {}
    if listed:
        _check_agreement(beside, listed, called)
        names = listed
    first = 0 if 0 in called or (listed and min(listed) == 0 and not _is_none(listed[0])) else 1
    last = max(max(called), max(listed, default=0))
    if first:
        logging.info("%s: labels count from 1 and are %d classes", where, last)
    return tuple(names.get(n) or str(n) for n in range(first, last + 1)), first


def _read_labels(path: Path) -> dict[int, str]:
    lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+):(.*)", line) for line in lines]
    if all(numbered):
        return {int(match[1]): match[2].strip() for match in numbered}
    return dict(enumerate(lines))


def _check_agreement(
    beside: Path, listed: dict[int, str], called: dict[int, tuple[str, Record]]
) -> None:
    for label, (text, record) in sorted(called.items()):
        if label not in listed:
            raise ValueError(
                f"{beside} names {len(listed)} classes, none for the label {label} of "
                f"{record.picture.name}: correct it, or take it away."
            )
        if text and listed[label] != text:
            raise ValueError(
                f"{beside} calls label {label} {listed[label]!r}, and {record.picture.name} calls "
                f"it {text!r}: correct it, or take it away."
            )


def _is_none(name: str) -> bool:
    return name.lower() in _NO_CLASS
