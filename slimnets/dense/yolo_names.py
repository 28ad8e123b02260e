"""The names of YOLO's class numbers: classes.txt, darknet's obj.names, Ultralytics' data.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from slimnets.dense.split_names import SPLITS
from slimnets.dense.texts import read_text
from tflite.image_files import is_hidden

_LISTS = ("classes.txt", "labels.txt", "_darknet.labels")
_YAML = (".yaml", ".yml")
# `- cat`, `0: cat`, perhaps in quotes, perhaps with a remark behind it.
_ITEM = re.compile(r"""\s*(?:-|(\d+)\s*:)\s*(?:'([^']*)'|"([^"]*)"|([^#]*?))\s*(?:#.*)?$""")

_MEMBER = re.compile(r"""\s*(?:(\d+)\s*:)?\s*(?:'([^']*)'|"([^"]*)"|([^,'"]+))\s*(?:,|$)""")


def listed_names(*places: Path) -> list[str]:
    """The names in the first list that one of the folders has, or that one of the places is; empty
    where none has.

    Raises:
        ValueError: a data.yaml whose names are in no form that is known.
    """
    for file in chain.from_iterable(map(_lists, places)):
        if file.suffix not in _YAML:
            lines = read_text(file).split("\n")
            return [line.strip() for line in lines if line.strip()]
        if names := _of_yaml(file):
            return names
    return []


def has_key_points(*places: Path) -> bool:
    """Whether a data.yaml says that lines go on behind a box, with the points of a pose."""
    files = (file for file in chain.from_iterable(map(_lists, places)) if file.suffix in _YAML)
    return any(re.search(r"^kpt_shape\s*:", read_text(file), re.MULTILINE) for file in files)


def split_folders(file: Path) -> dict[str, Path]:
    """The folders of pictures that a data.yaml tells for train, val and test, of those that are
    there: relative to its `path`, which is relative to it, or to it, as Roboflow writes them."""
    said = {key: _scalar(file, key) for key in ("path", *SPLITS)}
    home = file.parent / said.pop("path")
    found = {}
    for name, text in said.items():
        places = [top / text for top in (home, file.parent)]
        places += [top / text.removeprefix("../") for top in (home, file.parent)]
        place = next((one for one in places if text and one.is_dir()), None)
        if place is not None:
            found[name] = place
    return found


def _scalar(file: Path, key: str) -> str:
    match = re.search(rf"^{key}\s*:[ \t]*([^#\n]*)", read_text(file), re.MULTILINE)
    return match[1].strip().strip("'\"") if match else ""


def _lists(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place] if place.is_file() else []
    found = [place / name for name in _LISTS]
    for pattern in ("*.names", "data.yaml", "dataset.yaml", "*.yaml", "*.yml"):
        found += sorted(place.glob(pattern))
    return [file for file in found if file.is_file() and not is_hidden(file.name)]


def _of_yaml(file: Path) -> list[str]:
    """The key `names` alone is read: in brackets, or a line a name."""
    lines = read_text(file).splitlines()
    at = next((n for n, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if at is None:
        return []
    inline = lines[at].partition(":")[2].strip()
    inside = bool(inline) and not inline.startswith("#")
    found = dict(_listed([inline, *lines[at + 1 :]]) if inside else _items(lines[at + 1 :]))
    if not found or sorted(found) != list(range(len(found))):
        raise ValueError(
            f"{file}: its names cannot be read; write them into classes.txt beside it, one a line."
        )
    return [found[number] for number in range(len(found))]


def _listed(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Of a list in brackets, which may end some lines below."""
    brackets = re.match(r"\[[^\]]*\]|\{[^}]*\}", " ".join(lines))
    if brackets is None:
        return
    for place, match in enumerate(_MEMBER.finditer(brackets[0][1:-1])):
        number, *texts = match.groups()
        yield int(number or place), next(text for text in texts if text is not None).strip()


def _items(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Of lines, up to the first that is none."""
    for place, line in enumerate(line for line in lines if line.strip()):
        match = _ITEM.match(line)
        if match is None:
            return
        number, *texts = match.groups()
        yield int(number or place), next(text for text in texts if text is not None)
