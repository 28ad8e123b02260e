"""What a training goes on from after it was killed: one file, replaced as a whole.

It holds every variable (of the model, the optimizer, the metrics, the averages) and where the
training stood. How the images are shuffled and changed follows from the seed and the epoch, so that
a run that goes on sees what it would have seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import signal
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tflite.files.writing import replacing

_VERSION = 1


class Terminated(Exception):
    """The process was asked to end (SIGTERM), and a checkpoint was kept."""


@dataclass
class Standing:
    """Where a training stands.

    Attributes:
        epoch: how many epochs are done.
        step: how many steps of the next one are.
        seconds: what they took.
        best_epoch: whose model is kept, counted from 1; 0 before the first.
        best: its validation figure (accuracy, of a classifier) and loss.
        history: a row an epoch: "epoch", counted from 1, and what was measured.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best: tuple[float, float] = (-math.inf, math.inf)
    history: list[dict[str, float]] = field(default_factory=list)

    def end_epoch(self, logs: Mapping[str, float], figure: str = "accuracy") -> bool:
        """Counts an epoch that has ended, and says whether it is the best so far by a figure."""
        self.epoch, self.step = self.epoch + 1, 0
        self.history.append({"epoch": self.epoch, **{k: float(logs[k]) for k in sorted(logs)}})
        return self.judge(self.epoch, logs[f"val_{figure}"], logs["val_loss"])

    def judge(self, epoch: int, figure: float, loss: float) -> bool:
        """Takes note of an epoch's model if it is the best so far, and says whether it is."""
        if (figure, -loss) <= (self.best[0], -self.best[1]):
            return False
        self.best_epoch, self.best = epoch, (float(figure), float(loss))
        return True


def save(
    path: Path, variables: Sequence[Any], standing: Standing, about: Mapping[str, Any]
) -> None:
    """Replaces the checkpoint; whatever fails, the earlier one is untouched.

    Args:
        path: of the file.
        variables: Keras variables, in an order that `restore` will meet again.
        standing: where the training stands.
        about: what has to be the same when it is gone on with, JSON-able.

    Raises:
        FloatingPointError: a variable is not finite.
        OSError: it cannot be written.
    """
    arrays = {f"v{i}": np.asarray(variable) for i, variable in enumerate(variables)}
    if not all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f"):
        raise FloatingPointError
    note = {"version": _VERSION, "about": about, "standing": dataclasses.asdict(standing)}
    note = np.frombuffer(json.dumps(note).encode(), np.uint8)
    with replacing(path) as temporary, temporary.open("xb") as file:
        np.savez(file, note=note, **arrays)


def restore(path: Path, variables: Sequence[Any], about: Mapping[str, Any]) -> Standing:
    """Sets the variables to what a checkpoint holds: all of them, or none.

    Raises:
        ValueError: the file is damaged, or of another training: the message says what differs.
        OSError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            note = json.loads(file["note"].tobytes())
            arrays = [file[f"v{i}"] for i in range(len(file.files) - 1)]
        version, found = note["version"], note["about"]
        standing = Standing(**{**note["standing"], "best": tuple(note["standing"]["best"])})
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it to train from the start, or give another "
            "--workdir."
        ) from error
    if version != _VERSION:
        raise ValueError(
            f"{path} is of version {version}, and this slimnets reads version {_VERSION}."
        )
    about = json.loads(json.dumps(about))
    if differing := [name for name in about if about[name] != found.get(name)]:
        said = "; ".join(f"{n}: {_short(found.get(n))} → {_short(about[n])}" for n in differing)
        raise ValueError(
            f"{path} cannot be gone on from, since the data changed ({said}). Restore the data, "
            "or give another --workdir."
        )
    shapes = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != shapes:
        raise ValueError(
            f"{path} holds {len(arrays)} variables that are not this training's {len(shapes)}; it "
            "is of another version of slimnets or Keras. Give another --workdir."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return standing


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@contextlib.contextmanager
def listening() -> Iterator[threading.Event]:
    """While the block runs, SIGTERM ends nothing but sets the event."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # Python lets only the main thread decide about signals
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
