"""Class names in text files: one a line, in the order of the model's output."""

import os
from pathlib import Path


def read_labels(path: str | os.PathLike) -> tuple[str, ...]:
    """The class names of a text file, however its editor ended lines.

    A byte-order mark, Windows line ends, blanks at the end of a line and empty lines at the end of
    the file belong to no name.

    Args:
        path: UTF-8 text.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8, or a line between two names is empty: whose is it?
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no file {path} with class names.") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text, so it cannot be read as class names; save it as UTF-8."
        ) from error
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise ValueError(
            f"line {lines.index('') + 1} of {path} is empty, but each line names a class; take it "
            "out, or name the class."
        )
    return tuple(lines)
