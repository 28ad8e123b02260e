"""Ranges of a calibrated float file, changed before it is quantized."""

import numpy as np

from tflite.files import flatbuffer

# XNNPACK adds int8 tensors whose scale is at least 2**-10 of the sum's; the rest is a margin.
_LEAST_SHARE = 2.0**-10 * 1.02


def with_input_range(calibrated: bytes, low: float, high: float) -> bytes:
    """The calibrated file with the input's range as it is defined, not as images happened to be.

    Only tensors that hold the input's own values change, so the ranges of all layers stay those
    of the calibration images.
    """
    flat = flatbuffer.unpack(calibrated)
    graph = flat.subgraphs[0]
    for index in flatbuffer.tensors_with_the_range_of(flat, graph.inputs[0]):
        quantization = graph.tensors[index].quantization
        quantization.min = np.asarray([low], np.float32)
        quantization.max = np.asarray([high], np.float32)
    return flatbuffer.pack(flat)


def widen_for_additions(calibrated: bytes) -> bytes:
    """A calibrated float file in which no summand's range is too small beside the sum's.

    An h-swish adds 3 to its input. Where that input lies within ±0.0015, as in a network that is
    not trained yet, one step of it is less than 2**-10 of a step of the sum, and XNNPACK leaves
    the addition to a slow kernel, cutting the graph in two at each: an untrained MobileNetV3-Small
    ran 1.8 × slower for it. Such inputs get the smallest range that is taken. Summands of trained
    networks are orders of magnitude larger and keep the range of their calibration images.
    """
    flat = flatbuffer.unpack(calibrated)
    graph = flat.subgraphs[0]
    widened = False
    for operator in graph.operators:
        if flatbuffer.operator_name(flat, operator) not in ("ADD", "SUB"):
            continue
        total = _range(graph.tensors[operator.outputs[0]])
        for index in operator.inputs:
            summand = _range(graph.tensors[index])
            if total is None or summand is None:
                continue
            least = _LEAST_SHARE * (total[1] - total[0])
            if summand[1] - summand[0] < least:
                low, high = min(summand[0], -least / 2), max(summand[1], least / 2)
                for alike in flatbuffer.tensors_with_the_range_of(flat, index):
                    quantization = graph.tensors[alike].quantization
                    quantization.min = np.asarray([low], np.float32)
                    quantization.max = np.asarray([high], np.float32)
                widened = True
    return flatbuffer.pack(flat) if widened else calibrated


def _range(tensor) -> tuple[float, float] | None:
    """Least and greatest value with 0 among them, as it will be quantized; None if unknown."""
    quantization = tensor.quantization
    if quantization is None or quantization.min is None or quantization.max is None:
        return None
    if len(quantization.min) != 1 or len(quantization.max) != 1:
        return None
    return min(float(quantization.min[0]), 0.0), max(float(quantization.max[0]), 0.0)
