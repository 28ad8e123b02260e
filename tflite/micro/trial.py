"""Runs a file by TFLite Micro in processes of its own: what it does not like, it aborts on.

`python trial.py FOLDER` reads model.tflite and image.npy and finds the least arena by trying; each
trial is a process, forked from one that has loaded all it needs. It writes output.npy, and prints
the arena's size in bytes.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ALIGNMENT = 16
_USUAL, _LARGE = 1 << 16, 1 << 28
_SECONDS = 600


def is_installed() -> bool:
    """Whether there is a TFLite Micro to run anything by."""
    return importlib.util.find_spec("tflite_micro") is not None


def run_by_micro(content: bytes, image: np.ndarray, name: str) -> tuple[int, np.ndarray]:
    """The least arena in bytes, and the output for an image of the file's input's shape and type.

    Raises:
        ValueError: TFLite Micro cannot run the file; with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="slimnets_") as folder:
        Path(folder, "model.tflite").write_bytes(content)
        np.save(Path(folder, "image.npy"), image)
        ended = subprocess.run(
            [sys.executable, __file__, folder],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
        if ended.returncode:
            said = " ".join(ended.stderr.split()[-40:]) or "without a word"
            raise ValueError(
                f"{name}: TFLite Micro cannot run it ({said}). It gives up where activations are "
                "all but constant, as an untrained network's are."
            )
        return int(ended.stdout.split()[-1]), np.load(Path(folder, "output.npy"))


def _least_arena(folder: Path) -> int | None:
    low, high = 0, _USUAL
    while not _enough(folder, high):
        low, high = high, 2 * high
        if high > _LARGE:
            return None
    while high - low > ALIGNMENT:
        middle = (low + high) // 2 // ALIGNMENT * ALIGNMENT
        low, high = (low, middle) if _enough(folder, middle) else (middle, high)
    return high


def _enough(folder: Path, size: int) -> bool:
    """Whether the interpreter starts and runs; too small an arena may make it abort as well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _run(folder, size)
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _run(folder: Path, size: int) -> None:
    from tflite_micro import runtime

    content = (folder / "model.tflite").read_bytes()
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=size)
    interpreter.set_input(np.load(folder / "image.npy"), 0)
    interpreter.invoke()
    np.save(folder / "output.npy", interpreter.get_output(0))


def _main(folder: Path) -> int:
    from tflite_micro import runtime  # noqa: F401  once, before the forks

    size = _least_arena(folder)
    if size is None:
        return 1
    _run(folder, size)
    print(size)
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
