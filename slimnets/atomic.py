"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary path in the same folder; on success that file takes `path`'s place.

    After an error or an interruption the old file, or none, is what remains.

    Args:
        path: the final file; its folder must exist.

    Raises:
        OSError: the folder is not there or cannot be written.
    """
    path = Path(path)
    # The whole name stays at the end: Keras goes by endings such as .weights.h5.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
