"""How good a model file is: the same numbers, computed the same way, for every kind of file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from slimnets import sidecar
from slimnets.catalog import check_alike, for_size, preprocessing
from slimnets.data import Annotated, Source
from slimnets.weights.plain_pixels import takes_pixels
from slimnets.weights.remembered import plain_pixels
from tflite import progress
from tflite.files.labels import read_labels
from tflite.images import Preprocessing
from tflite.keras_models import (
    check_input,
    check_output,
    load_file,
    output_kind,
    task_of,
    unwrapped,
)
from tflite.runtime import softmax, whole_batches

_BATCH = 64


@dataclass(frozen=True)
class Evaluation:
    """A model's results over one split.

    Attributes:
        split: the split's name.
        count: images.
        top1, top5: share of images whose class is the most probable one, or among the five most
            probable (all, where there are fewer classes). In [0, 1].
        confusion: int64 (classes, classes); rows are true classes, columns predicted ones.
        predicted: int64 (count,), the predicted classes in the split's order.
    """

    split: str
    count: int
    top1: float
    top5: float
    confusion: np.ndarray
    predicted: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single predictions, JSON-able."""
        return {
            "split": self.split,
            "count": self.count,
            "top1": self.top1,
            "top5": self.top5,
            "confusion": self.confusion.tolist(),
        }


@dataclass(frozen=True)
class Classifier:
    """A model of any kind as one function.

    Attributes:
        probabilities: uint8 images or paths, as `Preprocessing` takes them → float32 (N, classes):
            what the model's last activation makes, softmax applied to logits.
        labels: class names; empty if the file has none.
        are_probabilities: False where the model gives other numbers (a single linear output, such
            as an age), which are told as they are.
    """

    probabilities: Callable[[Sequence[Any]], np.ndarray]
    labels: tuple[str, ...] = ()
    are_probabilities: bool = True


def evaluate(
    model: str | os.PathLike | Classifier | Any,
    source: Source,
    split: str | None = None,
    *,
    like: str | None = None,
) -> Evaluation:
    """Classifies a whole split and compares with its labels.

    Args:
        model: a .keras, .tflite or .onnx file, a Keras model, or a `Classifier`.
        source: of `slimnets.data.load`.
        split: "train", "val", "test" or "all"; None: "test" if there is one, else "val".
        like: see `open_classifier`.

    Raises:
        ValueError: no such split, a model whose number of classes is not the source's, a file
            that is no model.
        FileNotFoundError: no such file.
    """
    name, images = source.split(split)
    if isinstance(images, Annotated):
        raise ValueError(
            f"{source.name} says what is where in its pictures, for detectors and segmenters; a "
            "classifier needs a class for each, as of folder:PATH."
        )
    classifier = model if isinstance(model, Classifier) else open_classifier(model, like=like)
    n, labels = len(source.class_names), classifier.labels
    if n == 2:
        classifier = of_two_classes(classifier)
        if len(labels) == 1 and labels[0] in source.class_names:  # the class that its number means
            labels = (*(name for name in source.class_names if name != labels[0]), *labels)
    order = _label_order(labels, source)
    scores = []
    for start in progress.steps(range(0, len(images), _BATCH), f"evaluating {name}"):
        batch = classifier.probabilities(list(images.images[start : start + _BATCH]))
        if batch.ndim != 2 or batch.shape[1] != n:
            raise ValueError(
                f"the model gives outputs of shape {batch.shape[1:]}, but {source.name} has {n} "
                "classes."
            )
        scores.append(batch[:, order])
    return _summarize(name, np.concatenate(scores), images.labels)


def of_two_classes(classifier: Classifier) -> Classifier:
    """One with a probability for each class, where it has one alone: that of the second class."""

    def both(images: Sequence[Any]) -> np.ndarray:
        found = classifier.probabilities(images)
        alone = classifier.are_probabilities and found.shape[1:] == (1,)
        return np.concatenate([1 - found, found], axis=1) if alone else found

    return replace(classifier, probabilities=both)


