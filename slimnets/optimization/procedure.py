"""`optimize`: a trained network made smaller, step by step, and what came of it."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tf_keras
from absl import logging

from slimnets import charts, data, sidecar
from slimnets.data import pipeline
from slimnets.evaluation import KerasFile, evaluate, open_keras
from slimnets.optimization.awareness import quantize_aware
from slimnets.optimization.bridge import from_tf_keras
from slimnets.optimization.clustering import cluster
from slimnets.optimization.methods import METHODS
from slimnets.optimization.pruning import check_sparsity, prune, pruning_step
from slimnets.optimization.selection import MOST_IMAGE_CHANNELS
from tflite.converter import Conversion, convert
from tflite.files import writing
from tflite.hints import did_you_mean
from tflite.keras_models import output_kind
from tflite.measuring.timing import invocation, time_calls
from tflite.rewriting import simplify_for_deployment
from tflite.targets import TARGETS

_BATCH = 64
_QAT_RATE = 1e-4
_TUNING_RATE = 1e-3


@dataclass(frozen=True)
class Measured:
    """A .tflite file in numbers.

    Attributes:
        name: what it is.
        top1: on the data's test images, or its validation images where there are no others.
        size_bytes, gzip_bytes: of the file, and compressed as archives are.
        latency_ms: median of an inference here, one thread.
    """

    name: str
    top1: float
    size_bytes: int
    gzip_bytes: int
    latency_ms: float


def optimize(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    method: str,
    source: str,
    epochs: int = 3,
    target: str = "android",
    sparsity: float | str = 0.5,
    clusters: int = 16,
    learning_rate: float | None = None,
) -> dict[str, Any]:
    """Trains a network on so that it becomes smaller or exact in int8; converts and compares.

    Args:
        path: a .keras file.
        out: the .keras file to write, with batch norms folded where it was clustered and the int8
            file's own form after qat; the .tflite file, a report (.report.json), a picture (.png)
            and the description of the model (.json) go beside it. A float32 file of a pruned
            network is in TFLite's sparse form where `tflite.convert(sparse=True)` can do that.
        method: a key of `METHODS`; its steps are done one after the other.
        source: of `slimnets.data.load`.
        epochs: for each step.
        target: of the .tflite files.
        sparsity, clusters: as of `prune` and `cluster`.
        learning_rate: at the beginning of each step; None: 1e-4 for qat, 1e-3 for the others.

    Returns:
        A JSON-able dict: method, precision, keras, tflite, picture (paths), rows (`Measured`,
        before first), trained_top1 (of the file given), agreement (share of the images that rows
        are measured on which the new .tflite and .keras files put into the same class), zeros
        (share of the weights).

    Raises:
        ValueError: a wrong argument, data of other classes than the model's.
        OSError: `out` cannot be written.
    """
    if method not in METHODS:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}, got {method!r:.80}."
            f"{did_you_mean(method, METHODS)}"
        )
    out = _checked_place(out, path)
    check_sparsity(sparsity)
    file, images = open_keras(path), data.load(source)
    _check_classes(file, images)
    training = _Training(file, images, epochs)
    calibration = data.calibration_images(source, file.preprocessing)
    precision = "int8" if "qat" in METHODS[method] else "float32"
    given = {
        "target": target,
        "calibration": calibration,
        "preprocessing": file.preprocessing,
    }
    labels = file.labels or images.class_names
    converted = partial(convert, precision=precision, labels=labels, **given)

    before = converted(file.model)
    aware = partial(quantize_aware, **given)
    model, kept = _smaller(
        file.model, METHODS[method], training, learning_rate, sparsity, clusters, aware
    )
    after = None
    sparse = "sparsity" in kept and TARGETS[target].reads_sparse_weights
    if sparse and precision == "float32":
        try:
            after = converted(model, effort="fast", sparse=True)
        except ValueError as error:
            logging.info("the file is not in TFLite's sparse form: %s", error)
    after = after or converted(model, effort="fast")
    return _finish(path, out, method, precision, images, file, model, before, after)


def _checked_place(out: str | os.PathLike, path: str | os.PathLike) -> Path:
    out = writing.check_writable(out)
    if out.suffix != ".keras":
        raise ValueError(f"{out}: the file to write ends in .keras.")
    if out.resolve() == Path(path).resolve():
        raise ValueError(f"{out} is the file to start from; write to another, to compare the two.")
    sidecar.check_place(out)
    return out


def _smaller(
    model: keras.Model,
    steps: Sequence[str],
    training: _Training,
    rate: float | None,
    sparsity: float | str,
    clusters: int,
    aware: Callable[..., keras.Model],
) -> tuple[keras.Model, list[str]]:
    """A copy of the model after the steps of a method, and what they made of its weights that the
    file has to keep: "sparsity", "clusters".

    Args:
        rate: the learning rate at the beginning of each step; None: the step's own.
        aware: makes a quantization-aware model of one, given `effort` and `preserve`.
    """
    given, model = model, keras.models.clone_model(model)
    model.set_weights(given.get_weights())
    kept: list[str] = []
    for step in steps:
        logging.info("%s: %d epochs", step, training.epochs)
        if step == "prune":
            pruned = prune(model, sparsity, steps=training.steps)
            training.fit(pruned, tf_keras, rate or _TUNING_RATE, [pruning_step()])
            from_tf_keras(pruned, into=model)
            kept.append("sparsity")
        elif step == "cluster":
            # Batch norms first: folded later, they would multiply the shared values apart.
            model = simplify_for_deployment(model, "android", "float32", batch_size=None)
            clustered = cluster(model, clusters, preserve_sparsity="sparsity" in kept)
            training.fit(clustered, tf_keras, rate or _TUNING_RATE)
            from_tf_keras(clustered, into=model)
            kept.append("clusters")
        else:
            model = aware(model, effort="fast" if kept else "normal", preserve=kept)
            training.fit_best(model, rate or _QAT_RATE)
    return model, kept


class _Training:
    """The images in batches, and how a model is trained on them."""

    def __init__(self, file: KerasFile, images: data.Source, epochs: int) -> None:
        prepare, classes = file.preprocessing, len(images.class_names)
        options = {"num_classes": classes, "batch_size": _BATCH}
        train, val = images.splits["train"], images.splits["val"]
        self.train = pipeline.training_dataset(train, prepare, seed=0, **options)
        self.val = pipeline.evaluation_dataset(val, prepare, **options)
        self.logits = output_kind(file.model) == "logits"
        self.epochs = epochs
        self.steps = int(self.train.cardinality()) * epochs

    def compile(self, model: Any, package: Any, rate: float) -> None:
        schedule = package.optimizers.schedules.CosineDecay(rate, self.steps, alpha=0.01)
        loss = package.losses.CategoricalCrossentropy(from_logits=self.logits)
        model.compile(package.optimizers.Adam(schedule), loss, metrics=["accuracy"])

    def fit(self, model: Any, package: Any, rate: float, callbacks: Any = ()) -> None:
        self.compile(model, package, rate)
        model.fit(self.train, epochs=self.epochs, verbose=0, callbacks=[*callbacks, _told(package)])

    def fit_best(self, model: keras.Model, rate: float) -> None:
        """Ends with the best epoch's weights; those of the beginning are the first candidate."""
        self.compile(model, keras, rate)
        start = model.evaluate(self.val, verbose=0, return_dict=True)["accuracy"]
        kept = [start, model.get_weights()]

        def keep(epoch: int, logs: dict[str, float]) -> None:
            if logs["val_accuracy"] > kept[0]:
                kept[:] = [logs["val_accuracy"], model.get_weights()]

        watch = keras.callbacks.LambdaCallback(on_epoch_end=keep)
        model.fit(
            self.train,
            validation_data=self.val,
            epochs=self.epochs,
            verbose=0,
            shuffle=False,  # the data set is shuffled already
            callbacks=[watch, _told(keras)],
        )
        model.set_weights(kept[1])


