"""What a model file takes of memory: loaded and run in a process of its own.

python -m slimnets.benchmark.peak_memory FILE THREADS [DELEGATE] prints bytes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_SECONDS = 300
_RUNS = 3


def peak_memory(
    path: str | os.PathLike, threads: int = 1, delegate: bool | str | os.PathLike = True
) -> int | None:
    """Bytes by which a fresh process grows, at its peak, while it loads and runs a file.

    The libraries that run it are loaded before and do not count.

    Returns:
        The bytes; None where it cannot be told (another system than Linux; the process failed).
    """
    if not _STATUS.is_file():
        return None
    words = [sys.executable, "-m", __name__, os.path.abspath(path), str(threads)]
    if not isinstance(delegate, bool):
        words.append(os.fspath(delegate))
    try:
        ended = subprocess.run(
            words,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=_SECONDS,
            check=False,
        )
        return int(ended.stdout.split()[-1]) if not ended.returncode else None
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def _measure(path: str, threads: int, delegate: bool | str) -> int:
    from slimnets.benchmark.contestants import open_contestant
    from tflite.measuring.peak import matrix_product
    from tflite.measuring.timing import invocation

    # Whatever a library allocates with the first file that it runs is not this file's.
    if path.endswith(".tflite"):
        invocation(matrix_product("float32"))()
    elif path.endswith(".keras"):
        import keras

        keras.ops.convert_to_numpy(keras.ops.zeros(1))
    before = _kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    run = open_contestant(path, delegate).opened(threads)
    for _ in range(_RUNS):
        run()
    return 1024 * max(0, _kib("VmHWM") - before)


def _kib(field: str) -> int:
    return int(re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE).group(1))


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2]), sys.argv[3] if sys.argv[3:] else True))