def open_classifier(
    model: str | os.PathLike | Any,
    *,
    like: str | None = None,
    delegate: str | os.PathLike | None = None,
) -> Classifier:
    """Opens a model for classification; nothing else here cares which kind it is.

    Args:
        model: a .tflite file (run by LiteRT), a .onnx file (by ONNX Runtime), a .keras file (see
            `open_keras`, and what it gives) or a Keras model.
        like: a network's or published weights' name: prepare images as for those instead of as the
            file says.
        delegate: for a .tflite file, see `tflite.Predictor`.

    Raises:
        FileNotFoundError: no such file.
        ModuleNotFoundError: a .onnx file, and ONNX Runtime is not installed.
        ValueError: the file is no model, it does not say how to prepare images, or what stands
            beside it does not fit it.
        OSError: the delegate is missing.
    """
    if isinstance(model, KerasFile):
        return _keras_classifier(model)
    if not isinstance(model, (str, os.PathLike)):
        return _keras_classifier(KerasFile(model, prepare_for(model, like=like)))
    path = Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}.")
    if path.suffix == ".tflite":
        return _tflite_classifier(path, like, delegate)
    if path.suffix == ".keras":
        return _keras_classifier(open_keras(path, like=like))
    if path.suffix == ".onnx":
        return _onnx_classifier(path, like)
    raise ValueError(f"{path}: a model file ends in .keras, .tflite or .onnx.")


@dataclass(frozen=True)
class KerasFile:
    """A Keras model with what it does not know of itself.

    Attributes:
        model: the Keras model.
        preprocessing: how images become its input.
        labels: class names; empty if nothing says them.
    """

    model: Any
    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()

    @property
    def gives(self) -> str:
        """ "probabilities", "logits" or "numbers": what the model's one output is."""
        return output_kind(self.model)


def open_keras(path: str | os.PathLike, *, like: str | None = None) -> KerasFile:
    """A .keras file and what stands beside it.

    `best.json` beside `best.keras` (see `slimnets.sidecar`) says how images are prepared and what
    the classes are called. Without it the first is guessed from the model's name, and the second
    is looked for as `labels_beside` says.

    Args:
        path: the file.
        like: a network's or published weights' name: prepare images as for those instead.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no Keras model that can be loaded safely, `best.json` is damaged or about
            another model, or there is none and nothing is known of a network of the model's name,
            or published weights that fit the model were given different images.
    """
    model = load_file(path)
    described = sidecar.read(path, model)
    beside = labels_beside(path)
    if like is not None:
        prepare = prepare_for(model, like=like)
    else:
        prepare = described.preprocessing if described else _guessed(model, path)
    if task_of(model) != "classify":
        prepare = prepare.whole()  # boxes and masks are of all of a picture
    if described is None:
        return KerasFile(model, prepare, beside)
    if described.labels and beside and beside != described.labels:
        logging.warning(
            "%s and the text file beside it name the classes of %s differently: the former counts",
            sidecar.path_beside(path),
            path,
        )
    return KerasFile(model, prepare, described.labels or beside)


def labels_beside(path: str | os.PathLike) -> tuple[str, ...]:
    """The class names beside a model file, one a line; empty if there are none.

    For `run/best.keras` they are in `run/best.labels.txt`, or else in `run/labels.txt`.
    """
    for file in (Path(path).with_suffix(".labels.txt"), Path(path).with_name("labels.txt")):
        if file.is_file():
            return read_labels(file)
    return ()


def prepare_for(model: Any, *, like: str | None = None) -> Preprocessing:
    """The preprocessing of a model, or that of the network named `like` at its size.

    Args:
        model: the path of a .keras file, which `open_keras` asks, or a Keras model, whose name
            tells the family.
        like: a network's name.

    Raises:
        ValueError, FileNotFoundError: as `open_keras`.
    """
    if isinstance(model, (str, os.PathLike)):
        return open_keras(model, like=like).preprocessing
    if like is None:
        return _guessed(model)
    style = _at(preprocessing(like), check_input(model)[1:])
    if takes_pixels(model):
        logging.warning(
            "the model scales pixels itself: it is given 0..255, not %g..%g", *style.range
        )
        return plain_pixels(style)
    return style


def _at(style: Preprocessing, shape: Sequence[int | None]) -> Preprocessing:
    """`style` for an input of this shape, as far as that is known."""
    height, width, channels = shape
    style = for_size(style, (height or style.size[0], width or style.size[1]))
    return style.for_channels(channels or style.channels)


def _guessed(model: Any, path: str | os.PathLike | None = None) -> Preprocessing:
    """The last resort: what weights that fit the model, or the family of its name, are given.

    Raises:
        ValueError: published weights that fit it differ in that, or nothing is known of it.
    """
    title, plain = path or f"the model {model.name!r}", takes_pixels(model)
    if not plain:
        check_alike(model, title, "Pass --like=NAME (in Python like=) with")
    try:
        found = preprocessing(model)
    except ValueError as error:
        raise ValueError(
            f"{title} does not say how it takes images. Pass --like=NAME (in Python like=) with a "
            f"network that takes them alike ({error})"
        ) from error
    missing = f", since there is no {sidecar.path_beside(path)}" if path else ""
    logging.warning(
        "how %s takes images is guessed from its %s%s: pixels become %g..%g",
        title,
        "first layers" if plain else "name",
        missing,
        *found.range,
    )
    return found


