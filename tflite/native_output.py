"""What libraries' C++ code says on standard error, past Python, line by line."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

# Descriptor 2 is the whole process's: two threads that put it aside at once would mix it up.
_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def intercepted(handle: Callable[[str], object]) -> Iterator[None]:
    """Standard error is kept back while the block runs; then `handle` is given each line of it.

    Lines that are not only the block's (of another thread) are among them: `pass_on` what is not
    known to be noise. Nothing is kept back where there is no standard error, or no place for a
    temporary file. A block that kills the process takes its lines along.

    Args:
        handle: takes a line without its end.
    """
    with _one_at_a_time:
        said = _put_aside()
        if said is None:
            yield
            return
        kept, file = said
        try:
            yield
        finally:
            _flush()
            os.dup2(kept, 2)
            os.close(kept)
            with file:
                file.seek(0)
                lines = file.read().decode("utf-8", "replace").splitlines()
            for line in lines:
                handle(line)


def pass_on(line: str) -> None:
    """Writes a line to standard error as C++ does: to the descriptor, whatever sys.stderr is."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())


def _put_aside():
    """A copy of standard error and the file that now stands in its place; None if impossible."""
    _flush()
    try:
        kept = os.dup(2)
    except OSError:  # closed
        return None
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115  closed by who reads it
    except OSError:
        os.close(kept)
        return None
    os.dup2(file.fileno(), 2)
    return kept, file


def _flush() -> None:
    # None under pythonw; closed, or a broken pipe, where nobody reads it any more.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stderr.flush()
