"""Models that scale pixels themselves: they take 0..255, whatever their name says.

keras.applications puts a `Rescaling` into MobileNetV3 and EfficientNet, and Keras's guides begin a
model with one, or with `preprocess_input`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

# What only moves pixels, or is there in training alone.
_PASSES = frozenset(
    {"InputLayer", "Resizing", "CenterCrop", "Cropping2D", "ZeroPadding2D", "Cast", "GetItem"}
    | {"Stack", "Identity", "Dropout", "GaussianNoise", "Permute", "Transpose", "Pipeline"}
)
# Images in 0..1 or -1..1 are divided by less and have means below.
_LARGE = 16.0


def takes_pixels(model: Any) -> bool:
    """Whether the first arithmetic of a Keras model is such as pixels in 0..255 need."""
    first = next(
        (
            one
            for one in _operations(model)
            if (name := type(one).__name__) not in _PASSES and not name.startswith("Random")
        ),
        None,
    )
    return first is not None and _scales_pixels(first)


def _operations(model: Any) -> Iterator[Any]:
    """Of nested models, too. A Sequential has layers alone."""
    inside = getattr(model, "operations", None) or getattr(model, "layers", None)
    if not inside:
        yield model
    for operation in inside or ():
        yield from _operations(operation)


def _scales_pixels(operation: Any) -> bool:
    match type(operation).__name__:
        case "Rescaling":
            return _largest(operation.scale) * _LARGE < 1
        case "Normalization":
            return max(_largest(operation.mean), _largest(operation.variance) ** 0.5) > _LARGE
        case "BatchNormalization":
            return _largest(operation.moving_mean) > _LARGE
        case "TrueDivide" | "Divide" | "Add" | "Subtract":
            return _largest(_constant(operation)) > _LARGE
        case "Multiply":
            return 0 < _largest(_constant(operation)) * _LARGE < 1
    return False


def _constant(operation: Any) -> Any:
    """The number in the arithmetic of a tensor and a number; 0 where there is none."""
    arguments = operation._inbound_nodes[0].arguments
    values = (*arguments.args, *arguments.kwargs.values())
    return next((value for value in values if not hasattr(value, "_keras_history")), 0.0)


def _largest(value: Any) -> float:
    """The largest magnitude of a number or an array; 0 of what is neither."""
    try:
        array = np.abs(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        return 0.0
    return float(array.max()) if array.size else 0.0
