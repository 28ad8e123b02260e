"""`train(config, workdir)`: one training from a config to a folder of results."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from absl import logging

from slimnets import charts, data, sidecar
from slimnets.catalog import for_size, preprocessing
from slimnets.data import pipeline
from slimnets.data.folder import folders_of_classes
from slimnets.training import recipe, results
from slimnets.training.callbacks import KeepHistory, SaveBest, ShowProgress, StopOnNaN
from slimnets.training.config import check_config


def train(config: Mapping[str, Any], workdir: str | os.PathLike) -> dict[str, Any]:
    """Trains by a config and keeps the best epoch's model.

    Everything that can be wrong is looked for first: the config, the folder, the data.

    Args:
        config: as of `slimnets.training.default_config`.
        workdir: made if it is not there; receives `best.keras` (float32, no optimizer state),
            `best.json` (what it is: see `slimnets.sidecar`), `labels.txt`, `history.csv` (a line
            an epoch), `curves.png` and `config.json`, all from the end of the first epoch on. An
            earlier run's files are then set aside under other names (`slimnets.training.results`);
            until then they stay as they are.

    Returns:
        A JSON-able dict: checkpoint (path), best_epoch, val_accuracy, val_loss, epochs, steps,
        seconds, classes, history (lists of numbers, one an epoch).

    Raises:
        ValueError: a wrong config or data set; a loss that is not a number.
        OSError: workdir cannot be written.
    """
    config = check_config(config)
    _check_outside(Path(workdir), config.data.source)
    workdir = results.check_folder(workdir)
    sidecar.check_place(workdir / results.BEST)
    keras.utils.set_random_seed(config.seed)
    source = data.load(config.data.source)
    for split in ("train", "val"):
        logging.info("%s: %d %s images", source.name, len(source.splits[split]), split)

    num_classes = len(source.class_names)
    model = recipe.build_model(config, num_classes)
    preprocess = for_size(preprocessing(model), config.model.input_size)
    train_set = pipeline.training_dataset(
        source.splits["train"],
        preprocess,
        num_classes=num_classes,
        batch_size=config.batch_size,
        seed=config.seed,
        flip=config.data.flip,
        shift=config.data.shift,
    )
    val_set = pipeline.evaluation_dataset(
        source.splits["val"], preprocess, num_classes=num_classes, batch_size=config.batch_size
    )
    steps = int(train_set.cardinality())
    model.compile(
        optimizer=recipe.build_optimizer(config, steps),
        loss=recipe.build_loss(config, model),
        metrics=["accuracy"],
        jit_compile=config.xla,
    )

    described = sidecar.Sidecar(
        network=config.model.name,
        options=recipe.build_options(config, num_classes),
        preprocessing=preprocess,
        labels=source.class_names,
        weights=f"trained on {source.name}",
    )
    records = {
        sidecar.path_beside(results.BEST).name: described.to_json(),
        results.LABELS: "".join(f"{n}\n" for n in source.class_names).encode(),
        results.CONFIG: (config.to_json(indent=2) + "\n").encode(),
    }
    run = results.Results(workdir, records)
    # Mixed-precision graphs are for training; devices and importers want plain float32.
    mixed = config.precision != "float32"
    deployable = recipe.build_model(config, num_classes, "float32") if mixed else None
    best = SaveBest(run, deployable)
    progress = ShowProgress(config.epochs, steps)
    start = time.monotonic()
    try:
        history = model.fit(
            train_set,
            validation_data=val_set,
            epochs=config.epochs,
            verbose=0,
            shuffle=False,  # the data set is shuffled already
            callbacks=[
                StopOnNaN(best),
                best,
                KeepHistory(run),
                progress,
            ],
        ).history
    finally:
        progress.close()
    seconds = time.monotonic() - start
    history = {name: [float(v) for v in values] for name, values in history.items()}
    run.write(results.CURVES, charts.png(charts.curves(history, best.epoch)))
    return {
        "checkpoint": str(best.path),
        "best_epoch": best.epoch,
        "val_accuracy": history["val_accuracy"][best.epoch - 1],
        "val_loss": history["val_loss"][best.epoch - 1],
        "epochs": config.epochs,
        "steps": steps * config.epochs,
        "seconds": round(seconds, 2),
        "classes": list(source.class_names),
        "history": history,
    }


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
