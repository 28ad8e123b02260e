"""Weights, images and samples by rule, so that golden files need not store them.

Needs numpy only. Everything is drawn from `numpy.random.RandomState`, whose streams numpy has
frozen (NEP 19), seeded with the SHA-256 of the tensor's name: the same numbers on every machine
and version.

The rule is chosen so that logits depend on the input. He-initialised ReLU networks answer almost
the same to every image, because the positive mean that every ReLU leaves is what deeper layers
mostly see. Here most of each filter's mean over its inputs is taken away, and with it that common
part. (Not all of it: filters that sum to zero would not notice an input with a wrong offset.) How
fast activations grow or fade with depth differs between the families, so the gain is an argument;
each golden file records the one it was made with.
"""

import hashlib
from typing import Literal

import numpy as np

Layout = Literal["OIHW", "HWIO", "HWCM"]

CENTRING = 0.85
SHIFT = 0.03
SAMPLES = 64


def _random(name: str) -> np.random.RandomState:
    return np.random.RandomState(np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4"))


def fill(
    name: str, shape: tuple[int, ...], layout: Layout = "OIHW", gain: float = 1.0
) -> np.ndarray:
    """The value of the tensor `name`: float32 of `shape` (int64 zero for BN's batch counter).

    `layout` tells how a kernel's axes are read; dense kernels are its last two letters for "HWIO"
    (in, out) and its first two for "OIHW" (out, in):
      "OIHW"  PyTorch, depthwise and grouped included (out, in/groups, kh, kw)
      "HWIO"  Keras and TF-Slim convolutions
      "HWCM"  Keras and TF-Slim depthwise kernels (kh, kw, channels, multiplier)

    By the last part of the name (after the last "." or "/"):
      scales (gamma, or a 1-D weight)      uniform in 0.8 .. 1.2
      running or moving variance           uniform in 0.5 .. 1.5
      running or moving mean               normal, deviation SHIFT
      beta, bias                           normal, deviation SHIFT
      depthwise kernels                    normal, deviation sqrt(2 / fan_in)
      other kernels                        normal, deviation gain * sqrt(2 / fan_in), then less
                                           CENTRING times each filter's own mean over its inputs

    Raises ValueError for a name that has no rule and for an unknown layout.
    """
    random = _random(name)
    kind = name.replace("/", ".").rsplit(".", 1)[-1]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if len(shape) > 1:
        return _kernel(random, shape, layout, gain).astype(np.float32)
    if kind in ("running_var", "moving_variance"):
        value = random.uniform(0.5, 1.5, shape)
    elif kind in ("gamma", "weight"):
        value = random.uniform(0.8, 1.2, shape)
    elif kind in ("beta", "bias", "biases", "running_mean", "moving_mean"):
        value = SHIFT * random.standard_normal(shape)
    else:
        raise ValueError(f"no rule for the tensor {name!r} of shape {shape}.")
    return value.astype(np.float32)


def _kernel(
    random: np.random.RandomState, shape: tuple[int, ...], layout: Layout, gain: float
) -> np.ndarray:
    value = random.standard_normal(shape)
    if layout == "HWCM":
        axes, depthwise = (0, 1), True
    elif layout == "HWIO":
        axes, depthwise = tuple(range(len(shape) - 1)), False
    elif layout == "OIHW":
        axes, depthwise = tuple(range(1, len(shape))), len(shape) == 4 and shape[1] == 1
    else:
        raise ValueError(f"layout must be 'OIHW', 'HWIO' or 'HWCM', got {layout!r}.")
    fan_in = int(np.prod([shape[axis] for axis in axes]))
    scale = np.sqrt(2.0 / fan_in)
    if depthwise:
        # A depthwise filter has one input channel, hence no common part to remove.
        return scale * value
    return gain * scale * (value - CENTRING * value.mean(axes, keepdims=True))


def golden_images(n: int, size: int, seed: int = 0) -> np.ndarray:
    """`n` different RGB images, float32 (n, size, size, 3) in -1 .. 1.

    Each channel is a sum of six random plane waves of up to two periods along an axis and a little
    noise, about a random level. Values are multiples of 1/128, so that the
    rounding of `cos` cannot show.
    """
    random = _random(f"images/{n}/{size}/{seed}")
    axis = np.arange(size) / size
    images = np.empty((n, size, size, 3))
    for image in images:
        for channel in range(3):
            plane = np.full((size, size), random.uniform(-0.8, 0.8))
            for _ in range(6):
                u, v, phase = random.uniform(-2, 2), random.uniform(-2, 2), random.uniform(0, 1)
                wave = np.cos(2 * np.pi * (u * axis[:, None] + v * axis[None, :] + phase))
                plane += 0.25 * wave
            image[:, :, channel] = plane + 0.1 * random.standard_normal((size, size))
    return (np.round(np.clip(images, -1, 1) * 128) / 128).astype(np.float32)


def sample(activation: np.ndarray) -> np.ndarray:
    """64 values of an NHWC activation: those at `sample_positions` of the flattened array."""
    return np.asarray(activation).reshape(-1)[sample_positions(np.size(activation))]


def sample_positions(size: int) -> np.ndarray:
    """64 fixed flat indices below `size`, spread over all axes (Fibonacci hashing)."""
    return ((np.arange(SAMPLES, dtype=np.uint64) * 2654435769 % 2**32) * size >> 32).astype(int)


def spread(logits: np.ndarray) -> float:
    """How far the first two rows of `logits` (n, classes) are apart.

    Root mean square of their difference over sqrt(2) times their mean standard deviation: 0 means
    that logits ignore the input, 1 that they are as different as two unrelated vectors.
    """
    first, second = np.asarray(logits, np.float64)[:2]
    difference = np.sqrt(np.mean((first - second) ** 2))
    return float(difference / (np.sqrt(2) * (first.std() + second.std()) / 2))
