"""The names of YOLO's class numbers: classes.txt or obj.names, or Ultralytics' data.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from slimnets.dense.texts import read_text

_LISTS = ("classes.txt", "obj.names", "labels.txt")
_YAML = ("data.yaml", "data.yml", "dataset.yaml")
# `- cat`, `0: cat`, perhaps in quotes, perhaps with a remark behind it.
_ITEM = re.compile(r"""\s*(?:-|(\d+)\s*:)\s*(?:'([^']*)'|"([^"]*)"|([^#]*?))\s*(?:#.*)?$""")

_MEMBER = re.compile(r"""\s*(?:(\d+)\s*:)?\s*(?:'([^']*)'|"([^"]*)"|([^,'"]+))\s*(?:,|$)""")


def listed_names(*folders: Path) -> list[str]:
    """The names in the first list that one of the folders has; empty where none has.

    Raises:
        ValueError: a data.yaml whose names are in no form that is known.
    """
    for folder in folders:
        for name in _LISTS:
            if (file := folder / name).is_file():
                lines = read_text(file).split("\n")
                return [line.strip() for line in lines if line.strip()]
        for name in _YAML:
            if (file := folder / name).is_file():
                return _of_yaml(file)
    return []


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
