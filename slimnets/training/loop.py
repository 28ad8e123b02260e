"""`train(config, workdir)`: one training from a config to a folder of results."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
from absl import logging
from ml_collections import ConfigDict

from slimnets import charts, data, evaluation, sidecar
from slimnets.data.folder import folders_of_classes
from slimnets.training import (
    checkpoints,
    distillation,
    distribution,
    recipe,
    results,
    run_page,
    tasks,
)
from slimnets.training.averaging import Average
from slimnets.training.callbacks import KeepRun, ShowProgress, StopOnNaN, TensorBoard
from slimnets.training.config import check_config
from slimnets.training.default_recipe import resolve
from tflite.images import Preprocessing


def train(
    config: Mapping[str, Any],
    workdir: str | os.PathLike,
    *,
    resume: bool = True,
    load: Callable[[str], data.Source] = data.load,
) -> dict[str, Any]:
    """Trains by a config and keeps the best epoch's model.

    Everything that can be wrong is looked for first: the config, the folder, the data.

    A run that was killed, at whatever moment, goes on from its last checkpoint when it is called
    again with the same config; it then does the steps that are left, on the images that it would
    have seen, and with `config.deterministic` ends with the same weights to the bit (on the same
    machine and versions). Called once more after its end, it returns what it returned then.

    Args:
        config: as of `slimnets.training.default_config`.
        workdir: made if it is not there; receives `best.keras` and `last.keras` (float32, no
            optimizer state), `best.json` and `last.json` (what they are: see `slimnets.sidecar`),
            `labels.txt`, `history.csv` (a line an epoch), `curves.png`, `run.html` (a page about it
            all), `config.json` (complete) and `result.json`; until the end also `checkpoint.npz`.
            The files of a run with another config are set aside under other names
            (`slimnets.training.results`) when the first of these is written; until then they stay
            as they are.
        resume: False trains from the start, whatever is there; the same config's files are then
            set aside too.
        load: opens the data; who needs it afterwards keeps it by `functools.cache(data.load)`.

    Returns:
        A JSON-able dict: checkpoint (path), best_epoch, val_accuracy (a detector: val_map50, a
        segmenter: val_miou), val_loss, epochs, steps, seconds, classes, history (lists of numbers,
        one an epoch).

    Raises:
        ValueError: a wrong config or data set; another training in the folder; a loss that is not a
            number; a checkpoint that is damaged or does not fit the data.
        OSError: workdir cannot be written; what was there before is unchanged.
        ConnectionError: another worker of the cluster has gone.
        Terminated: SIGTERM came, and a checkpoint was written (main thread only).
    """
    config = check_config(config)
    _check_outside(Path(workdir), config.data.source)
    workdir = results.check_folder(workdir)
    sidecar.check_place(workdir / results.BEST)
    # A cluster has to be joined before TensorFlow does anything.
    strategy = distribution.open_strategy(config)
    recipe.prepare_process(config)
    with distribution.own_folder(workdir, config) as folder, results.alone(folder):
        result = _train(config, folder, strategy, resume, load)
    return {**result, "checkpoint": str(workdir / results.BEST)}


def _train(
    config: ConfigDict,
    workdir: Path,
    strategy: Any,
    resume: bool,
    load: Callable[[str], data.Source],
) -> dict[str, Any]:
    """What `train` does once the folder and the devices are there."""
    task = tasks.task_of(config)
    source = load(config.data.source)
    tasks.check_source(config, source)
    names = task.class_names(source)
    described = task.describe(source)
    logging.info("%s", described)
    config = resolve(config, len(source.splits["train"]))
    written = (config.to_json(indent=2) + "\n").encode()
    if resume and (result := results.finished(workdir, written)):
        _check_same_classes(workdir, result, source.name, names)
        logging.info("%s: this run is finished; give another --workdir to train anew", workdir)
        return result

    ready = _made_ready(config, task, source, names, strategy)
    model, preprocess, train_set, val_set, steps, average = ready
    goes_on = resume and results.has_checkpoint(workdir, written)
    records = {**_descriptions(config, source.name, names, preprocess), results.CONFIG: written}
    run = results.Results(workdir, records, begun=goes_on)
    progress = ShowProgress(config.epochs, steps)
    with checkpoints.listening() as asked_to_end:
        kept = KeepRun(
            run,
            config,
            model=model,
            steps=steps,
            about=_identity(source, names),
            asked_to_end=asked_to_end,
            average=average,
            deployable=_deployable(config, len(names)),
            figure=task.figure,
        )
        if goes_on:
            _go_on(model, train_set, val_set, kept)
        elif config.head.epochs:
            task.train_head(model, config, source, preprocess)
            kept.start_from(model.evaluate(val_set, verbose=0, return_dict=True))
        board = TensorBoard(workdir / results.TENSORBOARD) if config.tensorboard else None
        measuring = task.watchers(model, config, source, preprocess)
        watchers = [*measuring, StopOnNaN(kept, workdir), average, kept, progress, board]
        try:
            with distribution.worker_that_left(config):
                _fit(model, train_set, val_set, kept, [w for w in watchers if w])
        finally:
            progress.close()
    return _finish(kept, run, task, source, described, preprocess)


class _Ready(NamedTuple):
    """What is trained on what.

    `model`: compiled; `steps`: in an epoch; `average`: of its weights, where the config wants one.
    """

    model: Any
    preprocess: Preprocessing
    train_set: Any
    val_set: Any
    steps: int
    average: Average | None


def _made_ready(
    config: ConfigDict, task: tasks.Task, source: data.Source, names: Sequence[str], strategy: Any
) -> _Ready:
    """The network and its images, on one device or on those of a strategy."""
    scope = strategy.scope if strategy else contextlib.nullcontext
    with scope():
        model = recipe.build_model(config, len(names))
    preprocess = recipe.build_preprocessing(model, config)
    if strategy:
        model = distribution.Distributed(model, strategy)
    if config.teacher:
        model = distillation.taught(model, preprocess, config, names)
    train_set, val_set = task.data_sets(config, source, preprocess, model)
    steps = int(train_set.cardinality())
    if strategy:
        distribution.check_shares(strategy, config.batch_size, len(source.splits["val"]))
        train_set, val_set = map(distribution.shared, (train_set, val_set))
    recipe.settle_batch_norm(model, config, steps * config.epochs, shared=strategy is not None)
    with scope():
        model.compile(
            optimizer=recipe.build_optimizer(config, steps),
            jit_compile=config.xla,
            **task.compiled(config, model),
        )
        model.optimizer.build(model.trainable_variables)  # its state goes into checkpoints
        average = Average(model, config.ema) if config.ema else None
    return _Ready(model, preprocess, train_set, val_set, steps, average)


def _descriptions(
    config: ConfigDict, source: str, names: Sequence[str], preprocess: Preprocessing
) -> dict[str, bytes]:
    """What stands beside the models: file name → content."""
    started = [f"started from {config.model.weights},"] if config.model.weights else []
    described = sidecar.Sidecar(
        network=config.model.name,
        options=recipe.build_options(config, len(names)),
        preprocessing=preprocess,
        labels=tuple(names),
        weights=" ".join([*started, f"trained on {source}"]),
    )
    return {
        **{sidecar.path_beside(n).name: described.to_json() for n in (results.BEST, results.LAST)},
        results.LABELS: "".join(f"{n}\n" for n in names).encode(),
    }


def _deployable(config: ConfigDict, num_classes: int) -> keras.Model | None:
    """Graphs in mixed precision or of several replicas are for training; devices want neither."""
    if config.precision == "float32" and config.distribution == "none":
        return None
    return recipe.build_model(config, num_classes, "float32", load=False)


def _finish(
    kept: KeepRun,
    run: results.Results,
    task: tasks.Task,
    source: data.Source,
    about_data: str,
    preprocess: Preprocessing,
) -> dict[str, Any]:
    """Writes what a run ends with, and returns what it gave."""
    at = kept.standing
    history = {name: [row[name] for row in at.history] for name in at.history[0] if name != "epoch"}
    kept.save(results.LAST)
    run.write(results.CURVES, charts.png(charts.curves(history, at.best_epoch, task.figure)))
    result = {
        "checkpoint": str(run.folder / results.BEST),
        "best_epoch": at.best_epoch,
        f"val_{task.figure}": at.best[0],
        "val_loss": at.best[1],
        "epochs": at.epoch,
        "steps": kept.steps * at.epoch,
        "seconds": round(at.seconds, 2),
        "classes": list(task.class_names(source)),
        "history": history,
    }
    best = evaluation.open_keras(run.folder / results.BEST).model
    page = run_page.page(
        result,
        kept.config,
        figure=task.figure,
        about_data=about_data,
        sections=task.sections(best, result, source, preprocess),
        preprocess=preprocess,
    )
    run.write(results.PAGE, page.encode())
    logging.info("the run's page: %s", (run.folder / results.PAGE).resolve())
    run.write(results.RESULT, (json.dumps(result, indent=1) + "\n").encode())
    run.remove(results.CHECKPOINT)
    return result


def _fit(model, train_set, val_set, kept: KeepRun, watchers: list) -> None:
    """The epochs that are left; one that was broken off is brought to its end first."""
    left = kept.standing.step
    while not kept.finished():
        model.fit(
            train_set.skip(left) if left else train_set,
            validation_data=val_set,
            initial_epoch=kept.standing.epoch,
            epochs=kept.standing.epoch + 1 if left else kept.config.epochs,
            verbose=0,
            shuffle=False,  # the data set is shuffled already
            callbacks=watchers,
        )
        left = 0


# Each pass over the training set draws a new order, and `fit` begins two passes an epoch: one that
# it reads, and one at the end of the epoch that it drops.
_PASSES_AN_EPOCH = 2


def _go_on(model: keras.Model, train_set, val_set, kept: KeepRun) -> None:
    """Brings everything to where the checkpoint was written."""
    model.evaluate(val_set.take(1), verbose=0)  # makes the variables of the metrics
    kept.restore()
    for _ in range(_PASSES_AN_EPOCH * kept.standing.epoch):
        iter(train_set)
    at = kept.standing
    logging.info("going on after %d epochs and %d steps", at.epoch, at.step)


def _identity(source: data.Source, names: Sequence[str]) -> dict[str, Any]:
    """What of the data must be the same for a training to go on."""
    counts = {f"{name} images": len(split) for name, split in source.splits.items()}
    return {"classes": list(names), **counts}


def _check_same_classes(
    workdir: Path, result: Mapping[str, Any], source: str, names: Sequence[str]
) -> None:
    """Raise where a finished run's answers have other names than the data has by now."""
    before, now = result["classes"], list(names)
    if before != now:
        differing = sorted(set(before) ^ set(now)) or now
        raise ValueError(
            f"{workdir} holds a finished run of other classes than {source} has now "
            f"({', '.join(differing[:5])}): give another --workdir."
        )


def _check_outside(workdir: Path, source: str) -> None:
    """Raise where the run's folder would be read as a class of the data."""
    kind, _, folder = source.partition(":")
    if kind != "folder":
        return
    place = workdir.expanduser().resolve()
    for classes in folders_of_classes(folder):
        if classes.resolve() in (place, *place.parents):
            raise ValueError(
                f"--workdir {workdir} lies inside the data, {classes}, whose sub-folders are read "
                "as classes; give a workdir outside of it."
            )