def _told(package: Any) -> Any:
    def tell(epoch: int, logs: dict[str, float]) -> None:
        numbers = "   ".join(f"{name} {value:.4f}" for name, value in logs.items())
        logging.info("epoch %d: %s", epoch + 1, numbers)

    return package.callbacks.LambdaCallback(on_epoch_end=tell)


def _check_classes(file: KerasFile, images: data.Source) -> None:
    outputs, names = file.model.outputs[0].shape[-1], images.class_names
    if len(file.model.outputs) > 1 or len(file.model.outputs[0].shape) != 2:
        raise ValueError("optimize is for classifiers, and this model is a detector or segmenter.")
    if outputs != len(names):
        raise ValueError(
            f"the model has {outputs} outputs, but {images.name} has {len(names)} classes."
        )
    if file.labels and file.labels != names:
        raise ValueError(
            f"the model's classes are called otherwise than those of {images.name}, or stand in "
            "another order; train on the data that the model was trained on."
        )


def _finish(
    path: str | os.PathLike,
    out: Path,
    method: str,
    precision: str,
    images: data.Source,
    file: KerasFile,
    model: keras.Model,
    before: Conversion,
    after: Conversion,
) -> dict[str, Any]:
    """Writes all files and returns what they tell."""
    described = sidecar.read(path, file.model)
    with writing.replacing(out) as temporary:
        model.save(temporary)
    # A model from elsewhere has no description: what was asked of it, or guessed, is written down.
    weights = described.weights if described else ""
    told = sidecar.Sidecar(
        described.network if described else model.name,
        described.options if described else {},
        file.preprocessing,
        file.labels or images.class_names,
        f"{weights}; {method} on {images.name}".removeprefix("; "),
    )
    writing.write_bytes(sidecar.path_beside(out), told.to_json())
    writing.write_bytes(out.with_suffix(".tflite"), after.bytes)
    rows, agreement = _measured(before.bytes, after.bytes, images, out)
    result = {
        "method": method,
        "precision": precision,
        "keras": str(out),
        "tflite": str(out.with_suffix(".tflite")),
        "picture": str(out.with_suffix(".png")),
        "trained_top1": evaluate(path, images).top1,
        "agreement": agreement,
        "zeros": _zeros(model),
        "rows": [asdict(row) for row in rows],
    }
    writing.write_bytes(out.with_suffix(".png"), charts.png(charts.tradeoff(result["rows"])))
    text = json.dumps(result, indent=1) + "\n"
    writing.write_bytes(out.with_suffix(".report.json"), text.encode())
    return result


