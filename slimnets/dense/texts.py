"""Text files of annotation tools, of whatever editor: a byte-order mark is no text."""

from __future__ import annotations

import csv
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple


def read_text(file: Path) -> str:
    """What stands in a file.

    Raises:
        ValueError: it is not UTF-8.
        OSError: it cannot be read.
    """
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8 ({error}); save it as UTF-8.") from error


def as_path(folder: Path, name: str) -> Path:
    """A file named relative to a folder, with slashes or with the backslashes of Windows."""
    path = folder / name
    return path if "\\" not in name or path.exists() else folder / name.replace("\\", "/")


class Row(NamedTuple):
    """A line of a CSV file: its number, and its cells by column, "" where it ends before."""

    line: int
    cells: dict[str, str]


class Table(NamedTuple):
    """A CSV file: its columns in lower case, and the lines below that are not empty."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(file: Path) -> Table:
    """What stands in a CSV file, whose first line names its columns; commas, semicolons or tabs
    stand between them.

    Raises:
        ValueError: it is not UTF-8, or its quotation marks are not in pairs.
        OSError: it cannot be read.
    """
    lines = read_text(file).splitlines(keepends=True)
    first = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=max(",;\t", key=first.count), strict=True)
    rows = []
    try:
        columns = tuple(column.strip().lower() for column in next(reader, ()))
        for words in reader:
            if any(words):
                cells = map(str.strip, words[: len(columns)])
                named = dict(zip_longest(columns, cells, fillvalue=""))
                rows.append(Row(reader.line_num, named))
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num}: {error}.") from error
    return Table(columns, tuple(rows))
