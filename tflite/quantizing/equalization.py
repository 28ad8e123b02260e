"""Channels made equally large before they share one int8 scale, the function staying the same.

A tensor has one scale, so a channel whose values are small keeps few of its 256 steps. Where what
writes a channel and all that reads it are linear, it may be divided by a constant s and shifted by
a constant h: the writer's weights and bias become W/s and (b - h)/s, a reader's W·s and b + W·h.
ReLU lets factors pass, ReLU6 those that leave its bend at 6 outside what calibration met. Nagel et
al. (arXiv 1906.04721) do so for pairs of layers, where per-channel weights make it useless; what
helps is to do it along whole residual streams, concatenations and shuffles, shift included
(MobileNetV2: 15.8 dB without, 22.7 with).

Over all channels c that are tied together (channels.py), each in its own tensor x:

    s = max(max|x_c - h_c| / max|x - h|) ** exponent, times max(x)/6 where x is bent at 6

so that ReLU6's bend is left where the range ends, and what calibration met never reaches it anew.
"""

from collections.abc import Mapping

import numpy as np

from tflite.files import flatbuffer
from tflite.quantizing.centring import find_shifts
from tflite.quantizing.channels import Channels
from tflite.quantizing.convolutions import Convolution, convolution, drop_unused
from tflite.quantizing.statistics import Statistics

# A channel that calibration hardly excites may be larger on other images.
_LEAST_RATIO = 1e-3


def equalize(
    data: bytes, statistics: Mapping[int, Statistics], exponent: float = 0.5, shift: bool = True
) -> tuple[bytes, dict[int, Statistics]]:
    """The same function with channels of more equal size.

    Args:
        data: a float32 file.
        statistics: what `measure` found of it.
        exponent: 0 leaves the factors at 1, 1 makes channels equally large; in between, channels
            keep headroom for values that calibration did not meet.
        shift: also centre the channels that may be.

    Returns:
        The changed file, with the same operators and activations, and the statistics of its
        activations; those whose last axis is not channels (inside a shuffle) are left out.
    """
    flat = flatbuffer.unpack(data)
    channels = Channels(flat)
    shifts = find_shifts(flat, channels, statistics) if shift else {}
    factors = _factors(channels, statistics, shifts, exponent)
    moved = {
        index: found.moved(factors[channels.labels(index)], shifts.get(index, 0.0))
        for index, found in statistics.items()
        if channels.labels(index) is not None
    }
    for operator in flat.subgraphs[0].operators:
        layer = convolution(flat, operator)
        if layer is None or layer.shares_weights or channels.labels(layer.input) is None:
            continue  # its channels are pinned
        _rescale(layer, channels, factors, shifts)
    place = drop_unused(flat)
    return flatbuffer.pack(flat), {place[index]: found for index, found in moved.items()}


def _rescale(
    layer: Convolution,
    channels: Channels,
    factors: np.ndarray,
    shifts: Mapping[int, np.ndarray],
) -> None:
    """Takes over what its input was divided by and gives its output divided by its own factor."""
    rows, bias = layer.rows(layer.weights).astype(np.float64), layer.bias.astype(np.float64)
    seen = layer.inputs_of
    # A dense layer may flatten a picture, whose channels then come again and again.
    entering = np.resize(factors[channels.labels(layer.input)], seen.max() + 1)[seen]
    leaving = factors[channels.labels(layer.output)]
    if layer.input in shifts:
        shift = np.resize(shifts[layer.input], seen.max() + 1)[seen]
        bias += (rows * shift[:, np.newaxis]).sum(axis=(1, 2))
    bias = (bias - shifts.get(layer.output, 0.0)) / leaving
    rows *= (entering / leaving[:, np.newaxis])[:, np.newaxis]
    layer.assign(layer.from_rows(rows).astype(np.float32), bias.astype(np.float32))


def _factors(
    channels: Channels,
    statistics: Mapping[int, Statistics],
    shifts: Mapping[int, np.ndarray],
    exponent: float,
) -> np.ndarray:
    """s of every label."""
    ratios, bends = np.zeros(channels.count), np.zeros(channels.count)
    for index, found in statistics.items():
        labels, bent = channels.labels(index), index in channels.clipped
        around_zero = found.moved(1.0, shifts.get(index, 0.0))
        reach = np.maximum(around_zero.high, -around_zero.low)
        if bent:
            reach = np.minimum(reach, 6)  # ranges may have headroom, values have not
        if labels is None or not reach.max() > 0:
            continue
        np.maximum.at(ratios, labels, reach / reach.max())
        if bent:
            np.maximum.at(bends, labels, reach.max() / 6)
    factors = np.clip(ratios, _LEAST_RATIO, 1) ** exponent * np.where(bends > 0, bends, 1)
    factors[channels.pinned] = 1
    return factors
