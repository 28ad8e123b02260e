"""Biases that keep the mean output of every channel what it is in the float network.

Weight rounding, clipping and activation rounding shift the mean of a channel, for all images alike;
Nagel et al. (arXiv 1906.04721) correct what is expected of it. Here the mean is measured, on what
the device itself computes, behind the fused activation and in the quantized network so far, each
image weighted:

    b ← b + (mean of the float network - mean here) / share of outputs that are not clipped
"""

from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_ROUNDS = 2
# Where next to nothing passes the activation, its slope says little.
_LEAST_SHARE = 0.05


def correct(
    bias: np.ndarray,
    mean: np.ndarray,
    weights: np.ndarray,
    run: Callable[[np.ndarray], np.ndarray],
    quantization: schema.QuantizationParametersT,
) -> tuple[np.ndarray, np.ndarray]:
    """The corrected bias, and the layer's outputs with it.

    Args:
        bias: (channels,), to begin with.
        mean: (channels,), the float network's mean output, weighted by images.
        weights: (N,), of the images.
        run: the layer's int8 outputs (N, ..., channels) for a bias.
        quantization: the outputs' scale and zero point.
    """
    scale, zero_point = float(quantization.scale[0]), int(quantization.zeroPoint[0])
    for _ in range(_ROUNDS):
        found, passing = _means(run(bias), weights / weights.sum())
        missing = mean - (found - zero_point) * scale
        bias = bias + missing / np.maximum(passing, _LEAST_SHARE)
    return bias, run(bias)


def _means(outputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean value, and the share of values that are not the least or greatest there is."""
    mean = passing = 0
    for image, weight in zip(outputs, weights, strict=True):
        rows = image.reshape(-1, image.shape[-1])
        mean = mean + weight * rows.mean(axis=0)
        passing = passing + weight * ((rows > -128) & (rows < 127)).mean(axis=0)
    return mean, passing
