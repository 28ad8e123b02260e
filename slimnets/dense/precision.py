"""COCO's mean average precision of boxes, and the mean intersection over union of class maps.

Source: pycocotools `cocoeval.py` (boxes, area "all", 100 detections), whose figures these are;
Everingham et al., Pascal VOC, for class maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from slimnets.dense.losses import IGNORED

IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
# Of a picture's detections the surest so many count, and of those what is less sure than this
# changes the figure by nothing that can be seen.
MOST_DETECTIONS, LEAST_SCORE = 100, 0.01


class Precision(NamedTuple):
    """`mean`: over IoU 0.5, 0.55, … 0.95 and classes; `at_50`, `at_75`; `by_class`: its means.

    0 to 1; a class without objects has NaN and is not in the means.
    """

    mean: float
    at_50: float
    at_75: float
    by_class: np.ndarray


def mean_precision(found: Sequence[Any], objects: Sequence[Any], num_classes: int) -> Precision:
    """How good detections are: COCO's AP.

    Args:
        found: `slimnets.Detections` of each picture, or (boxes, classes, scores).
        objects: of each picture (boxes, classes), boxes in the same units; or (boxes, classes,
            ignored), True where a box is a crowd: to find it, or many in it, counts neither way.
        num_classes: without the background.

    Raises:
        ValueError: not as many pictures in both.
    """
    if len(found) != len(objects):
        raise ValueError(f"detections are of {len(found)} pictures, objects of {len(objects)}.")
    table = np.stack([_of_class(found, objects, k) for k in range(num_classes)])
    return Precision(*(_mean(part) for part in (table, table[:, 0], table[:, 5])),
                     np.array([_mean(row) for row in table]))  # fmt: skip


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _of_class(found: Sequence[Any], objects: Sequence[Any], k: int) -> np.ndarray:
    """Average precision of one class at each of IOUS."""
    total, scores, hits = 0, [], []
    for (boxes, classes, its_scores), (true_boxes, true_classes, *ignored) in zip(
        found, objects, strict=True
    ):
        best = np.argsort(-np.asarray(its_scores)[classes == k], kind="mergesort")[:MOST_DETECTIONS]
        of_class = np.asarray(true_classes) == k
        wanted = np.asarray(true_boxes, float).reshape(-1, 4)[of_class]
        crowds = np.asarray(ignored[0] if ignored else np.zeros(len(of_class), bool))[of_class]
        total += int((~crowds).sum())
        scores.append(np.asarray(its_scores)[classes == k][best])
        hits.append(_matches(np.asarray(boxes, float)[classes == k][best], wanted, crowds))
    if not total:
        return np.full(len(IOUS), np.nan)
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    table = np.concatenate(hits, axis=1)[:, order]
    return np.array([_average(row[row >= 0] > 0, total) for row in table])


def _matches(boxes: np.ndarray, wanted: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Which boxes, the surest first, find an object no surer one has found, at each of IOUS: 1;
    -1 where they find nothing but a crowd."""
    hits = np.zeros((len(IOUS), len(boxes)), np.int8)
    if not len(wanted) or not len(boxes):
        return hits
    low = np.maximum(boxes[:, None, :2], wanted[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], wanted[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), -1)
    areas = [np.prod(b[:, 2:] - b[:, :2], -1) for b in (boxes, wanted)]
    union = areas[0][:, None] + areas[1][None] - shared
    # Of a crowd's box a detection may be any part.
    iou = shared / np.maximum(np.where(crowds, areas[0][:, None], union), 1e-12)
    for row, threshold in zip(hits, IOUS, strict=True):
        least, free = min(threshold, 1 - 1e-10), ~crowds
        for index in range(len(boxes)):
            candidates = np.where(free, iou[index], -1)
            # Of equal overlaps pycocotools takes the last.
            best = len(wanted) - 1 - int(np.argmax(candidates[::-1]))
            if candidates[best] >= least:
                row[index], free[best] = 1, False
            elif (crowds & (iou[index] >= least)).any():
                row[index] = -1
    return hits


def _average(true: np.ndarray, total: int) -> float:
    """Of detections, the surest first, True where they find an object."""
    true = np.cumsum(true)
    recall = true / total
    precision = true / np.arange(1, len(true) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(envelope, 0.0)[np.minimum(places, len(true))].mean())


def mean_iou(found: Any, wanted: Any, num_classes: int) -> tuple[float, np.ndarray]:
    """Mean intersection over union of class maps, and that of each class (NaN: it is in neither).

    Args:
        found, wanted: integers, (…, H, W); where `wanted` is 255, nothing counts.
        num_classes: with the background.

    Raises:
        ValueError: maps of different shapes, or with other classes.
    """
    return iou_of(confusion(found, wanted, num_classes))


def confusion(found: Any, wanted: Any, num_classes: int) -> np.ndarray:
    """How many pixels of class c (columns) are found to be of class r (rows): int64 (num_classes,
    num_classes).

    Args:
        found, wanted, num_classes: as of `mean_iou`.

    Raises:
        ValueError: maps of two shapes, or with a class beyond `num_classes`.
    """
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.shape != wanted.shape:
        raise ValueError(f"maps are of shape {found.shape} and {wanted.shape}.")
    counts = wanted != IGNORED
    found, wanted = found[counts].astype(int), wanted[counts].astype(int)
    for name, values in (("found", found), ("wanted", wanted)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            raise ValueError(
                f"{name} has classes from {values.min()} to {values.max()}; allowed are 0 to "
                f"{num_classes - 1}, and {IGNORED} in wanted for what does not count."
            )
    table = np.bincount(found * num_classes + wanted, minlength=num_classes**2)
    return table.reshape(num_classes, num_classes)


def iou_of(table: np.ndarray) -> tuple[float, np.ndarray]:
    """`mean_iou`, of a table of counts."""
    shared, union = np.diag(table), table.sum(0) + table.sum(1) - np.diag(table)
    each = np.where(union > 0, shared / np.maximum(union, 1), np.nan)
    return _mean(each), each
