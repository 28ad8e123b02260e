"""CSV files of boxes: a line a box, columns by name."""

from __future__ import annotations

from pathlib import Path

from slimnets.dense.texts import Table, as_path, read_table
from slimnets.dense.written import Box, Frame, Picture, frame_of, number

EDGES = ("ymin", "xmin", "ymax", "xmax")
_NEEDED = ("path", "class", *EDGES)
# What else tools call a column.
_ALSO = {
    "path": ("filename", "file_name", "image", "image_path", "file"),
    "class": ("label", "class_name"),
}


def box_table(file: Path) -> Table:
    """A CSV file of boxes, its columns by the names that `read` knows.

    Raises:
        ValueError, OSError: as `read_table`.
    """
    table = read_table(file)
    known = {
        next((other for other in others if other in table.columns), name): name
        for name, others in _ALSO.items()
        if name not in table.columns
    }

    def ours(column: str) -> str:
        return known.get(column, column)

    rows = [
        row._replace(cells={ours(column): cell for column, cell in row.cells.items()})
        for row in table.rows
    ]
    return Table(tuple(map(ours, table.columns)), tuple(rows))


def read(place: str) -> tuple[list[Picture], None]:
    """A line without a class is a picture without objects; columns width and height, where there
    are any, tell the size of the picture that was annotated."""
    file = Path(place)
    table = box_table(file)
    if missing := [name for name in _NEEDED if name not in table.columns]:
        raise ValueError(f"{file} lacks the columns {', '.join(missing)}.")
    boxes: dict[str, list[Box]] = {}
    frames: dict[Path, Frame] = {}
    for line, cells in table.rows:
        where, path = f"{file}:{line}", as_path(file.parent, cells["path"])
        if not path.is_file():
            raise FileNotFoundError(f"{where}: {path} is not there.")
        of_picture = boxes.setdefault(str(path), [])
        if not cells["class"]:
            continue
        if path not in frames:
            said = tuple(number(cells.get(side) or 0, where) for side in ("height", "width"))
            frames[path] = frame_of(path, said)
        edges = [number(cells[name], where) for name in EDGES]
        of_picture.append(Box(where, cells["class"], edges, frames[path]))
    return list(boxes.items()), None
