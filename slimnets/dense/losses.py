"""What detectors and segmenters are trained by; plain losses for `model.compile`.

Sources: torchvision `models/detection/ssd.py`, compute_loss; TF Object Detection API
`core/losses.py`, SigmoidFocalClassificationLoss, and the config
`ssdlite_mobilenet_v3_large_320x320_coco.config`; torchvision `references/segmentation/train.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slimnets import lazy_keras as keras
from slimnets.dense.anchors import style_of

# Of each picture, as many anchors of background as three times those with an object count.
NEGATIVES = 3
ALPHA, GAMMA = 0.75, 2.0
# Pixels of this class count for nothing: borders in Pascal VOC, padding.
IGNORED = 255


def detection_losses(model: Any) -> dict[str, Callable[[Any, Any], Any]]:
    """The published losses of an SSDLite's form, for `model.compile(loss=…)`.

    torchvision's: softmax cross entropy with the three hardest anchors of background for each with
    an object (a picture without objects adds nothing), and smooth L1 of codes. TensorFlow's:
    sigmoid focal loss (α 0.75, γ 2), and smooth L1 over 4. All divided by the batch's anchors with
    objects. Targets are those of `slimnets.box_targets`.
    """
    if style_of(model) == "tensorflow":
        return {"scores": focal, "boxes": _mean_smooth_l1}
    return {"scores": hard_negatives, "boxes": smooth_l1}


def hard_negatives(labels: Any, logits: Any) -> Any:
    """Cross entropy of objects and of the hardest background: (B, n), (B, n, 1 + K) → (B,)."""
    ops = keras.ops
    labels = ops.cast(labels, "int32")
    each = ops.cast(
        keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True), "float32"
    )
    taken = labels > 0
    count = ops.sum(ops.cast(taken, "int32"), axis=1, keepdims=True)
    background = ops.where(taken, -1e9, each)
    place = ops.argsort(ops.argsort(-background, axis=1), axis=1)
    counts = ops.logical_or(taken, ops.cast(place, "int32") < NEGATIVES * count)
    return _by_objects(ops.sum(ops.where(counts, each, 0.0), axis=1), taken)


def focal(labels: Any, logits: Any) -> Any:
    """Sigmoid focal loss; background is no class of its own: (B, n), (B, n, 1 + K) → (B,)."""
    ops = keras.ops
    labels = ops.cast(labels, "int32")
    wanted = ops.one_hot(labels, logits.shape[-1]) * ops.cast(labels > 0, "float32")[..., None]
    logits = ops.cast(logits, "float32")
    signed = (2 * wanted - 1) * logits
    weight = wanted * ALPHA + (1 - wanted) * (1 - ALPHA)
    each = weight * ops.sigmoid(-signed) ** GAMMA * ops.softplus(-signed)
    return _by_objects(ops.sum(each, axis=(1, 2)), labels > 0)


def smooth_l1(targets: Any, codes: Any) -> Any:
    """Of the codes of anchors with an object: (B, n, 5), (B, n, 4) → (B,)."""
    ops = keras.ops
    targets = ops.cast(targets, "float32")
    error = ops.abs(targets[..., :4] - ops.cast(codes, "float32"))
    each = ops.where(error < 1, error**2 / 2, error - 0.5) * targets[..., 4:]
    return _by_objects(ops.sum(each, axis=(1, 2)), targets[..., 4] > 0)


def _mean_smooth_l1(targets: Any, codes: Any) -> Any:
    return smooth_l1(targets, codes) / 4


def _by_objects(sums: Any, taken: Any) -> Any:
    """Sums of pictures so scaled that their mean is the batch's sum over its anchors with objects.

    Keras takes the mean.
    """
    ops = keras.ops
    pictures = ops.cast(ops.shape(sums)[0], "float32")
    return sums * pictures / ops.maximum(ops.sum(ops.cast(taken, "float32")), 1.0)


def pixel_loss(classes: Any, logits: Any) -> Any:
    """Cross entropy of the pixels that count: (B, H, W), (B, H, W, K) → (B, H, W).

    Pixels of class 255 count for nothing, and the mean is over the others, as in PyTorch.
    """
    ops = keras.ops
    classes = ops.cast(classes, "int32")
    if len(classes.shape) == 4:
        classes = classes[..., 0]
    counts = ops.cast(classes != IGNORED, "float32")
    known = ops.where(classes == IGNORED, 0, classes)
    each = keras.losses.sparse_categorical_crossentropy(known, logits, from_logits=True)
    share = ops.mean(counts)
    return ops.cast(each, "float32") * counts / ops.maximum(share, 1e-6)
