"""From a detector's raw heads to boxes: scores, decoding, suppression.

Source: torchvision `models/detection/ssd.py`, postprocess_detections.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from slimnets import lazy_keras as keras
from slimnets.dense.anchors import anchors as anchors_of
from slimnets.dense.anchors import style_of
from slimnets.dense.boxes import decode
from slimnets.dense.suppression import suppress


class Detections(NamedTuple):
    """What is in one picture, the surest first.

    `boxes` float32 (n, 4): ymin, xmin, ymax, xmax, fractions of the picture; `classes` int32 (n,),
    0 for the first real class (the background is none); `scores` float32 (n,), 0 to 1.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def detect(
    model: Any,
    images: Any,
    *,
    score_threshold: float = 0.001,
    iou_threshold: float = 0.55,
    max_detections: int = 300,
) -> list[Detections]:
    """What an SSDLite finds in each image.

    The defaults are torchvision's, made for measuring; to show boxes take a `score_threshold` of
    0.3 or more.

    Args:
        model: built by `slimnets.ssdlite`.
        images: (B, H, W, C) as the model takes them, of its `slimnets.preprocessing`.
        score_threshold: only scores above it, 0 to 1.
        iou_threshold: of two boxes of one class that overlap more, the surer one, 0 to 1.
        max_detections: the best of an image, of all classes; as many go into suppression of each.

    Raises:
        TypeError, ValueError: a model of another kind, images of another shape, a threshold out of
            range.
    """
    _check(score_threshold, iou_threshold, max_detections)
    anchors = anchors_of(model)
    images, wanted = np.asarray(images), model.input_shape[1:]
    if images.shape[1:] != wanted or images.dtype.kind not in "fiu":
        raise ValueError(
            f"images must be numbers of shape (batch, {', '.join(map(str, wanted))}), got "
            f"{images.dtype} of shape {images.shape}: slimnets.preprocessing(model) makes them."
        )
    heads = model.predict_on_batch(images)
    scores = class_scores(heads["scores"], style_of(model))
    boxes, classes, best = select(
        decode(heads["boxes"], anchors), scores, iou_threshold, max_detections
    )
    found = zip(*(np.asarray(part) for part in (boxes, classes, best)), strict=True)
    return [
        Detections(b[s > score_threshold], c[s > score_threshold], s[s > score_threshold])
        for b, c, s in found
    ]


def class_scores(logits: Any, style: str) -> Any:
    """The scores of the classes without the background: (B, n, 1 + K) → (B, n, K), 0 to 1."""
    activate = keras.ops.sigmoid if style == "tensorflow" else keras.ops.softmax
    return activate(logits)[..., 1:]


def select(
    boxes: Any, scores: Any, iou_threshold: float, max_detections: int
) -> tuple[Any, Any, Any]:
    """The best of `boxes` (B, n, 4), clipped to the picture, by `scores` (B, n, K).

    Suppression class by class among the `max_detections` best of each; then the best of all.

    Returns:
        Boxes (B, m, 4), classes (B, m) int32 and scores (B, m), the best first; what was
        suppressed fills up with score 0. Equal scores: the lower index first.
    """
    ops = keras.ops
    boxes = ops.clip(boxes, 0.0, 1.0)
    count, classes = min(max_detections, scores.shape[1]), scores.shape[2]
    best, index = ops.top_k(ops.transpose(scores, (0, 2, 1)), count)
    flat = ops.reshape(index, (-1, classes * count, 1))
    chosen = ops.reshape(ops.take_along_axis(boxes, flat, axis=1), (-1, classes, count, 4))
    best = ops.where(suppress(chosen, iou_threshold), best, 0.0)
    best, index = ops.top_k(
        ops.reshape(best, (-1, classes * count)), min(max_detections, classes * count)
    )
    chosen = ops.reshape(chosen, (-1, classes * count, 4))
    return (
        ops.take_along_axis(chosen, index[..., None], axis=1),
        ops.cast(index // count, "int32"),
        best,
    )


def _check(score_threshold: Any, iou_threshold: Any, max_detections: Any) -> None:
    for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:
            raise ValueError(f"{name} must be a number from 0 to 1, got {value!r:.80}.")
    whole = isinstance(max_detections, Integral) and not isinstance(max_detections, bool)
    if not whole or max_detections < 1:
        raise ValueError(
            f"max_detections must be an integer of at least 1, got {max_detections!r:.80}."
        )
