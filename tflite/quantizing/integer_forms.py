"""Operators that have no int8 kernel, written with one that has; and which are left.

TensorFlow's quantizer leaves SQUARE and NEG, the parts of every layer, group and RMS normalization,
in float32 between a DEQUANTIZE and a QUANTIZE. As products, x·x and x·(−1), they are int8 like all
else, and −1 is a quantization step exactly: the same error, measured on each of these layers, and a
file that microcontrollers and the Edge TPU take.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer


def multiply_instead(calibrated: bytes) -> bytes:
    """A calibrated float file whose SQUARE and NEG are MUL."""
    flat = flatbuffer.unpack(calibrated)
    graph = flat.subgraphs[0]
    minus_one: int | None = None
    product: int | None = None
    for operator in graph.operators:
        name = flatbuffer.operator_name(flat, operator)
        if name not in ("SQUARE", "NEG"):
            continue
        (source,) = operator.inputs
        if name == "SQUARE":
            factor = source
        else:
            minus_one = _constant(flat, "minus_one", -1.0) if minus_one is None else minus_one
            factor = minus_one
        product = _multiplication(flat) if product is None else product
        operator.opcodeIndex = product
        operator.inputs = np.asarray([source, factor], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.MulOptions
        operator.builtinOptions = schema.MulOptionsT()
    return calibrated if product is None else flatbuffer.pack(flat)


def float_operators(quantized: bytes) -> list[str]:
    """Names of the operators that compute in float32 inside a quantized file, each once."""
    flat = flatbuffer.unpack(quantized)
    graph = flat.subgraphs[0]
    ends = {int(i) for i in (*graph.inputs, *graph.outputs)}
    left = {
        flatbuffer.operator_name(flat, operator)
        for operator in graph.operators
        for index in operator.outputs
        if int(index) not in ends and flatbuffer.type_name(graph.tensors[index]) == "float32"
    }
    return sorted(left - {"QUANTIZE", "DEQUANTIZE"})


def _constant(flat: schema.ModelT, name: str, value: float) -> int:
    """The index of a new float32 scalar."""
    data = np.frombuffer(np.float32(value).tobytes(), np.uint8)
    flat.buffers.append(schema.BufferT(data=data))
    tensors = flat.subgraphs[0].tensors
    tensors.append(
        schema.TensorT(
            shape=np.asarray([], np.int32),
            type=schema.TensorType.FLOAT32,
            buffer=len(flat.buffers) - 1,
            name=name,
        )
    )
    return len(tensors) - 1


def _multiplication(flat: schema.ModelT) -> int:
    """The index of a new operator code for MUL of float32 tensors."""
    code = schema.BuiltinOperator.MUL
    flat.operatorCodes.append(
        schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code, version=1)
    )
    return len(flat.operatorCodes) - 1
