"""How good detectors and segmenters are: the same figures for .keras and .tflite files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from slimnets.data import Annotated, Source
from slimnets.dense.decoding import Detections, detect
from slimnets.dense.masks import read_mask
from slimnets.dense.precision import (
    LEAST_SCORE,
    MOST_DETECTIONS,
    confusion,
    iou_of,
    mean_precision,
)
from slimnets.evaluation import KerasFile, check_class_names, open_classifier, open_keras
from tflite import progress
from tflite.detector import Detection, Detector
from tflite.files.detection_operator import is_detector
from tflite.files.reading import open_file
from tflite.image_files import read_image
from tflite.images import Preprocessing
from tflite.keras_models import output_kind, task_of, unwrapped
from tflite.predictor import Predictor

_BATCH = 16


class KerasDetector:
    """A Keras detector that is used as `tflite.Detector` is.

    Attributes:
        labels: a name for each class; empty if none are known.
    """

    def __init__(self, model: Any, preprocessing: Preprocessing, labels: tuple[str, ...]) -> None:
        self._model, self._preprocessing, self.labels = model, preprocessing, labels

    def detect(self, images: Sequence[Any], score_threshold: float = 0.3) -> list[list[Detection]]:
        """As `tflite.Detector.detect`."""
        batch = self._preprocessing(list(images))
        found = detect(
            self._model,
            batch,
            score_threshold=score_threshold,
            max_detections=MOST_DETECTIONS,
        )
        return [self._named(one) for one in found]

    def _named(self, found: Detections) -> list[Detection]:
        return [
            Detection(
                self.labels[kind] if kind < len(self.labels) else str(kind),
                float(score),
                tuple(map(float, box)),
            )
            for box, kind, score in zip(*found, strict=True)
        ]


@dataclass(frozen=True)
class Segmenter:
    """A segmenter of any kind as one function.

    Attributes:
        scores: pictures, as `Preprocessing` takes them → float32 (N, h, w, classes).
        labels: class names; empty if none are known.
    """

    scores: Callable[[Sequence[Any]], np.ndarray]
    labels: tuple[str, ...]

    def classes(self, image: Any) -> np.ndarray:
        """The class of each pixel of a picture, uint8 (height, width) of its own size."""
        picture = read_image(image)
        (scores,) = self.scores([picture])
        planes = [
            np.asarray(Image.fromarray(plane).resize(picture.size, Image.Resampling.BILINEAR))
            for plane in np.moveaxis(np.asarray(scores, np.float32), -1, 0)
        ]
        return np.argmax(planes, axis=0).astype(np.uint8)


def open_dense(
    path: str | os.PathLike,
    *,
    like: str | None = None,
    delegate: str | os.PathLike | None = None,
) -> KerasFile | KerasDetector | Detector | Segmenter | None:
    """The detector or segmenter in a file.

    Args:
        path, like, delegate: as of `slimnets.evaluation.open_classifier`.

    Returns:
        What finds objects, or a `Segmenter`; of any other .keras file what `open_keras` gives, so
        that it is loaded once; None of everything else, a missing file too, which
        `open_classifier` knows or refuses.

    Raises:
        as there.
    """
    path = Path(path)
    if path.suffix == ".keras":
        return _of_keras(open_keras(path, like=like))
    if path.suffix == ".onnx" and path.is_file():
        return _of_onnx(path, like)
    if path.suffix != ".tflite" or not path.is_file():
        return None
    file = open_file(path)
    if is_detector(file.model):
        return Detector(path, delegate=delegate)
    graph = file.model.subgraphs[0]
    outputs = [graph.tensors[index] for index in _values(graph.outputs)]
    if len(outputs) != 1 or len(_values(outputs[0].shape)) != 4:
        return None
    predictor = Predictor(path, delegate=delegate)
    return _segmenter(
        lambda images: predictor.predict(list(images)),
        tuple(predictor.labels),
        int(outputs[0].shape[-1]),
        predictor.gives,
    )


def _of_onnx(path: Path, like: str | None) -> Segmenter | None:
    from slimnets.onnx_files import OnnxSession

    outputs = OnnxSession(path).outputs
    if {"boxes", "scores"} <= set(outputs):
        raise ValueError(
            f"{path} gives codes and scores of anchors, and does not say which anchors; take the "
            "detector's .keras or .tflite file."
        )
    if [*outputs.values()] != [4]:
        return None
    classifier = open_classifier(path, like=like)
    channels = classifier.probabilities([np.full((32, 32, 3), 128, np.uint8)]).shape[-1]
    gives = "probabilities" if classifier.are_probabilities else "numbers"
    return _segmenter(classifier.probabilities, classifier.labels, channels, gives)


def _segmenter(scores: Callable, labels: tuple[str, ...], channels: int, gives: str) -> Segmenter:
    """Of a model with one channel, its probability is that of class 1, and the rest class 0.

    Raises:
        ValueError: one channel, and no probability.
    """
    if channels != 1:
        return Segmenter(scores, labels)
    if gives != "probabilities":
        raise ValueError(
            "the model gives one number for each pixel, which is no probability: end it in a "
            "sigmoid, or give it a channel for each class."
        )

    def both(images: Sequence[Any]) -> np.ndarray:
        found = scores(images)
        return np.concatenate([1 - found, found], axis=-1)

    return Segmenter(both, ("background", *labels) if len(labels) == 1 else labels)


def _values(array: Any) -> Sequence[int]:
    """Of a flatbuffer's vector, which is None where it is empty."""
    return () if array is None else array


