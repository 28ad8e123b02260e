"""Corrected biases give the mean output that was asked for, through clipping and rounding."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite.quantizing.bias_correction import correct

STEP = 0.05


@pytest.mark.parametrize("zero_point", [0, -128])
def test_means_behind_the_activation_are_met(zero_point):
    """A layer that is off by a different amount in each channel; ReLU where 0 is the least."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.5, 1, (10, 20, 20, 3))
    off = np.array([0.7, -0.4, 0.0])
    quantization = schema.QuantizationParametersT(
        scale=np.asarray([STEP], np.float32), zeroPoint=np.asarray([zero_point], np.int64)
    )

    def quantized(values):
        return np.clip(np.rint(values / STEP) + zero_point, -128, 127).astype(np.int8)

    def mean(stored):
        return (stored.astype(float) - zero_point).mean(axis=(0, 1, 2)) * STEP

    expected = mean(quantized(values))
    _, outputs = correct(
        np.zeros(3), expected, np.ones(10), lambda b: quantized(values + off + b), quantization
    )
    # Clipped beginnings: a round is a step of Newton's method.
    np.testing.assert_allclose(mean(outputs), expected, atol=0.02)


def test_an_image_counts_by_its_weight():
    """Two images want different biases; the one that counts nine tenths nearly gets its own."""
    quantization = schema.QuantizationParametersT(
        scale=np.asarray([0.01], np.float32), zeroPoint=np.asarray([0], np.int64)
    )
    values = np.stack([np.zeros((4, 4, 1)), np.full((4, 4, 1), 0.5)])

    def run(bias):
        return np.rint((values + bias) / 0.01).astype(np.int8)

    weights = np.array([9.0, 1.0])
    bias, _ = correct(np.zeros(1), np.array([0.3]), weights, run, quantization)
    np.testing.assert_allclose(bias, 0.3 - 0.05, atol=0.01)
