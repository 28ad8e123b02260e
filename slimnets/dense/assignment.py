"""Which anchor stands for which object, and what it should say then.

Source: torchvision `models/detection/_utils.py`, SSDMatcher, and `ssd.py`, compute_loss; the TF
Object Detection API's argmax matcher with force_match_for_each_row does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from slimnets.dense.anchors import anchors as anchors_of
from slimnets.dense.boxes import corners, encode, overlaps

MATCHED = 0.5


class Objects(NamedTuple):
    """What is in one picture.

    `boxes` (n, 4): ymin, xmin, ymax, xmax, fractions of the picture; `classes` (n,), 0 for the
    first. n may be 0.
    """

    boxes: np.ndarray
    classes: np.ndarray


def box_targets(model: Any, objects: Sequence[Objects]) -> dict[str, np.ndarray]:
    """What an SSDLite should answer to pictures with these objects, for `model.fit`.

    An anchor that overlaps an object by half or more stands for it, and for every object the anchor
    that overlaps it most; all others are background. `slimnets.detection_losses` reads this.

    Args:
        model: built by `slimnets.ssdlite`.
        objects: those of each picture; pairs (boxes, classes) will do.

    Returns:
        "scores": int32 (B, anchors), 0 for background, 1 for the first class; "boxes": float32
        (B, anchors, 5), codes and 1 where there is an object.

    Raises:
        ValueError: boxes of no height or width, outside of the picture or not numbers; classes
            that the model does not have. Says in which picture.
    """
    count = model.get_layer("scores").output.shape[-1] - 1
    return targets_of(objects, anchors_of(model), count)


def targets_of(
    objects: Sequence[Objects], anchors: np.ndarray, num_classes: int
) -> dict[str, np.ndarray]:
    """`box_targets` of a model with these anchors and classes."""
    rows = [
        _of_picture(*_checked(objects_of_one, num_classes, f"picture {index}"), anchors)
        for index, objects_of_one in enumerate(objects)
    ]
    labels, codes = zip(*rows, strict=True)
    return {"scores": np.stack(labels), "boxes": np.stack(codes)}


def _checked(objects: Any, count: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.asarray(objects[0], np.float32).reshape(-1, 4)
    classes = np.asarray(objects[1]).reshape(-1)
    if len(boxes) != len(classes):
        raise ValueError(f"{where} has {len(boxes)} boxes and {len(classes)} classes.")
    for box in boxes:
        if complaint := complaint_of(box):
            raise ValueError(f"{where}: {complaint}")
    if len(classes) and not (classes.dtype.kind in "iu" and classes.min() >= 0):
        raise ValueError(f"{where}: classes must be integers of at least 0, got {classes!r:.80}.")
    if len(classes) and classes.max() >= count:
        raise ValueError(
            f"{where} has class {classes.max()}, and the model {count}: 0 to {count - 1}, the "
            "background not counted."
        )
    return boxes, classes


def complaint_of(box: Any) -> str | None:
    """What is wrong with a box (ymin, xmin, ymax, xmax) in fractions of its picture; None: nothing.

    A thousandth outside is rounding.
    """
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    told = f"the box ({ymin:.4g}, {xmin:.4g}, {ymax:.4g}, {xmax:.4g})"
    if not all(np.isfinite([ymin, xmin, ymax, xmax])):
        return f"{told} is not finite."
    if ymin > ymax or xmin > xmax:
        return f"{told} has its corners swapped; it must be (ymin, xmin, ymax, xmax)."
    if ymin == ymax or xmin == xmax:
        return f"{told} has no area."
    if min(ymin, xmin) < -1e-3 or max(ymax, xmax) > 1 + 1e-3:
        return f"{told} leaves the picture; edges are fractions of it, from 0 to 1."
    return None


def _of_picture(
    boxes: np.ndarray, classes: np.ndarray, anchors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros(len(anchors), np.int32)
    codes = np.zeros((len(anchors), 5), np.float32)
    if len(boxes):
        shared = np.asarray(overlaps(boxes, np.asarray(corners(anchors))))
        matched = np.where(shared.max(0) >= MATCHED, shared.argmax(0), -1)
        matched[shared.argmax(1)] = np.arange(len(boxes))
        taken = matched >= 0
        labels[taken] = classes[matched[taken]] + 1
        codes[taken, :4] = np.asarray(encode(boxes[matched[taken]], anchors[taken]))
        codes[taken, 4] = 1
    return labels, codes