def _of_keras(file: KerasFile) -> KerasFile | KerasDetector | Segmenter:
    model, prepare = file.model, file.preprocessing
    task = task_of(model)
    if task == "detect":
        return KerasDetector(model, prepare, file.labels)
    if task == "classify":
        return file
    network = unwrapped(model)
    return _segmenter(
        lambda images: np.asarray(network.predict_on_batch(prepare(list(images)))),
        file.labels,
        model.outputs[0].shape[-1],
        output_kind(model),
    )


@dataclass(frozen=True)
class DetectorEvaluation:
    """COCO's average precision of boxes over one split, 0 to 1: `mean` over IoU 0.5 to 0.95."""

    split: str
    count: int
    mean: float
    at_50: float
    at_75: float
    by_class: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "split": self.split,
            "count": self.count,
            "map": self.mean,
            "map50": self.at_50,
            "map75": self.at_75,
            "map_by_class": self.by_class,
        }


@dataclass(frozen=True)
class SegmenterEvaluation:
    """Mean intersection over union of classes over one split, and the share of pixels, 0 to 1."""

    split: str
    count: int
    miou: float
    pixels: float
    by_class: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "split": self.split,
            "count": self.count,
            "miou": self.miou,
            "pixel_accuracy": self.pixels,
            "iou_by_class": self.by_class,
        }


def evaluate_detector(
    detector: KerasDetector | Detector, source: Source, split: str | None = None
) -> DetectorEvaluation:
    """Average precision of what is found in all pictures of a split.

    Args:
        detector: of `open_dense`.
        source: of `slimnets.data.load`.
        split: as of `slimnets.evaluation.evaluate`.

    Raises:
        ValueError: no such split; a source without boxes; other classes than the detector's.
    """
    name, pictures = source.split(split)
    _require(pictures, "objects", source, "boxes")
    names = source.class_names
    # A class that no box is of, and that some lists of classes therefore lack, has no precision.
    if not set(names) <= set(detector.labels):
        check_class_names(detector.labels, names, source)
    order = {label: k for k, label in enumerate(names if detector.labels else map(str, range(999)))}
    found = []
    for start in progress.steps(range(0, len(pictures), _BATCH), f"evaluating {name}"):
        for all_of_one in detector.detect(
            list(pictures.images[start : start + _BATCH]), LEAST_SCORE
        ):
            one = [each for each in all_of_one if not detector.labels or each.label in order]
            boxes = np.array([each.box for each in one], np.float32).reshape(-1, 4)
            kinds = np.array([order[each.label] for each in one], np.int64)
            found.append((boxes, kinds, np.array([each.score for each in one])))
    told = mean_precision(found, pictures.judged or pictures.objects, len(names))
    return DetectorEvaluation(
        name, len(pictures), told.mean, told.at_50, told.at_75, _by_name(names, told.by_class)
    )


def evaluate_segmenter(
    segmenter: Segmenter, source: Source, split: str | None = None
) -> SegmenterEvaluation:
    """Intersection over union in all pictures of a split, at the pictures' own sizes.

    Args, Raises: as `evaluate_detector`, of masks.
    """
    name, pictures = source.split(split)
    _require(pictures, "masks", source, "masks")
    names = source.mask_names
    check_class_names(segmenter.labels, names, source)
    order = [names.index(label) for label in segmenter.labels or names]
    table = np.zeros((len(names), len(names)), np.int64)
    for index in progress.steps(range(len(pictures)), f"evaluating {name}"):
        wanted = read_mask(pictures.masks[index])
        classes = segmenter.classes(pictures.images[index])
        if classes.max(initial=0) >= len(order):
            raise ValueError(
                f"the model gives class {classes.max()}, but {source.name} has {len(order)}."
            )
        table += confusion(np.array(order)[classes], wanted, len(names))
    mean, each = iou_of(table)
    pixels = float(np.diag(table).sum() / max(table.sum(), 1))
    return SegmenterEvaluation(name, len(pictures), mean, pixels, _by_name(names, each))


def _require(pictures: Any, what: str, source: Source, called: str) -> None:
    if not isinstance(pictures, Annotated) or getattr(pictures, what) is None:
        raise ValueError(f"{source.name} has no {called} to compare with.")


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(names, values, strict=True)
    }
