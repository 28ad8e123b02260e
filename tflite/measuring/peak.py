"""The fastest that LiteRT multiplies here: one large matrix product, in float32 and in int8.

Not what the processor's data sheet promises, but what the same kernels reach where nothing but
arithmetic is to do; the share of it that a network reaches tells how much it waits for memory.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files.flatbuffer import pack

# float32: 1.5 MiB of operands, which stay in the second-level cache of most processors.
_ROWS, _INNER, _COLUMNS = 256, 512, 512

MACS = _ROWS * _INNER * _COLUMNS

_TYPES = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8}


def matrix_product(kind: str) -> bytes:
    """A .tflite file that is one FULLY_CONNECTED of `MACS` multiply–accumulates.

    Args:
        kind: "float32" or "int8".
    """
    dtype = np.dtype(kind)
    values = np.random.default_rng(0).integers(-100, 100, (_COLUMNS, _INNER)).astype(dtype)
    weights = np.frombuffer(values.tobytes(), np.uint8)
    graph = schema.SubGraphT(
        tensors=[
            _tensor("input", (_ROWS, _INNER), kind, 0),
            _tensor("weights", (_COLUMNS, _INNER), kind, 1),
            _tensor("output", (_ROWS, _COLUMNS), kind, 0),
        ],
        operators=[
            schema.OperatorT(
                opcodeIndex=0,
                inputs=[0, 1, -1],
                outputs=[2],
                builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
                builtinOptions=schema.FullyConnectedOptionsT(),
            )
        ],
        inputs=[0],
        outputs=[2],
    )
    code = schema.BuiltinOperator.FULLY_CONNECTED
    codes = [schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=4)]
    return pack(
        schema.ModelT(
            version=3,
            operatorCodes=codes,
            subgraphs=[graph],
            buffers=[schema.BufferT(), schema.BufferT(data=weights)],
        )
    )


def _tensor(name: str, shape: tuple[int, int], kind: str, buffer: int) -> schema.TensorT:
    tensor = schema.TensorT(name=name, shape=list(shape), type=_TYPES[kind], buffer=buffer)
    tensor.quantization = schema.QuantizationParametersT()
    if kind == "int8":
        # An output's scale that 512 products of such numbers do not overflow.
        scale = 2.0 if name == "output" else 0.01
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
    return tensor
