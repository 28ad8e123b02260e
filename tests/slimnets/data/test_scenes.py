"""Scenes are always there, always the same, and say truly what is in them."""

import numpy as np
import pytest

from slimnets.data.scenes import scenes


def test_boxes_hold_what_the_masks_show():
    made = scenes(8, 96, split="test", most=1)
    assert made.images.shape == (8, 96, 96, 3)
    for (boxes, classes), mask in zip(made.objects, made.masks, strict=True):
        rows, columns = np.nonzero(mask)
        edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert np.abs(boxes[0] * 96 - edges).max() <= 2
        assert set(np.unique(mask)) == {0, classes[0] + 1}


def test_the_same_every_time_and_others_for_another_seed_or_split():
    first, again = scenes(2, 64), scenes(2, 64)
    np.testing.assert_array_equal(first.images, again.images)
    for other in (scenes(2, 64, seed=1), scenes(2, 64, split="test")):
        assert (first.images != other.images).any()


@pytest.mark.parametrize("wrong", [{"split": "val"}, {"digits": (3, 10)}, {"size": 8}])
def test_what_is_not_there_is_said(wrong):
    with pytest.raises(ValueError, match=r"split must|digits must|there must"):
        scenes(1, **wrong)
