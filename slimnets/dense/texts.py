"""Text files of annotation tools, of whatever editor: a byte-order mark is no text."""

from __future__ import annotations

from pathlib import Path


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