def _measured(
    before: bytes, after: bytes, images: data.Source, out: Path
) -> tuple[list[Measured], float]:
    """Both files, and how often the second says what the Keras model `out` says."""
    calls: list[Callable[[], object]] = [invocation(before), invocation(after)]
    timings = time_calls(calls, runs=50, most_seconds=20)
    rows = []
    for name, content, timing in zip(("before", "after"), (before, after), timings, strict=True):
        place = out.with_suffix(f".{name}.tflite")
        try:
            writing.write_bytes(place, content)
            found = evaluate(place, images)
        finally:
            place.unlink(missing_ok=True)
        packed = len(gzip.compress(content, mtime=0))
        rows.append(Measured(name, found.top1, len(content), packed, timing.median))
    same = found.predicted == evaluate(out, images).predicted
    return rows, float(same.mean())


def _zeros(model: keras.Model) -> float:
    """The share of zeros among the weights that pruning may set to zero."""
    zeros = total = 0
    for layer in model._flatten_layers(include_self=False):
        kernel = layer.integers() if hasattr(layer, "integers") else getattr(layer, "kernel", None)
        depthwise = "depthwise" in type(layer).__name__.lower() or getattr(layer, "depthwise", 0)
        if kernel is None or depthwise or kernel.shape[-2] <= MOST_IMAGE_CHANNELS:
            continue
        found = keras.ops.convert_to_numpy(kernel)
        zeros, total = zeros + int((found == 0).sum()), total + found.size
    return round(zeros / max(total, 1), 4)
