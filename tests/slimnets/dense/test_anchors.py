"""Anchors and codes are the published ones."""

import numpy as np
import pytest

from slimnets.dense.anchors import layout
from slimnets.dense.boxes import corners, decode, encode
from tests.reference import dense_golden


@pytest.mark.parametrize(
    ("style", "grids", "count"),
    [
        ("torchvision", (20, 10, 5, 3, 2, 1), 3234),
        ("tensorflow", (20, 10, 5, 3, 2, 1), 2034),
        ("tensorflow", (19, 10, 5, 3, 2, 1), 1917),
    ],
)
def test_as_many_as_published(style, grids, count):
    assert layout([(n, n) for n in grids], style).shape == (count, 4)


def test_tensorflows_first_anchors():
    # ssd_anchor_generator on a 19×19 map: 0.1 square, then 0.2 at ratios 2 and 1/2, (y, x, h, w).
    centre = 0.5 / 19
    wide = 0.2 * np.sqrt(2)
    expected = [(0.1, 0.1), (0.2 / np.sqrt(2), wide), (wide, 0.2 / np.sqrt(2))]
    first = layout([(19, 19), *[(1, 1)] * 5], "tensorflow")[:3]
    np.testing.assert_allclose(first, [(centre, centre, *size) for size in expected], rtol=1e-6)


def test_tensorflows_anchors_keep_their_shape_where_pictures_are_not_square():
    wanted = dense_golden.load("dense_tf_ssdlite_v1_x0.25")
    assert (wanted.height, wanted.width) == (97, 131)
    grids = [(7, 9), (4, 5), (2, 3), (1, 2), (1, 1), (1, 1)]
    found = corners(layout(grids, "tensorflow", (97, 131)))[::7]
    np.testing.assert_allclose(found, wanted.arrays["anchors"], atol=1e-6)


def test_decoding_undoes_encoding():
    anchors = layout([(2, 3)] * 6, "torchvision")
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.5, (len(anchors), 2))
    boxes = np.concatenate([low, low + rng.uniform(0.05, 0.5, low.shape)], -1).astype("float32")
    np.testing.assert_allclose(decode(encode(boxes, anchors), anchors), boxes, atol=1e-6)
    np.testing.assert_allclose(decode(np.zeros_like(anchors), anchors), corners(anchors), atol=1e-6)
