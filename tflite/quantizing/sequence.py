"""Weights and biases of a quantized file, fitted layer by layer in the order of computation.

Each layer is fitted to what the layers before it, quantized and fitted, really give it, as the
device computes it; so errors are made good where they can be, before they add up.
"""

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.quantizing import bias_correction, refitting
from tflite.quantizing.convolutions import Convolution, convolution, drop_unused
from tflite.quantizing.execution import Step, in_batches, last_readers
from tflite.quantizing.sampling import sample_rows
from tflite.quantizing.statistics import Statistics
from tflite.runtime import Session

# Of int32's 2**31 steps, leaving room for what the inputs add.
_LARGEST_BIAS = 2.0**30


def fit_layers(
    quantized: bytes,
    equalized: bytes,
    statistics: Mapping[int, Statistics],
    images: np.ndarray,
    session: Session,
    refit: bool = True,
) -> bytes:
    """The quantized file with better integers; scales and zero points of activations stay.

    Args:
        quantized: the int8 file that the quantizer made.
        equalized: the float file that it made it from.
        statistics: of the float file's activations, means and weights over `images`.
        images: float32 (N, height, width, channels), as the file takes them.
        session: of the quantized file; says how images become its input.
        refit: find new integer weights, not only biases.

    Raises:
        ValueError: the quantizer has changed the order of the layers.
    """
    flat, source = flatbuffer.unpack(quantized), flatbuffer.unpack(equalized)
    originals = _paired(flat, source)
    graph = flat.subgraphs[0]
    last = last_readers(flat)
    live = {int(graph.inputs[0]): session.quantize(in_batches(flat, images))}
    for position, operator in enumerate(graph.operators):
        original = originals.get(position)
        if original is None:
            step = Step(flat, position)
            live.update(zip(step.outputs, step([live[i] for i in step.inputs]), strict=True))
        else:
            layer = convolution(flat, operator)
            wanted, inputs = statistics[original.output], live[layer.input]
            live[layer.output] = _fit_layer(flat, position, layer, original, wanted, inputs, refit)
        for index in [i for i in live if last.get(i, -1) <= position]:
            del live[index]
    drop_unused(flat)
    return flatbuffer.pack(flat)


def _paired(flat: schema.ModelT, source: schema.ModelT) -> dict[int, Convolution]:
    """The float layer of each quantized one that can be fitted, by its position."""
    layers = {
        position: convolution(flat, operator)
        for position, operator in enumerate(flat.subgraphs[0].operators)
    }
    layers = {position: layer for position, layer in layers.items() if layer is not None}
    found = [convolution(source, operator) for operator in source.subgraphs[0].operators]
    originals = [layer for layer in found if layer is not None]
    forms = [(layer.kind, layer.weights.shape) for layer in layers.values()]
    if forms != [(layer.kind, layer.weights.shape) for layer in originals]:
        raise ValueError("the quantized file has other layers than the float file.")
    return {
        position: original
        for (position, layer), original in zip(layers.items(), originals, strict=True)
        if layer.weights.dtype == np.int8 and not layer.shares_weights
    }


def _fit_layer(
    flat: schema.ModelT,
    position: int,
    layer: Convolution,
    original: Convolution,
    wanted: Statistics,
    inputs: np.ndarray,
    refit: bool,
) -> np.ndarray:
    """Fits one layer in place; gives what it then computes."""
    tensors = flat.subgraphs[0].tensors
    entering = tensors[layer.input].quantization
    scale, zero_point = np.float32(entering.scale[0]), int(entering.zeroPoint[0])
    rows = sample_rows(layer, inputs, zero_point, seed=position)
    rows = (rows.astype(np.float32) - zero_point) * scale
    weights = original.rows(original.weights).reshape(layer.groups, -1, rows.shape[-1])
    bias = original.bias.astype(np.float64)
    if refit:
        least = np.abs(bias).reshape(weights.shape[:2]) / (scale * _LARGEST_BIAS)
        integers, scales = refitting.fit(weights, rows, least, len(layer.weight_scales) == 1)
        shape = layer.rows(layer.weights).shape
        layer.quantize(layer.from_rows(integers.reshape(shape)), scales.reshape(-1))
    stored = layer.rows(layer.weights).reshape(weights.shape)
    scales = np.broadcast_to(layer.weight_scales, layer.channels).reshape(*weights.shape[:2], 1)
    lost = weights - stored * scales
    bias += (lost * rows.mean(axis=1)[:, np.newaxis]).sum(axis=2).reshape(-1)

    def run(bias: np.ndarray) -> np.ndarray:
        layer.quantize_bias(bias)
        return Step(flat, position)([inputs])[0]

    quantization = tensors[layer.output].quantization
    return bias_correction.correct(bias, wanted.mean, wanted.weights, run, quantization)[1]
