"""How good a model file is: the same numbers, computed the same way, for every kind of file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimnets.catalog import for_size, preprocessing
from slimnets.data import Source
from tflite import progress
from tflite.images import Preprocessing, read_rgb
from tflite.keras_models import load_file

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
        probabilities: uint8 images or paths, as `Preprocessing` takes them → float32 (N, classes).
        labels: class names; empty if the file has none.
    """

    probabilities: Callable[[Sequence[Any]], np.ndarray]
    labels: tuple[str, ...] = ()


def evaluate(
    model: str | os.PathLike | Classifier | Any,
    source: Source,
    split: str | None = None,
    *,
    like: str | None = None,
) -> Evaluation:
    """Classifies a whole split and compares with its labels.

    Args:
        model: a .keras or .tflite file, a Keras model, or a `Classifier`.
        source: of `slimnets.data.load`.
        split: "train", "val", "test" or "all"; None: "test" if there is one, else "val".
        like: see `open_classifier`.

    Raises:
        ValueError: no such split, a model whose number of classes is not the source's, a file
            that is no model.
        FileNotFoundError: no such file.
    """
    name, images = source.split(split)
    classifier = model if isinstance(model, Classifier) else open_classifier(model, like=like)
    order = _label_order(classifier.labels, source)
    n = len(source.class_names)
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


def open_classifier(model: str | os.PathLike | Any, *, like: str | None = None) -> Classifier:
    """Opens a model for classification; nothing else here cares which kind it is.

    Args:
        model: a .tflite file (run by LiteRT), a .keras file (labels from labels.txt beside it) or
            a Keras model.
        like: a network's name: prepare images as for that network instead of as the file says.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no model, or it does not say how to prepare images.
    """
    if not isinstance(model, (str, os.PathLike)):
        return _keras_classifier(model, (), like)
    path = Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}.")
    if path.suffix == ".tflite":
        return _tflite_classifier(path, like)
    if path.suffix == ".keras":
        return _keras_classifier(load_file(path), labels_beside(path), like)
    raise ValueError(f"{path}: a model file ends in .keras or .tflite.")


def labels_beside(path: str | os.PathLike) -> tuple[str, ...]:
    """The class names beside a model file, one a line; empty if there are none.

    For `run/best.keras` they are in `run/best.labels.txt`, or else in `run/labels.txt`.
    """
    for file in (Path(path).with_suffix(".labels.txt"), Path(path).with_name("labels.txt")):
        if file.is_file():
            return tuple(file.read_text("utf-8").splitlines())
    return ()


def prepare_for(model: Any, *, like: str | None = None) -> Preprocessing:
    """The preprocessing of a Keras model, or that of the network named `like` at its size."""
    if like is None:
        return preprocessing(model)
    style = preprocessing(like)
    height, width = model.input_shape[1:3]
    return for_size(style, (height or style.size[0], width or style.size[1]))


def _keras_classifier(model: Any, labels: tuple[str, ...], like: str | None) -> Classifier:
    prepare = prepare_for(model, like=like)

    def probabilities(images: Sequence[Any]) -> np.ndarray:
        outputs = np.asarray(model.predict_on_batch(prepare(images)), np.float32)
        return _as_probabilities(outputs)

    return Classifier(probabilities, labels)


def _tflite_classifier(path: Path, like: str | None) -> Classifier:
    from tflite import Predictor

    predictor = Predictor(path)
    if like is None:
        return Classifier(
            # Upright RGB, as everywhere here; the rest of the way is the file's own affair.
            lambda images: predictor.predict([read_rgb(image) for image in images]),
            tuple(predictor.labels),
        )
    from ai_edge_litert.interpreter import Interpreter

    (entry,) = Interpreter(model_path=str(path)).get_input_details()
    prepare = for_size(preprocessing(like), map(int, entry["shape"][1:3]))
    return Classifier(
        lambda images: predictor.predict(prepare(images), preprocessed=True),
        tuple(predictor.labels),
    )


def _as_probabilities(outputs: np.ndarray) -> np.ndarray:
    if outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3):
        return outputs
    exponents = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def _label_order(labels: tuple[str, ...], source: Source) -> np.ndarray:
    """Where each of the source's classes stands in the model's output."""
    if not labels or labels == source.class_names:
        return np.arange(len(source.class_names))
    if sorted(labels) != sorted(source.class_names):
        unknown = sorted(set(source.class_names) - set(labels)) or sorted(
            set(labels) - set(source.class_names)
        )
        raise ValueError(
            f"the model knows {len(labels)} classes and {source.name} has "
            f"{len(source.class_names)}, and they are not the same: for example {unknown[0]!r} is "
            "in only one of them."
        )
    return np.array([labels.index(name) for name in source.class_names])


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
