"""What watches a training: the best model, divergence, progress."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
from absl import logging

from slimnets.training.results import BEST, HISTORY, Results
from tflite import progress
from tflite.files.writing import replacing


def save_atomically(model: keras.Model, path: Path) -> None:
    """Writes a .keras file whole or not at all, ready to load without its optimizer."""
    # A model of the same layers that was never compiled: the file then holds weights only.
    plain = keras.Model(model.inputs, model.outputs, name=model.name)
    with replacing(path) as temporary:
        plain.save(temporary)


class SaveBest(keras.callbacks.Callback):
    """Keeps the model of the epoch with the best validation accuracy (then lowest loss).

    Attributes:
        path: the .keras file.
        epoch: the best epoch, counted from 1; 0 before the first.
    """

    def __init__(self, run: Results, deployable: keras.Model | None = None) -> None:
        """`deployable`: a float32 model of the same weights to save in place of a mixed one."""
        super().__init__()
        self.path = run.folder / BEST
        self._run = run
        self.epoch = 0
        self._best = (-math.inf, -math.inf)
        self._deployable = deployable

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        score = (logs["val_accuracy"], -logs["val_loss"])
        if score <= self._best:
            return
        model = self.model
        if self._deployable is not None:
            self._deployable.set_weights(model.get_weights())
            model = self._deployable
        self._run.begin()
        save_atomically(model, self.path)
        self._best, self.epoch = score, epoch + 1


class KeepHistory(keras.callbacks.Callback):
    """A line an epoch in history.csv, counted from 1 as everywhere; stands after `SaveBest`."""

    def __init__(self, run: Results) -> None:
        super().__init__()
        self._run = run
        self._rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._rows.append({"epoch": epoch + 1, **{name: logs[name] for name in sorted(logs)}})
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(self._rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(self._rows)
        self._run.write(HISTORY, text.getvalue().encode())


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training with an error as soon as the loss is not a number."""

    def __init__(self, best: SaveBest) -> None:
        super().__init__()
        self._best = best
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if math.isfinite(logs["loss"]):
            return
        best = self._best
        kept = f"{best.path} of epoch {best.epoch}" if best.epoch else "none yet"
        raise ValueError(
            f"the loss became {logs['loss']} in epoch {self._epoch}, step {batch + 1} (last good "
            f"checkpoint: {kept}); lower config.learning_rate.peak or add warm-up."
        )


class ShowProgress(keras.callbacks.Callback):
    """A bar over the epoch's steps on a terminal, and one log line an epoch everywhere."""

    def __init__(self, epochs: int, steps: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._steps = steps
        self._bar = contextlib.ExitStack()
        self._advance: Callable[[int, str], None]
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._start = time.monotonic()
        title = f"epoch {epoch + 1}/{self._epochs}"
        self._advance = self._bar.enter_context(progress.bar(title, self._steps))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._advance(1, f"loss {logs['loss']:.4f}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.close()
        logging.info(
            "epoch %d/%d  loss %.4f  accuracy %.4f  val_loss %.4f  val_accuracy %.4f  %.1f s",
            epoch + 1,
            self._epochs,
            logs["loss"],
            logs["accuracy"],
            logs["val_loss"],
            logs["val_accuracy"],
            time.monotonic() - self._start,
        )

    def close(self) -> None:
        """Takes the bar away, also after an interruption."""
        self._bar.close()