def _keras_classifier(file: KerasFile) -> Classifier:
    check_output(file.model)
    model, prepare, gives = unwrapped(file.model), file.preprocessing, file.gives

    def probabilities(images: Sequence[Any]) -> np.ndarray:
        outputs = np.asarray(model.predict_on_batch(prepare(images)), np.float32)
        return softmax(outputs) if gives == "logits" else outputs

    return Classifier(probabilities, file.labels, gives != "numbers")


def _onnx_classifier(path: Path, like: str | None) -> Classifier:
    from slimnets.onnx_files import OnnxSession, output_kind_of_file

    session = OnnxSession(path)
    about = session.about
    batch_size, *size = session.shape
    # PyTorch's files take channels first.
    first = size[0] in (1, 3, 4) and size[2] not in (1, 3, 4)
    size = [*size[1:], size[0]] if first else size
    prepare = about.preprocessing if like is None else _at(preprocessing(like), size)
    if prepare is None or session.dtype != np.float32 or size[-1] != prepare.channels:
        raise ValueError(
            f"{path} takes {session.dtype} {session.shape} and does not say how to prepare images; "
            "`slimnets export` writes files that do, and --like (in Python like=) names a network "
            "whose images it takes."
        )
    gives = about.gives or output_kind_of_file(path)

    def probabilities(images: Sequence[Any]) -> np.ndarray:
        batch = prepare(images)
        count, at_once = len(batch), batch_size or _BATCH
        if first:
            batch = np.ascontiguousarray(np.moveaxis(batch, -1, 1))
        if batch_size:
            batch = whole_batches(batch, batch_size)
        parts = [session.run(batch[i : i + at_once]) for i in range(0, len(batch), at_once)]
        outputs = np.concatenate(parts)[:count].astype(np.float32)
        if first and outputs.ndim == 4:
            outputs = np.moveaxis(outputs, 1, -1)
        return softmax(outputs) if gives == "logits" else outputs

    return Classifier(probabilities, about.labels, gives != "numbers")


def _tflite_classifier(
    path: Path, like: str | None, delegate: str | os.PathLike | None
) -> Classifier:
    from tflite import Predictor

    predictor = Predictor(path, delegate=delegate)
    if like is None and predictor.image is None:
        raise ValueError(
            f"{path} does not say how to prepare images (it has no normalization metadata). Pass "
            "--like=NAME (in Python like=) with a network that takes them alike."
        )
    prepare = None if like is None else _at(preprocessing(like), predictor.input_shape)

    def probabilities(images: Sequence[Any]) -> np.ndarray:
        if prepare is None:
            return predictor.predict(list(images))
        return predictor.predict(prepare(images), preprocessed=True)

    return Classifier(probabilities, tuple(predictor.labels), predictor.gives != "numbers")


def _label_order(labels: tuple[str, ...], source: Source) -> np.ndarray:
    """Where each of the source's classes stands in the model's output."""
    if not labels or labels == source.class_names:
        return np.arange(len(source.class_names))
    check_class_names(labels, source.class_names, source)
    return np.array([labels.index(name) for name in source.class_names])


def check_class_names(labels: Sequence[str], names: Sequence[str], source: Source) -> None:
    """Raise a ValueError where a model has class names, and others than a source's `names`."""
    if labels and sorted(labels) != sorted(names):
        given, wanted = set(labels), set(names)
        other = sorted(wanted - given) or sorted(given - wanted) or list(labels)
        raise ValueError(
            f"the model knows {len(labels)} classes and {source.name} has {len(names)}, and they "
            f"are not the same: for example {other[0]!r} is in only one of them."
        )


def _summarize(split: str, scores: np.ndarray, labels: np.ndarray) -> Evaluation:
    classes = scores.shape[1]
    # Stable, so that ties (frequent in 8-bit outputs) go to the first class, as in argmax.
    ranking = np.argsort(-scores, axis=1, kind="stable")
    predicted = ranking[:, 0]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    return Evaluation(
        split=split,
        count=len(labels),
        top1=float(np.mean(predicted == labels)),
        top5=float(np.mean((ranking[:, :5] == labels[:, None]).any(axis=1))),
        confusion=confusion,
        predicted=predicted,
    )
