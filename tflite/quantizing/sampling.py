"""A sample of what the weights of a layer are multiplied with."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.quantizing.convolutions import Convolution

# Enough for second moments: so many rows for each number in one, within limits. Depthwise layers
# take a row for each of their channels.
_ROWS_A_NUMBER = 16
_FEWEST_ROWS, _MOST_ROWS = 4_000, 30_000


def sample_rows(layer: Convolution, inputs: np.ndarray, padding: float, seed: int) -> np.ndarray:
    """Patches of a layer's inputs, at places that the seed chooses among all images.

    Args:
        layer: whose kernel, strides and padding to use.
        inputs: (N, ...), its input activation for N images.
        padding: the value around a picture.

    Returns:
        (groups, n, in): as many numbers in a row as an output channel has weights, in the order
        of `Convolution.rows`.
    """
    if layer.kind == "FULLY_CONNECTED":
        return inputs.reshape(1, -1, layer.weights.shape[1])
    numbers = layer.weights.size // layer.channels
    rows = int(np.clip(_ROWS_A_NUMBER * numbers, _FEWEST_ROWS, _MOST_ROWS))
    image, top, left = _places(len(inputs), layer.output_size, rows, seed)
    options = layer.operator.builtinOptions
    y, inside_y = _taps(
        top, options.strideH, options.dilationHFactor, layer.kernel[0], inputs.shape[1], options
    )
    x, inside_x = _taps(
        left, options.strideW, options.dilationWFactor, layer.kernel[1], inputs.shape[2], options
    )
    patches = inputs[image[:, None, None], y[:, :, None], x[:, None, :]]
    patches[~(inside_y[:, :, None] & inside_x[:, None, :])] = padding
    patches = patches.reshape(len(image), y.shape[1] * x.shape[1], layer.groups, -1)
    patches = np.ascontiguousarray(patches.transpose(2, 0, 1, 3))
    return patches.reshape(layer.groups, len(image), -1)


def _places(
    images: int, size: tuple[int, int], rows: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which image, row and column of the output each sample belongs to."""
    count = images * size[0] * size[1]
    if count <= rows:
        chosen = np.arange(count)
    else:
        chosen = np.random.default_rng(seed).integers(count, size=rows)
    return np.unravel_index(chosen, (images, *size))


def _taps(
    places: np.ndarray, stride: int, dilation: int, kernel: int, size: int, options
) -> tuple[np.ndarray, np.ndarray]:
    """Input positions (n, kernel) along one axis, and which of them lie inside the picture."""
    before = 0
    if options.padding == schema.Padding.SAME:
        outputs = -(-size // stride)
        before = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) // 2
    taps = places[:, np.newaxis] * stride - before + np.arange(kernel) * dilation
    return np.clip(taps, 0, size - 1), (taps >= 0) & (taps < size)
