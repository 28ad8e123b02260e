"""What a .tflite file says of its operators' options, in Keras's words: by operator's name.

Everything is JSON-able, for it goes into the configuration of a layer.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.quantizing.execution import constant, shape_of

Options = Mapping[str, Any]

# By their numbers in schema.fbs.
_ACTIVATIONS = {0: None, 1: "relu", 2: "relu1", 3: "relu6", 4: "tanh"}
_PADDINGS = {0: "same", 1: "valid"}


def _activation(operator: schema.OperatorT) -> str | None:
    return _ACTIVATIONS[operator.builtinOptions.fusedActivationFunction]


def _integers(flat: schema.ModelT, operator: schema.OperatorT, place: int) -> list[int]:
    tensor = flat.subgraphs[0].tensors[operator.inputs[place]]
    return [int(i) for i in np.reshape(constant(flat, tensor), -1)]


def _sliding(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    options = operator.builtinOptions
    return {
        "strides": [int(options.strideH), int(options.strideW)],
        "padding": _PADDINGS[options.padding],
        "dilation": [int(options.dilationHFactor), int(options.dilationWFactor)],
        "activation": _activation(operator),
    }


def _pooling(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    options = operator.builtinOptions
    return {
        "window": [int(options.filterHeight), int(options.filterWidth)],
        "strides": [int(options.strideH), int(options.strideW)],
        "padding": _PADDINGS[options.padding],
        "activation": _activation(operator),
    }


def _of_two(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    return {"activation": _activation(operator)}


def _dense(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    keeps = bool(operator.builtinOptions.keepNumDims)
    return {"keeps_dimensions": keeps, "activation": _activation(operator)}


def _reducing(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    axes = _integers(flat, operator, 1)
    return {"axes": axes, "keepdims": bool(operator.builtinOptions.keepDims)}


def _shape(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    return {"shape": list(shape_of(flat.subgraphs[0].tensors[operator.outputs[0]]))}


def _resizing(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    options = operator.builtinOptions
    return {
        "size": _integers(flat, operator, 1),
        "align_corners": bool(options.alignCorners),
        "half_pixel_centers": bool(options.halfPixelCenters),
    }


def _slice(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    begin, size = _integers(flat, operator, 1), _integers(flat, operator, 2)
    ends = [None if n == -1 else b + n for b, n in zip(begin, size, strict=True)]
    return {
        "bounds": [
            [None, None, None],
            *([b, e, 1] for b, e in zip(begin[1:], ends[1:], strict=True)),
        ]
    }


def _strided_slice(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    options = operator.builtinOptions
    if options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask:
        raise ValueError("training aware of quantization knows no STRIDED_SLICE that drops axes.")
    parts = zip(*(_integers(flat, operator, place) for place in (1, 2, 3)), strict=True)
    bounds = [
        [
            None if options.beginMask >> axis & 1 else begin,
            None if options.endMask >> axis & 1 else end,
            step,
        ]
        for axis, (begin, end, step) in enumerate(parts)
    ]
    return {"bounds": [[None, None, None], *bounds[1:]]}


def _padding(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    widths = _integers(flat, operator, 1)
    return {"widths": [widths[i : i + 2] for i in range(0, len(widths), 2)]}


def _joining(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    return {"axis": int(operator.builtinOptions.axis), "activation": _activation(operator)}


def _splitting(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    (axis,) = _integers(flat, operator, 0)
    return {"count": int(operator.builtinOptions.numSplits), "axis": axis}


def _axes(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    return {"axes": _integers(flat, operator, 1)}


def _slope(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    return {"slope": float(operator.builtinOptions.alpha)}


def _requantizing(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    """From int8 to int8, XNNPACK multiplies by a whole number of 256ths (its `qs8-vcvt`)."""
    tensors = [flat.subgraphs[0].tensors[int(i)] for i in (operator.inputs[0], operator.outputs[0])]
    if any(flatbuffer.type_name(tensor) != "int8" for tensor in tensors):
        return {}
    scale, into = (float(tensor.quantization.scale[0]) for tensor in tensors)
    return {"scale": scale, "into": into, "multiplier": round(256 * scale / into) / 256}


def _none(flat: schema.ModelT, operator: schema.OperatorT) -> Options:
    return {}


# The operators that can be trained.
OPTIONS: Mapping[str, Callable[[schema.ModelT, schema.OperatorT], Options]] = MappingProxyType(
    {
        "ADD": _of_two,
        "AVERAGE_POOL_2D": _pooling,
        "CONCATENATION": _joining,
        "CONV_2D": _sliding,
        "DEPTHWISE_CONV_2D": _sliding,
        "DEQUANTIZE": _none,
        "FULLY_CONNECTED": _dense,
        "HARD_SWISH": _none,
        "LEAKY_RELU": _slope,
        "LOGISTIC": _none,
        "MAXIMUM": _none,
        "MAX_POOL_2D": _pooling,
        "MEAN": _reducing,
        "MINIMUM": _none,
        "MUL": _of_two,
        "PAD": _padding,
        "PRELU": _none,
        "QUANTIZE": _requantizing,
        "RELU": _none,
        "RELU6": _none,
        "RESHAPE": _shape,
        "RESIZE_BILINEAR": _resizing,
        "RESIZE_NEAREST_NEIGHBOR": _resizing,
        "SLICE": _slice,
        "SOFTMAX": _none,
        "SPLIT": _splitting,
        "SQUEEZE": _shape,
        "STRIDED_SLICE": _strided_slice,
        "SUB": _of_two,
        "SUM": _reducing,
        "TANH": _none,
        "TRANSPOSE": _axes,
    }
)
