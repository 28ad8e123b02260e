"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path


def check_writable(path: str | os.PathLike) -> Path:
    """`path` as a Path, once it is sure that a file can be made beside it.

    Raises:
        FileNotFoundError: its folder does not exist.
        NotADirectoryError: its folder is a file.
        IsADirectoryError: it is a folder itself.
        PermissionError: nothing may be written there.
    """
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of the file to write.")
    if not folder.exists():
        raise FileNotFoundError(f"the folder {folder} does not exist; make it first.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, so {path.name} cannot be written in it.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(f"the folder {folder} is not writable: {error.strerror}.") from error
    return path


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike) -> Iterator:
    """A binary file that becomes `path` when the block ends well, and leaves nothing otherwise.

    The bytes go to a temporary file of the same folder, are forced to the disk and are then
    renamed over `path`: at every moment `path` is the old file, whole, or the new one, whole.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
