"""Boxes that say the same are one."""

import numpy as np

from slimnets.dense.suppression import suppress


def greedy(boxes, threshold):
    """The textbook's: the best box first, without any cleverness."""

    def overlap(a, b):
        shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
        areas = [np.prod(box[2:] - box[:2]) for box in (a, b)]
        return shared / (sum(areas) - shared)

    kept = []
    for index, box in enumerate(boxes):
        if all(overlap(box, boxes[other]) <= threshold for other in kept):
            kept.append(index)
    return kept


def test_many_lists_at_once_give_what_one_box_after_another_gives():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.6, (2, 3, 60, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.4, low.shape)], -1).astype("float32")
    kept = np.asarray(suppress(boxes, 0.3))
    for image in range(2):
        for group in range(3):
            assert np.flatnonzero(kept[image, group]).tolist() == greedy(boxes[image, group], 0.3)
    assert 0 < kept.mean() < 1


def test_boxes_without_area_suppress_nothing():
    boxes = np.array([[0.5, 0.5, 0.5, 0.5]] * 3, "float32")
    assert np.asarray(suppress(boxes, 0.5)).all()
