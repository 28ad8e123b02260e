"""The files of a run: they appear together with its first model, and never in another run's place.

A run that fails before it keeps anything leaves the folder as it found it. One that comes so far
sets the files of another run aside, whole, as `earlier-1.keras`, `earlier-1.labels.txt` and so on,
before its own appear. What the same config left is no other run: it is gone on with.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from absl import logging

from tflite.files.writing import check_writable, write_bytes

BEST = "best.keras"
LAST = "last.keras"
LABELS = "labels.txt"
CONFIG = "config.json"
HISTORY = "history.csv"
CURVES = "curves.png"
PAGE = "run.html"
CHECKPOINT = "checkpoint.npz"
RESULT = "result.json"
TENSORBOARD = "tensorboard"

# What each file is called when another run takes its place. What makes a folder a run's goes first:
# the checkpoint, then the model, which so is never without its names: beside x.keras they are
# looked for in x.labels.txt, then in labels.txt.
_SET_ASIDE = {
    CHECKPOINT: "{}.checkpoint.npz",
    BEST: "{}.keras",
    "best.json": "{}.json",
    LABELS: "{}.labels.txt",
    LAST: "{}.last.keras",
    "last.json": "{}.last.json",
    CONFIG: "{}.config.json",
    HISTORY: "{}.history.csv",
    CURVES: "{}.curves.png",
    PAGE: "{}.run.html",
    RESULT: "{}.result.json",
    TENSORBOARD: "{}.tensorboard",
}
# How often a run is saved does not change what comes out of it.
_NOT_OF_THE_RUN = ("checkpoint",)


class Results:
    """The folder of one run.

    Attributes:
        folder: where everything goes.
    """

    def __init__(
        self, folder: str | os.PathLike, records: Mapping[str, bytes], begun: bool = False
    ) -> None:
        """Changes nothing yet.

        Args:
            folder: an existing one.
            records: file name → content: what belongs beside the first model that is kept.
            begun: what is in the folder is this run's.
        """
        self.folder = Path(folder)
        self._records = dict(records)
        self._begun = begun

    def begin(self) -> None:
        """Makes place for this run's first file; called again, it does nothing.

        Raises:
            OSError: the folder cannot be written.
        """
        if self._begun:
            return
        _set_aside(self.folder, self._records.get(CONFIG))
        for name, content in self._records.items():
            write_bytes(self.folder / name, content)
        self._begun = True

    def write(self, name: str, content: bytes) -> None:
        """Writes one of this run's files, whole or not at all."""
        self.begin()
        write_bytes(self.folder / name, content)

    def remove(self, name: str) -> None:
        """Takes one of this run's files away that is of no more use."""
        (self.folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While the block runs, no other training works in the folder: of two, one would write its
    model beside the other's class names.

    Raises:
        ValueError: another does. A process that was killed does not.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another training is at work in {folder}; wait for its end, or give another "
                "--workdir."
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def check_folder(folder: str | os.PathLike, flag: str = "--workdir") -> Path:
    """The folder of a run, made if need be, once it is sure that files can be made there.

    What killed processes left half-written is removed.

    Args:
        folder: its path.
        flag: what it is called where it was given; errors say so.

    Raises:
        OSError: it cannot be made or written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _SET_ASIDE:
            if name != TENSORBOARD:
                check_writable(folder / name)
    except OSError as error:
        reason = (error.strerror or str(error)).rstrip(".")
        raise OSError(f"cannot write to {flag} {folder}: {reason}.") from error
    return folder


def has_checkpoint(folder: Path, config: bytes) -> bool:
    """Whether a run of this config was broken off in this folder, and can go on."""
    return (folder / CHECKPOINT).exists() and _is_of(folder, config)


def finished(folder: Path, config: bytes) -> dict[str, Any] | None:
    """What a run of this config gave that came to its end in this folder; None: none did."""
    if not (folder / BEST).exists() or not _is_of(folder, config):
        return None
    try:
        result = json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    # A process that was killed at its very end may have left it.
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return {**result, "checkpoint": str(folder / BEST)}


def _is_of(folder: Path, config: bytes) -> bool:
    return _fields(folder) == _comparable(json.loads(config))


def _fields(folder: Path) -> dict[str, Any] | None:
    """The config that a folder's run was started with, as far as runs differ by it."""
    try:
        return _comparable(json.loads((folder / CONFIG).read_bytes()))
    except (OSError, ValueError):
        return None


def _comparable(config: Any, path: str = "") -> dict[str, Any]:
    """Field → value, of a nested config."""
    if not isinstance(config, dict):
        return {path: config}
    found: dict[str, Any] = {}
    for name, value in config.items():
        if path or name not in _NOT_OF_THE_RUN:
            found |= _comparable(value, f"{path}.{name}" if path else name)
    return found


def _set_aside(folder: Path, config: bytes | None) -> None:
    unfinished = (folder / CHECKPOINT).exists()
    if not unfinished and not (folder / BEST).exists():
        return
    taken = {path.name.partition(".")[0] for path in folder.iterdir()}
    stem = next(f"earlier-{n}" for n in count(1) if f"earlier-{n}" not in taken)
    difference = _difference(_fields(folder), _comparable(json.loads(config or b"{}")))
    for name, pattern in _SET_ASIDE.items():
        if (folder / name).exists():
            os.replace(folder / name, folder / pattern.format(stem))
    logging.warning(
        "%s held %s: it is kept there as %s.*%s",
        folder,
        "an earlier run that was not at its end" if unfinished else "an earlier run's results",
        stem,
        f" (this run differs in {difference})" if difference else "",
    )


def _difference(earlier: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> str:
    """Which fields of two configs differ, in words; "" where one is not known."""
    if not earlier or not ours:
        return ""
    names = [name for name in {**earlier, **ours} if earlier.get(name) != ours.get(name)]
    return ", ".join(f"{name}: {earlier.get(name)} → {ours.get(name)}" for name in names[:5])
