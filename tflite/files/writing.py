"""Files that are there whole or not at all, also after a power cut.

What is written goes to a temporary file of the same folder, is forced to the disk and is then
renamed to its name: at every moment the name belongs to the old file, whole, or to the new one,
whole. The temporary file's name says which process of which machine writes it, so that the next
save to the same path can take away what a killed process left.
"""

import contextlib
import errno
import os
import platform
import re
import secrets
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_POSIX = os.name == "posix"
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
# Names that this process is writing right now. Its number alone does not tell: in a container that
# was started anew, the process that was killed had the same.
_in_use: set[str] = set()

_FULL = "Free some space there, or give a path on another disk."
_CLOSED = "Give a path in a folder that you may write to."
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "Give a path on a disk that takes files of this size (see also ulimit -f).",
    errno.EIO: "The disk or its connection fails; give a path on another one.",
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EROFS: _CLOSED,
}


def check_writable(path: str | os.PathLike) -> Path:
    """`path` as a Path, once it is sure that a file can be made there.

    What a killed process left of an earlier save to this path is removed.

    Raises:
        TypeError: it is no path.
        FileNotFoundError: its folder does not exist.
        NotADirectoryError: its folder is a file.
        IsADirectoryError: it is a folder itself.
        PermissionError: nothing may be written there.
        OSError: it is a device, a pipe or a socket, which a rename would replace.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"expected the path of a file to write, got {path!r:.80}.")
    path = Path(path)
    _check_place(path)
    folder = _target(path).parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(
            f"the folder {folder} is not writable: {error.strerror}. {path} cannot be made; "
            "choose another folder."
        ) from error
    _remove_leftovers(_target(path))
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives the path of a temporary file to write; when the block ends well, it becomes `path`.

    For libraries that want a path. The name ends as `path` does: Keras goes by endings such as
    `.weights.h5`. After an error or an interruption the old file, or none, is what remains.

    Raises:
        OSError: as `check_writable`; the disk is full.
    """
    path = Path(path)
    _check_place(path)
    target = _target(path)
    _remove_leftovers(target)
    name = f".{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.{target.name}"
    temporary = target.with_name(name)
    _in_use.add(name)
    try:
        yield temporary
        put_in_place(temporary, target)
    except OSError as error:
        if error.errno not in _ADVICE or error.filename not in (None, str(temporary)):
            raise
        raise _explained(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _in_use.discard(name)


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file that becomes `path` when the block ends well, and leaves nothing otherwise.

    Raises:
        OSError: as `replacing`.
    """
    with replacing(path) as temporary, temporary.open("xb") as file:
        yield file


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file atomically.

    Raises:
        OSError: as `replacing`.
    """
    with atomic_writer(path) as file:
        file.write(content)


def put_in_place(finished: Path, path: Path) -> None:
    """Renames a finished file of the same file system to `path`, its content on the disk first."""
    _sync(finished)
    os.replace(finished, path)
    # The new name is on the disk with its folder; some file systems cannot be told so.
    if _POSIX:
        with contextlib.suppress(OSError):
            _sync(path.parent)


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing, and a folder opens for reading only.
    handle = os.open(path, os.O_RDONLY if _POSIX else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _target(path: Path) -> Path:
    """What a rename may replace: a link stays, and what it points to is written."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _check_place(path: Path) -> None:
    folder = _target(path).parent
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of the file to write.")
    if not folder.exists():
        raise FileNotFoundError(f"the folder {folder} does not exist; make it first.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, so {path.name} cannot be written in it.")
    if path.exists() and not path.is_file():
        raise OSError(
            f"{path} is a device, a pipe or a socket, not a file; give the path of a file to write."
        )


def _remove_leftovers(path: Path) -> None:
    """Takes away the temporary files for `path` whose processes do not live any more."""
    pattern = re.compile(rf"\.{_HOST}-(\d+)-[0-9a-f]{{8}}\.{re.escape(path.name)}")
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            found = pattern.fullmatch(name)
            if found and name not in _in_use and not _is_another_alive(int(found[1])):
                path.with_name(name).unlink(missing_ok=True)


def _is_another_alive(process: int) -> bool:
    if process == os.getpid():
        return False
    if not _POSIX:
        return True  # Windows has no way of asking that does not end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def _explained(error: OSError, path: Path) -> OSError:
    """The same kind of error, with the file that was meant and a way out."""
    told = type(error)(
        f"cannot write {path}: {os.strerror(error.errno)}. {_ADVICE[error.errno]} What was at that "
        "path before is unchanged."
    )
    told.errno = error.errno
    return told
