"""`csv:FILE`: a table of pictures with the columns path and label, and perhaps split."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from slimnets.data import pictures
from slimnets.data.splits import Source
from slimnets.dense.split_names import SPLITS, split_name
from slimnets.dense.texts import as_path, read_table


class _Row(NamedTuple):
    line: int
    path: str
    label: str
    split: str


def load(path: str) -> Source:
    """Reads a CSV file whose first line names its columns: path and label, perhaps split.

    Paths are relative to the file's folder, or absolute. Without a column split, or without rows of
    it that say val, a stratified fifth of the training images is "val". Classes are sorted by name,
    numbers by value. Commas, semicolons and tabs may stand between columns; others are ignored.

    Raises:
        FileNotFoundError: the file, or a picture that it names, is not there.
        ValueError: no such columns, an empty cell, a split of another name than train, val or test,
            a picture with two labels, no rows to train on, classes that differ between splits; and
            as `slimnets.data.pictures.build`.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}; give csv:FILE with the columns path and label.")
    rows = _rows(file)
    _check_pictures(file, rows)
    found = {row.label for row in rows}
    numbers = all(label.isdecimal() for label in found)
    names = tuple(sorted(found, key=int if numbers else str))
    parts = {split: [row for row in rows if row.split == split] for split in SPLITS}
    parts = {split: part for split, part in parts.items() if part}
    if "train" not in parts:
        raise ValueError(f"{file} has no row of split train, only of {' and '.join(parts)}.")
    pictures.check_same_classes(
        file, {split: {row.label for row in part} for split, part in parts.items()}
    )
    order = {name: label for label, name in enumerate(names)}
    labelled = {
        split: [(row.path, order[row.label]) for row in part] for split, part in parts.items()
    }
    return pictures.build(f"csv:{path}", names, labelled)


def _rows(file: Path) -> list[_Row]:
    table = read_table(file)
    if not {"path", "label"} <= set(table.columns):
        raise ValueError(
            f"the first line of {file} must name the columns path and label (and may name split), "
            f"got {', '.join(table.columns)!r:.80}."
        )
    if not table.rows:
        raise ValueError(f"{file} has no rows below its first line.")
    return [_row(file, *row) for row in table.rows]


def _row(file: Path, line: int, cells: dict[str, str]) -> _Row:
    path, label = cells["path"], cells["label"]
    if not path or not label:
        raise ValueError(f"{file}, line {line}: no {'label' if path else 'path'}.")
    said = cells.get("split", "train")
    split = split_name(said)
    if split is None:
        raise ValueError(
            f"{file}, line {line}: split must be train, val or test, got {said!r:.80}."
        )
    return _Row(line, str(as_path(file.parent, path)), label, split)


def _check_pictures(file: Path, rows: list[_Row]) -> None:
    missing = [row for row in rows if not Path(row.path).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(rows)} pictures that {file} names are not there; the first is "
            f"{missing[0].path}, line {missing[0].line}. Paths are relative to the file's folder."
        )
    seen: dict[str, _Row] = {}
    for row in rows:
        earlier = seen.setdefault(row.path, row)
        if earlier.label != row.label:
            raise ValueError(
                f"{file} disagrees with itself on {row.path}: {earlier.label} in line "
                f"{earlier.line}, {row.label} in line {row.line}."
            )
