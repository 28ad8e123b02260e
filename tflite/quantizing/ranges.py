"""Ranges of a calibrated float file, changed before it is quantized."""

from collections import Counter

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.quantizing.convolutions import KINDS
from tflite.quantizing.execution import constant

# XNNPACK adds int8 tensors whose scale is at least 2**-10 of the sum's, and multiplies where a step
# of the product is less than 2**8 of the output's; the rest is a margin.
_LEAST_SHARE = 2.0**-10 * 1.02
_LEAST_PRODUCT = 255 / 2.0**8 * 1.02


def with_input_range(calibrated: bytes, low: float, high: float) -> bytes:
    """The calibrated file with the input's range as it is defined, not as images happened to be.

    Only tensors that hold the input's own values change, so the ranges of all layers stay those
    of the calibration images.
    """
    flat = flatbuffer.unpack(calibrated)
    set_range(flat, flat.subgraphs[0].inputs[0], low, high)
    return flatbuffer.pack(flat)


def widen_for_delegates(calibrated: bytes) -> bytes:
    """A calibrated float file whose ranges XNNPACK takes, the narrowest of them made wider.

    An h-swish adds 3 to its input. Where that input lies within ±0.0015, as in a network that is
    not trained yet, one step of it is less than 2**-10 of a step of the sum, and XNNPACK leaves
    the addition to a slow kernel, cutting the graph in two at each: an untrained MobileNetV3-Small
    ran 1.8 × slower for it. Where a layer's outputs are all but 0, as of one that died in training,
    a step of its products is more than 2**8 steps of the output, and XNNPACK refuses the file.
    Such tensors get the narrowest range that is taken. In trained networks that live, all ranges
    are orders of magnitude wider, and stay those of the calibration images.
    """
    flat = flatbuffer.unpack(calibrated)
    tensors = flat.subgraphs[0].tensors
    widened = False
    for operator in flat.subgraphs[0].operators:
        for index, least in _least_spans(flat, operator):
            known = _range(tensors[index])
            if known is None or known[1] - known[0] >= least:
                continue
            set_range(flat, index, min(known[0], -least / 2), max(known[1], least / 2))
            widened = True
    return flatbuffer.pack(flat) if widened else calibrated


def with_whole_operands(calibrated: bytes) -> bytes:
    """A calibrated float file whose minima and maxima have the range of what others read, too.

    The quantizer gives the operands of MINIMUM and MAXIMUM the range of their result. For x in
    x + min(x, 1) that would clip the sum's x as well.
    """
    flat = flatbuffer.unpack(calibrated)
    graph = flat.subgraphs[0]
    readings = Counter(int(i) for one in graph.operators for i in one.inputs)
    whole = {index for index, count in readings.items() if count > 1}
    whole |= {int(i) for i in graph.outputs}
    changed = False
    for operator in graph.operators:
        if flatbuffer.operator_name(flat, operator) not in ("MINIMUM", "MAXIMUM"):
            continue
        output = int(operator.outputs[0])
        ranges = [_range(graph.tensors[i]) for i in operator.inputs if int(i) in whole]
        ranges = [_range(graph.tensors[output]), *ranges]
        if len(ranges) > 1 and None not in ranges:
            lows, highs = zip(*ranges, strict=True)
            set_range(flat, output, min(lows), max(highs))
            whole.add(output)  # a minimum of it must not clip it either
            changed = True
    return flatbuffer.pack(flat) if changed else calibrated


def set_range(flat: schema.ModelT, tensor: int, low: float, high: float) -> None:
    """Of a tensor, and of all that hold its values."""
    for index in flatbuffer.tensors_with_the_range_of(flat, tensor):
        quantization = flat.subgraphs[0].tensors[index].quantization
        quantization.min = np.asarray([low], np.float32)
        quantization.max = np.asarray([high], np.float32)


def _least_spans(flat: schema.ModelT, operator: schema.OperatorT) -> list[tuple[int, float]]:
    """Tensors of an operator, by index, and how wide their ranges have to be beside the others."""
    kind, output = flatbuffer.operator_name(flat, operator), int(operator.outputs[0])
    if kind in ("ADD", "SUB"):
        least = _LEAST_SHARE * _span(flat, output)
        return [(int(index), least) for index in operator.inputs]
    if kind in ("MUL", "TRANSPOSE_CONV", *KINDS):
        factors = operator.inputs[1:3] if kind == "TRANSPOSE_CONV" else operator.inputs[:2]
        return [(output, _LEAST_PRODUCT * float(np.prod([_step(flat, int(i)) for i in factors])))]
    return []


def _step(flat: schema.ModelT, index: int) -> float:
    """An int8 tensor's step; a constant's in the channel where it is greatest; 0: unknown."""
    values = constant(flat, flat.subgraphs[0].tensors[index])
    if values is None:
        return _span(flat, index) / 255
    return float(np.abs(values).max(initial=0)) / 127


def _span(flat: schema.ModelT, index: int) -> float:
    known = _range(flat.subgraphs[0].tensors[index])
    return known[1] - known[0] if known else 0.0


def _range(tensor) -> tuple[float, float] | None:
    """Least and greatest value with 0 among them, as it will be quantized; None if unknown."""
    quantization = tensor.quantization
    if quantization is None or quantization.min is None or quantization.max is None:
        return None
    if len(quantization.min) != 1 or len(quantization.max) != 1:
        return None
    return min(float(quantization.min[0]), 0.0), max(float(quantization.max[0]), 0.0)
