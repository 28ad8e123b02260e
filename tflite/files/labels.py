"""Class names, in the order of the model's output; in text files one a line."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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


def check_labels(labels: Any, classes: int | None) -> tuple[str, ...]:
    """Labels as a tuple, read from a text file (`read_labels`) where a path is given.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not as many as classes; a label with a line break; what `read_labels` raises.
        TypeError: not text.
    """
    if labels is None:
        return ()
    place = ""
    if isinstance(labels, (str, os.PathLike)):
        place = f" in {os.fspath(labels)}"
        labels = read_labels(labels)
    if isinstance(labels, bytes) or not isinstance(labels, Iterable):
        raise TypeError(f"labels must be a list of names or the path of one, got {labels!r:.80}.")
    labels = tuple(labels)
    wrong = [label for label in labels if not isinstance(label, str)]
    if wrong:
        raise TypeError(f"labels must be text, got {wrong[0]!r:.80}.")
    broken = next((label for label in labels if len(label.splitlines()) != 1), None)
    if broken is not None:
        raise ValueError(f"a label must be one line of text, got {broken!r:.80}.")
    if classes == 1 and len(labels) == 2:
        raise ValueError(
            f"the model has one output, but 2 labels were given ({', '.join(labels)}). Its number "
            f"is that of one class: give just the name of the class that 1 means, as {labels[1]!r}."
        )
    if classes is not None and len(labels) != classes:
        raise ValueError(
            f"the model has {classes} classes, but {len(labels)} labels were given{place}."
        )
    return labels
