"""The boxes that an SSDLite's codes are relative to: the two published layouts.

Sources: torchvision `models/detection/anchor_utils.py`, DefaultBoxGenerator; TF Object Detection
API `anchor_generators/multiple_grid_anchor_generator.py`, create_ssd_anchors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

STYLES = ("torchvision", "tensorflow")
MAPS = 6
# Of the six maps, relative to the picture's side: 0.2 to 0.95 linearly; 1 follows the last one.
_SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)


def _torchvision_sizes(k: int) -> list[tuple[float, float]]:
    scale = _SCALES[k]
    sizes = [(scale, scale), (math.sqrt(scale * _SCALES[k + 1]),) * 2]
    for ratio in (2, 3):
        long, short = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
        sizes += [(short, long), (long, short)]
    return [(min(h, 1.0), min(w, 1.0)) for h, w in sizes]


def _tensorflow_sizes(k: int) -> list[tuple[float, float]]:
    scale = _SCALES[k]
    # 0.3333 for a third, and the first map reduced, as there.
    shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 0.3333)]
    shapes.append((math.sqrt(scale * _SCALES[k + 1]), 1.0))
    if k == 0:
        shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    return [(s / math.sqrt(ratio), s * math.sqrt(ratio)) for s, ratio in shapes]


_SIZES: dict[str, Callable[[int], list[tuple[float, float]]]] = {
    "torchvision": _torchvision_sizes,
    "tensorflow": _tensorflow_sizes,
}


def anchors_per_cell(style: str) -> tuple[int, ...]:
    """How many anchors a cell of each map has: 6, but 3 on TensorFlow's first map."""
    return tuple(len(_SIZES[style](k)) for k in range(MAPS))


def layout(
    grids: Sequence[tuple[int, int]], style: str, size: tuple[int, int] = (1, 1)
) -> np.ndarray:
    """All anchors of maps of these (height, width), float32 (anchors, 4).

    Map by map, row by row, column by column; the anchors of a cell follow each other.

    Args:
        size: the picture's height and width. Anchors are fractions of it, of torchvision's style
            by each side, of TensorFlow's by the shorter one, so that a square is one in pixels.
    """
    found = []
    unit = min(size) / np.array(size) if style == "tensorflow" else 1
    for k, (height, width) in enumerate(grids):
        y, x = np.meshgrid(
            (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"
        )
        centres = np.stack([y, x], -1)[:, :, np.newaxis]
        sizes = np.array(_SIZES[style](k)) * unit
        shape = (height, width, len(sizes), 2)
        both = np.broadcast_to(centres, shape), np.broadcast_to(sizes, shape)
        found.append(np.concatenate(both, -1).reshape(-1, 4))
    return np.concatenate(found).astype(np.float32)


def anchors(model: Any) -> np.ndarray:
    """The anchors of an SSDLite, (y, x, height, width) in fractions of the picture.

    Args:
        model: built by `slimnets.ssdlite`, also saved, loaded or cloned.

    Returns:
        float32 (anchors, 4), in the order of the model's outputs. Corners may lie outside.

    Raises:
        TypeError, ValueError: `model` is no such model.
    """
    grids = [head.output.shape[1:3] for head in _heads(model)]
    return layout(grids, style_of(model), model.input_shape[1:3])


def style_of(model: Any) -> str:
    """Which form an SSDLite has, "torchvision" or "tensorflow", told by its first map's anchors."""
    cell = tuple(head.filters // 4 for head in _heads(model))
    found = [style for style in STYLES if anchors_per_cell(style) == cell]
    if not found:
        raise ValueError(
            f"model {model.name!r} has {cell} anchors per cell, as no SSDLite of ours."
        )
    return found[0]


def _heads(model: Any) -> list[Any]:
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}.")
    names = {layer.name: layer for layer in model.layers}
    heads = [names.get(f"boxes_{k}.predict.conv") for k in range(MAPS)]
    if None in heads:
        raise ValueError(
            f"model {model.name!r} is no detector of slimnets, such as slimnets.ssdlite(…): it has "
            "no layers boxes_0.predict.conv, …."
        )
    return heads
