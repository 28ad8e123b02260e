"""Coding of boxes relative to anchors, and how much boxes overlap.

Source: TF Object Detection API `box_coders/faster_rcnn_box_coder.py`; torchvision's
`detection/_utils.py`, BoxCoder(weights=(10, 10, 5, 5)), which differs in the order alone.
"""

from __future__ import annotations

import math
from typing import Any

from slimnets import lazy_keras as keras

# Codes are multiplied by these, (y, x, height, width), so that all vary alike.
SCALES = (10.0, 10.0, 5.0, 5.0)
# torchvision's bound on the logarithm of sizes: exp() of a wild code stays finite.
_LARGEST = math.log(1000 / 16)


def encode(boxes: Any, anchors: Any) -> Any:
    """Boxes (…, 4), corners, as codes relative to `anchors` (…, 4), centres.

    Heights and widths must be above 0.
    """
    ymin, xmin, ymax, xmax = keras.ops.unstack(boxes, 4, axis=-1)
    y, x, height, width = keras.ops.unstack(anchors, 4, axis=-1)
    codes = (
        ((ymin + ymax) / 2 - y) / height,
        ((xmin + xmax) / 2 - x) / width,
        keras.ops.log((ymax - ymin) / height),
        keras.ops.log((xmax - xmin) / width),
    )
    return keras.ops.stack([c * scale for c, scale in zip(codes, SCALES, strict=True)], axis=-1)


def decode(codes: Any, anchors: Any) -> Any:
    """The boxes, corners, of `codes` (…, 4) relative to `anchors` (…, 4); not clipped."""
    codes = [
        c / scale for c, scale in zip(keras.ops.unstack(codes, 4, axis=-1), SCALES, strict=True)
    ]
    y, x, height, width = keras.ops.unstack(anchors, 4, axis=-1)
    centre_y, centre_x = codes[0] * height + y, codes[1] * width + x
    half_height = keras.ops.exp(keras.ops.minimum(codes[2], _LARGEST)) * height / 2
    half_width = keras.ops.exp(keras.ops.minimum(codes[3], _LARGEST)) * width / 2
    return keras.ops.stack(
        [
            centre_y - half_height,
            centre_x - half_width,
            centre_y + half_height,
            centre_x + half_width,
        ],
        axis=-1,
    )


def corners(centred: Any) -> Any:
    """(y, x, height, width) → (ymin, xmin, ymax, xmax)."""
    y, x, height, width = keras.ops.unstack(centred, 4, axis=-1)
    edges = [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
    return keras.ops.stack(edges, axis=-1)


def overlaps(first: Any, second: Any) -> Any:
    """Intersection over union of each of (…, n, 4) with each of (…, m, 4) → (…, n, m).

    0 where both are empty.
    """
    a, b = first[..., :, None, :], second[..., None, :, :]
    low = keras.ops.maximum(a[..., :2], b[..., :2])
    high = keras.ops.minimum(a[..., 2:], b[..., 2:])
    shared = keras.ops.prod(keras.ops.maximum(high - low, 0.0), axis=-1)
    union = _areas(a) + _areas(b) - shared
    return keras.ops.where(union > 0, shared / keras.ops.maximum(union, 1e-12), 0.0)


def _areas(boxes: Any) -> Any:
    return keras.ops.prod(keras.ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)
