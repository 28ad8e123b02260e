"""The files of a run: they appear together with its first model, and never in another run's place.

A run that fails before its first epoch has ended leaves the folder as it found it. One that comes
so far sets the earlier run's files aside, whole, as `earlier-1.keras`, `earlier-1.labels.txt` and
so on, before its own appear.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from absl import logging

from tflite.files.writing import check_writable, write_bytes

BEST = "best.keras"
LABELS = "labels.txt"
CONFIG = "config.json"
HISTORY = "history.csv"
CURVES = "curves.png"

# What each file is called when another run takes its place. The model goes first, so that it is
# never without its names: beside x.keras they are looked for in x.labels.txt, then in labels.txt.
_SET_ASIDE = {
    BEST: "{}.keras",
    "best.json": "{}.json",
    LABELS: "{}.labels.txt",
    CONFIG: "{}.config.json",
    HISTORY: "{}.history.csv",
    CURVES: "{}.curves.png",
}


class Results:
    """The folder of one run.

    Attributes:
        folder: where everything goes.
    """

    def __init__(self, folder: str | os.PathLike, records: Mapping[str, bytes]) -> None:
        """Changes nothing yet, but for making the folder.

        Args:
            folder: made if it is not there.
            records: file name → content: what belongs beside the first model that is kept.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder = Path(folder)
        self._records = dict(records)
        self._begun = False

    def begin(self) -> None:
        """Makes place for this run's first model; called again, it does nothing."""
        if self._begun:
            return
        _set_aside(self.folder)
        for name, content in self._records.items():
            write_bytes(self.folder / name, content)
        self._begun = True

    def write(self, name: str, content: bytes) -> None:
        """Writes one of this run's files, whole or not at all."""
        self.begin()
        write_bytes(self.folder / name, content)


def check_folder(folder: str | os.PathLike, flag: str = "--workdir") -> Path:
    """The folder of a run, made if need be, once it is sure that files can be made there.

    Args:
        folder: its path.
        flag: what it is called where it was given; errors say so.

    Raises:
        OSError: it cannot be made or written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder / BEST)
    except OSError as error:
        reason = (error.strerror or str(error)).rstrip(".")
        raise OSError(f"cannot write to {flag} {folder}: {reason}.") from error
    return folder


def _set_aside(folder: Path) -> None:
    if not (folder / BEST).exists():
        return
    taken = {path.name.partition(".")[0] for path in folder.iterdir()}
    stem = next(f"earlier-{n}" for n in count(1) if f"earlier-{n}" not in taken)
    for name, pattern in _SET_ASIDE.items():
        if (folder / name).exists():
            os.replace(folder / name, folder / pattern.format(stem))
    logging.warning("%s held an earlier run's results: they are kept there as %s.*", folder, stem)
