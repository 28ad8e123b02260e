"""What the training of a detector differs in from a classifier's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from ml_collections import ConfigDict

from slimnets import drawings, report
from slimnets.data import Annotated, Source
from slimnets.dense.anchors import anchors
from slimnets.dense.assignment import targets_of
from slimnets.dense.decoding import Detections, detect
from slimnets.dense.losses import detection_losses
from slimnets.dense.precision import LEAST_SCORE, MOST_DETECTIONS, mean_precision
from slimnets.training import cached_heads, scene_sets
from tflite.images import Preprocessing

_AT_ONCE, _SHOWN = 16, 12


def data_sets(
    config: ConfigDict, source: Source, preprocess: Preprocessing, model: keras.Model
) -> tuple[Any, Any]:
    """Pictures, and what the heads should say of them."""
    places, count = anchors(model), len(source.class_names)

    def targets(objects: Any, _: Any) -> Mapping[str, np.ndarray]:
        found = targets_of([objects], places, count)
        return {name: value[0] for name, value in found.items()}

    return scene_sets.build(config, source, preprocess, targets, masks=False)


def compiled(config: ConfigDict, model: keras.Model) -> dict[str, Any]:
    """The losses of the network's form."""
    return {"loss": detection_losses(model)}


def train_head(
    model: keras.Model, config: ConfigDict, source: Source, preprocess: Preprocessing
) -> None:
    """Extra blocks and heads, on the backbone's maps."""
    # Of its own: passes over the training's would change what the epochs after it see.
    train_set, _ = data_sets(config, source, preprocess, model)
    cached_heads.train_heads(model, config, train_set, compiled(config, model))


def watchers(
    model: keras.Model, config: ConfigDict, source: Source, preprocess: Preprocessing
) -> list[keras.callbacks.Callback]:
    """One, which measures the mean average precision wherever the validation loss is measured."""
    return [_MeanPrecision(model, source, preprocess)]


class _MeanPrecision(keras.callbacks.Callback):
    """Adds `val_map50` and `val_map` to an epoch's logs; before all that reads them."""

    def __init__(self, model: keras.Model, source: Source, preprocess: Preprocessing) -> None:
        super().__init__()
        self._of, self._split = model, source.splits["val"]
        self._classes, self._preprocess = len(source.class_names), preprocess
        self._logs: dict[str, float] = {}

    def on_test_end(self, logs: dict | None = None) -> None:
        # Now, not at the epoch's end: averaged weights are in place for as long as a test lasts.
        found = _found(self._of, self._split, self._preprocess)
        told = mean_precision(found, self._split.judged or self._split.objects, self._classes)
        self._logs = {"val_map50": told.at_50, "val_map": told.mean}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs.update({name: 0.0 if np.isnan(v) else v for name, v in self._logs.items()})


def _found(model: keras.Model, split: Annotated, preprocess: Preprocessing) -> list[Detections]:
    found = []
    for start in range(0, len(split), _AT_ONCE):
        images = preprocess(list(split.images[start : start + _AT_ONCE]))
        found += detect(model, images, score_threshold=LEAST_SCORE, max_detections=MOST_DETECTIONS)
    return found


def sections(
    best: keras.Model, result: Mapping[str, Any], source: Source, preprocess: Preprocessing
) -> list[str]:
    """What the kept model finds in some validation pictures."""
    val, names = source.splits["val"], result["classes"]
    split, shown = val.select(np.arange(min(_SHOWN, len(val)))), []
    for image, (boxes, kinds, scores) in zip(
        split.images, _found(best, split, preprocess), strict=True
    ):
        sure = [
            (names[k], float(score), tuple(map(float, box)))
            for box, k, score in zip(boxes, kinds, scores, strict=True)
            if score >= 0.3
        ]
        shown.append(drawings.with_boxes(drawings.enlarged(image), sure, names))
    return [
        report.section(
            "Found", report.pictures(shown), "Validation pictures; boxes with scores above 0.3."
        )
    ]
