"""Progress bars: on standard error, and only where that is a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Step = TypeVar("Step")


@contextlib.contextmanager
def bar(
    title: str, total: int | None, *, of_bytes: bool = False
) -> Iterator[Callable[[int, str], None]]:
    """A function that moves a bar on: `advance(count, note="")`; the note is shown behind it.

    The bar is gone when the block ends, also by an error.

    Args:
        title: shown before it.
        total: how many steps are to come; None: not known.
        of_bytes: the steps are bytes.
    """
    if not sys.stderr.isatty():
        yield lambda count, note="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn() if of_bytes else MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as shown:
        task = shown.add_task(title, total=total, note="")
        yield lambda count, note="": shown.update(task, advance=count, note=note)


def steps(sequence: Sequence[Step], title: str) -> Iterator[Step]:
    """The same steps one by one, with a bar over them."""
    with bar(title, len(sequence)) as advance:
        for step in sequence:
            yield step
            advance(1)
