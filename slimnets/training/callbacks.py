"""What watches a training: its checkpoints and best model, divergence, progress."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
from absl import logging
from ml_collections import ConfigDict

from slimnets.charts import FIGURES
from slimnets.training import checkpoints
from slimnets.training.averaging import Average
from slimnets.training.checkpoints import Standing, Terminated
from slimnets.training.results import BEST, CHECKPOINT, HISTORY, Results
from tflite import progress
from tflite.files.writing import replacing

# What an epoch's line tells, as far as it was measured.
_MEASURED = ("loss", *FIGURES)
_TOLD = (*_MEASURED, *(f"val_{name}" for name in _MEASURED))


def save_atomically(model: keras.Model, path: Path) -> None:
    """Writes a .keras file whole or not at all, ready to load without its optimizer."""
    # A model of the same layers that was never compiled: the file then holds weights only.
    plain = keras.Model(model.input, model.output, name=model.name)
    with replacing(path) as temporary:
        plain.save(temporary)


class KeepRun(keras.callbacks.Callback):
    """Keeps what a run has come to: checkpoints, the best epoch's model, a line an epoch.

    A checkpoint is written before the files that follow from it, so that whatever moment the
    process is killed at, the next one knows of each file that is missing.

    Attributes:
        standing: where the training stands; `restore` changes it.
        config: of the training.
        steps: in an epoch.
    """

    def __init__(
        self,
        run: Results,
        config: ConfigDict,
        *,
        model: keras.Model,
        steps: int,
        about: Mapping[str, Any],
        asked_to_end: threading.Event,
        average: Average | None = None,
        deployable: keras.Model | None = None,
        figure: str = "accuracy",
    ) -> None:
        """
        Args:
            run: where everything goes.
            config: of the training.
            model: what is trained, compiled, its optimizer built.
            steps: in an epoch.
            about: what a checkpoint is good for, see `checkpoints.save`.
            asked_to_end: once it is set, a checkpoint is written and `Terminated` raised.
            average: of the weights, kept in place of them.
            deployable: a float32 model of the same weights to save in place of a mixed one.
            figure: what the best epoch is the best by, as Keras's logs call it.
        """
        super().__init__()
        self.standing = Standing()
        self._run, self.config, self._trained = run, config, model
        self.steps, self._about = steps, about
        self._asked_to_end = asked_to_end
        self._average, self._deployable = average, deployable
        self.figure = figure
        self._metrics: list[Any] = []  # their state in the midst of an epoch
        self._started = self._saved = time.monotonic()

    def restore(self) -> None:
        """Goes back to the checkpoint. Model, optimizer and metrics are built.

        Raises:
            ValueError, OSError: as `checkpoints.restore`.
        """
        path = self._run.folder / CHECKPOINT
        self.standing = checkpoints.restore(path, self._variables(), self._about)
        self._metrics = [variable.numpy() for variable in self._metric_variables()]
        self._started = time.monotonic() - self.standing.seconds
        if self.standing.history:
            self._write_history()
        at = self.standing
        if at.best_epoch == at.epoch and not at.step:
            self.save(BEST)  # which may be what the process was killed in

    def start_from(self, logs: Mapping[str, float]) -> None:
        """Keeps the model as it is before its first epoch, which may stay the best."""
        if self.figure not in logs:
            return  # of a detector, which is measured in epochs only
        self.standing.judge(0, logs[self.figure], logs["loss"])
        self._checkpoint()
        self.save(BEST)
        logging.info("before the first epoch: val_%s %.4f", self.figure, logs[self.figure])

    def finished(self) -> bool:
        """Whether there is no epoch left, or no hope in one."""
        at, patience = self.standing, self.config.early_stopping
        hopeless = 0 < patience <= at.epoch - at.best_epoch and not at.step
        return hopeless or at.epoch >= self.config.epochs

    def save(self, name: str) -> None:
        """Writes the model as it would be deployed."""
        self._run.begin()
        averages = self._average.in_place() if self._average else contextlib.nullcontext()
        with averages:
            model = self._deployable or self._trained
            if self._deployable:
                model.set_weights(self._trained.get_weights())
            save_atomically(model, self._run.folder / name)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._metrics and self.standing.step:
            for variable, value in zip(self._metric_variables(), self._metrics, strict=True):
                variable.assign(value)
        self._metrics = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.standing.step += 1
        if self.standing.step == self.steps:
            return  # the end of the epoch is near, and with it the next checkpoint
        if self._asked_to_end.is_set():
            self._end()
        every = self.config.checkpoint
        minutes = (time.monotonic() - self._saved) / 60
        if (every.steps and self.standing.step % every.steps == 0) or 0 < every.minutes <= minutes:
            self._checkpoint()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        is_best = self.standing.end_epoch(logs, self.figure)
        self._checkpoint()
        if is_best:
            self.save(BEST)
        self._write_history()
        if self.finished():
            self.model.stop_training = True
        elif self._asked_to_end.is_set():
            self._end()

    def _variables(self) -> list[Any]:
        model = self._trained
        averages = self._average.variables if self._average else []
        return [
            *model.variables,
            *model.optimizer.variables,
            *self._metric_variables(),
            *averages,
        ]

    def _metric_variables(self) -> list[Any]:
        # To read them, all workers would have to save at once: an epoch that a cluster goes on with
        # is measured from there.
        alone = self.config.distribution != "multi_worker"
        return self._trained.metrics_variables if alone else []

    def _checkpoint(self) -> None:
        self.standing.seconds = time.monotonic() - self._started
        self._run.begin()
        path = self._run.folder / CHECKPOINT
        try:
            checkpoints.save(path, self._variables(), self.standing, self._about)
        except FloatingPointError:
            at = self.standing
            raise diverged("a weight became infinite or nan", at, self._run.folder) from None
        self._saved = time.monotonic()

    def _end(self) -> None:
        self._checkpoint()
        at = self.standing
        raise Terminated(
            f"asked to end (SIGTERM) after {at.epoch} epochs and {at.step} steps; "
            f"{self._run.folder / CHECKPOINT} is kept, and the same command goes on from there"
        )

    def _write_history(self) -> None:
        rows = self.standing.history
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        self._run.write(HISTORY, text.getvalue().encode())


def diverged(what: str, at: Standing, folder: Path) -> ValueError:
    """The error of a training that cannot be saved: what to name, what to do."""
    kept = f"{folder / BEST} of epoch {at.best_epoch}" if at.best_epoch else "none yet"
    return ValueError(
        f"{what} in epoch {at.epoch + 1}, step {at.step + 1} (last good checkpoint: {kept}); lower "
        "config.learning_rate.peak or add warm-up."
    )


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training with an error as soon as the loss is not a number; before `KeepRun`."""

    def __init__(self, kept: KeepRun, folder: Path) -> None:
        super().__init__()
        self._kept, self._folder = kept, folder

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if not math.isfinite(logs["loss"]):
            raise diverged(f"the loss became {logs['loss']}", self._kept.standing, self._folder)


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
            "epoch %d/%d  %s  %.1f s",
            epoch + 1,
            self._epochs,
            "  ".join(f"{name} {logs[name]:.4f}" for name in _TOLD if name in logs),
            time.monotonic() - self._start,
        )

    def close(self) -> None:
        """Takes the bar away, also after an interruption."""
        self._bar.close()


class TensorBoard(keras.callbacks.Callback):
    """Writes what is measured in each epoch, and the learning rate, for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        import tensorflow as tf

        # Only now: before the first epoch has ended, the folder may hold another run's.
        self._writer = self._writer or tf.summary.create_file_writer(str(self._folder))
        rate = float(self.model.optimizer.learning_rate)
        with self._writer.as_default(step=epoch + 1):
            for name, value in {**logs, "learning_rate": rate}.items():
                tf.summary.scalar(name, float(value))
        self._writer.flush()
