"""What the operators of a .tflite file compute, in float32: one table, one row an operator.

Adding an operator that can be trained is adding its row here, and what the file says of its options
to `tflite.quantizing.unfolding`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from keras import ops


def _activated(x, activation: str | None):
    if activation is None:
        return x
    if activation == "relu1":
        return ops.clip(x, -1.0, 1.0)
    return {"relu": ops.relu, "relu6": ops.relu6, "tanh": ops.tanh}[activation](x)


def _convolution(x, kernel, bias, *, strides, padding, dilation, activation):
    x = ops.conv(x, kernel, strides=strides, padding=padding, dilation_rate=dilation)
    return _activated(x + bias, activation)


def _depthwise(x, kernel, bias, *, strides, padding, dilation, activation):
    x = ops.depthwise_conv(x, kernel, strides=strides, padding=padding, dilation_rate=dilation)
    return _activated(x + bias, activation)


def _dense(x, kernel, bias, *, keeps_dimensions, activation):
    if not keeps_dimensions:
        x = ops.reshape(x, (-1, kernel.shape[0]))
    return _activated(ops.matmul(x, kernel) + bias, activation)


def _of_two(function: Callable) -> Callable:
    return lambda x, y, *, activation=None: _activated(function(x, y), activation)


def _pool(function: Callable, **fixed: Any) -> Callable:
    def pool(x, *, window, strides, padding, activation):
        return _activated(function(x, window, strides=strides, padding=padding), activation)

    return pool


def _concatenation(*tensors, axis: int, activation):
    return _activated(ops.concatenate(tensors, axis=axis), activation)


def _requantized(x, *, scale: float = 1.0, into: float = 1.0, multiplier: float | None = None):
    """Steps of one scale in those of another, as the kernel rounds them."""
    if multiplier is None:
        return x
    steps = ops.floor(ops.round(x / scale) * multiplier + 0.5)
    return x + ops.stop_gradient(steps * into - x)


def _reshape(x, *, shape: Sequence[int]):
    return ops.reshape(x, (-1, *shape[1:]))


def _part(x, *, bounds: Sequence[Sequence[int | None]]):
    return x[tuple(slice(*bound) for bound in bounds)]


def _bilinear(x, *, size, align_corners, half_pixel_centers):
    import tensorflow as tf

    return tf.compat.v1.image.resize_bilinear(
        x, size, align_corners=align_corners, half_pixel_centers=half_pixel_centers
    )


def _nearest(x, *, size, align_corners, half_pixel_centers):
    import tensorflow as tf

    return tf.raw_ops.ResizeNearestNeighbor(
        images=x, size=size, align_corners=align_corners, half_pixel_centers=half_pixel_centers
    )


def _identity(x):
    return x


OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "ADD": _of_two(ops.add),
        "AVERAGE_POOL_2D": _pool(ops.average_pool),
        "CONCATENATION": _concatenation,
        "CONV_2D": _convolution,
        "DEPTHWISE_CONV_2D": _depthwise,
        "DEQUANTIZE": _identity,
        "FULLY_CONNECTED": _dense,
        "HARD_SWISH": lambda x: x * ops.relu6(x + 3.0) / 6.0,
        "LEAKY_RELU": lambda x, *, slope: ops.leaky_relu(x, slope),
        "LOGISTIC": ops.sigmoid,
        "MAXIMUM": _of_two(ops.maximum),
        "MAX_POOL_2D": _pool(ops.max_pool),
        "MEAN": lambda x, *, axes, keepdims: ops.mean(x, tuple(axes), keepdims=keepdims),
        "MINIMUM": _of_two(ops.minimum),
        "MUL": _of_two(ops.multiply),
        "PAD": lambda x, *, widths: ops.pad(x, widths),
        "PRELU": lambda x, slopes: ops.maximum(x, 0.0) + slopes * ops.minimum(x, 0.0),
        "QUANTIZE": _requantized,
        "RELU": ops.relu,
        "RELU6": ops.relu6,
        "RESHAPE": _reshape,
        "RESIZE_BILINEAR": _bilinear,
        "RESIZE_NEAREST_NEIGHBOR": _nearest,
        "SLICE": _part,
        "SOFTMAX": ops.softmax,
        "SPLIT": lambda x, *, count, axis: ops.split(x, count, axis=axis),
        "SQUEEZE": _reshape,
        "STRIDED_SLICE": _part,
        "SUB": _of_two(ops.subtract),
        "SUM": lambda x, *, axes, keepdims: ops.sum(x, tuple(axes), keepdims=keepdims),
        "TANH": ops.tanh,
        "TRANSPOSE": lambda x, *, axes: ops.transpose(x, axes),
    }
)
