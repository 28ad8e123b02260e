"""Operators that have no int8 kernel, written with one that has; and which are left.

TensorFlow's quantizer leaves SQUARE and NEG, the parts of every layer, group and RMS normalization,
in float32 between a DEQUANTIZE and a QUANTIZE. As products, x·x and x·(−1), they are int8 like all
else, and −1 is a quantization step exactly: the same error, measured on each of these layers, and a
file that microcontrollers and the Edge TPU take. A transposed convolution's fused ReLU, newer than
the Edge TPU's compiler, is left to int8's own limits.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer

# TRANSPOSE_CONV's with a fused activation; with a bias alone it is one less.
_FUSED_VERSION = 4


def multiply_instead(calibrated: bytes) -> bytes:
    """A calibrated float file whose SQUARE and NEG are MUL."""
    flat = flatbuffer.unpack(calibrated)
    graph = flat.subgraphs[0]
    minus_one: int | None = None
    found = [
        (name, operator)
        for operator in graph.operators
        if (name := flatbuffer.operator_name(flat, operator)) in ("SQUARE", "NEG")
    ]
    if not found:
        return calibrated
    product = flatbuffer.operator_code(flat, schema.BuiltinOperator.MUL, 1)
    for name, operator in found:
        (source,) = operator.inputs
        factor = source
        if name == "NEG":
            factor = minus_one = minus_one or _constant(flat, "minus_one", -1.0)
        operator.opcodeIndex = product
        operator.inputs = np.asarray([source, factor], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.MulOptions
        operator.builtinOptions = schema.MulOptionsT()
    return flatbuffer.pack(flat)


def saturate_instead(quantized: bytes) -> bytes:
    """An int8 file whose transposed convolutions leave their ReLU to the limits of int8.

    A fused activation makes TRANSPOSE_CONV version 4 (TensorFlow 2.13), which the Edge TPU's
    compiler cannot read, nor can older runtimes. Where 0 is the least int8 value of the output, and
    the greatest is not beyond ReLU6's 6, numbers saturate there just so.
    """
    flat = flatbuffer.unpack(quantized)
    graph = flat.subgraphs[0]
    fused: dict[int, list[schema.OperatorT]] = {}
    for operator in graph.operators:
        if flatbuffer.operator_name(flat, operator) == "TRANSPOSE_CONV":
            fused.setdefault(operator.opcodeIndex, []).append(operator)
    changed = False
    for code, operators in fused.items():
        if flat.operatorCodes[code].version != _FUSED_VERSION:
            continue
        if all(_saturates(graph.tensors[one.outputs[0]], one) for one in operators):
            flat.operatorCodes[code].version = _FUSED_VERSION - 1
            for one in operators:
                one.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
            changed = True
    return flatbuffer.pack(flat) if changed else quantized


def _saturates(output: schema.TensorT, operator: schema.OperatorT) -> bool:
    """Whether int8 alone clips the output as the operator's activation does."""
    activation = operator.builtinOptions.fusedActivationFunction
    if activation == schema.ActivationFunctionType.NONE:
        return True
    if flatbuffer.type_name(output) != "int8" or output.quantization.zeroPoint[0] != -128:
        return False
    reach = 255 * float(output.quantization.scale[0])
    return activation == schema.ActivationFunctionType.RELU or (
        activation == schema.ActivationFunctionType.RELU6 and reach < 6 * (1 + 1e-5)
    )


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
