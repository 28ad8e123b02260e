"""A .tflite file read into plain records: what `inspect` and `check_edgetpu` look at.

Only the flatbuffer classes are needed (ai_edge_litert's, 0.2 s to import, no TensorFlow): nothing
is executed. The format is TensorFlow's `lite/schema/schema.fbs`.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files.flatbuffer import operator_name, text, type_name
from tflite.files.packed import packed_files
from tflite.files.reading import File, open_file

# Types whose values numpy can show; the others (int4, string …) are only measured.
NUMPY_TYPES: Mapping[str, type] = {
    "float32": np.float32,
    "float16": np.float16,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "bool": np.bool_,
}


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file.

    Attributes:
        type: the schema's name in lower case, "int8", "float32" …
        shape: −1 where the size is only known at run time.
        scale, zero_point: one value a tensor, one a channel, or none; the real value is
            scale · (stored − zero_point).
        channel_axis: the axis that per-channel scales run along, None for one scale.
        data: a constant's bytes; None for an activation.
    """

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    channel_axis: int | None
    is_variable: bool
    buffer: int
    data: np.ndarray | None = field(repr=False, compare=False)

    @property
    def is_constant(self) -> bool:
        """Whether its values stand in the file."""
        return self.data is not None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape with run-time sizes taken as 1, which is what an interpreter starts with."""
        return tuple(1 if size < 0 else size for size in self.shape)

    @property
    def elements(self) -> int:
        """How many numbers it has, run-time sizes taken as 1."""
        return math.prod(self.sizes)

    def values(self) -> np.ndarray:
        """A constant's stored values (not dequantized), in its shape."""
        if self.data is None:
            raise ValueError(f"Tensor {self.index} ({self.name}) is not a constant.")
        return self.data.view(NUMPY_TYPES[self.type]).reshape(self.sizes)


@dataclass(frozen=True)
class Operation:
    """One operator of the main subgraph, in execution order; absent optional inputs are None."""

    index: int
    name: str
    version: int
    builtin_code: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any = field(repr=False, compare=False)

    @property
    def constants(self) -> tuple[Tensor, ...]:
        """The inputs whose values stand in the file: weights, biases, shapes."""
        return tuple(tensor for tensor in self.inputs if tensor is not None and tensor.is_constant)

    @property
    def activations(self) -> tuple[Tensor, ...]:
        """What the operator reads and writes at run time."""
        read = (t for t in self.inputs if t is not None and not t.is_constant)
        return (*read, *self.outputs)

    @cached_property
    def macs(self) -> int:
        """Multiply–accumulates for one run, batch included; 0 for operators that have none.

        Weight layouts (schema.fbs): CONV_2D [out, kh, kw, in / groups], DEPTHWISE_CONV_2D
        [1, kh, kw, out], FULLY_CONNECTED [out, in], TRANSPOSE_CONV [out, kh, kw, in].
        """
        if self.name == "TRANSPOSE_CONV":
            _, weights, values = self.inputs[:3]
            return values.elements // values.sizes[-1] * weights.elements
        if self.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            return 0
        weights, output = self.inputs[1], self.outputs[0]
        if self.name == "DEPTHWISE_CONV_2D":
            return output.elements * math.prod(weights.sizes[1:3])
        return output.elements * math.prod(weights.sizes[1:])


@dataclass(frozen=True)
class Signature:
    """A named entry of the file: argument and result names → tensor indices."""

    key: str
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True)
class Graph:
    """A whole file; `operations`, `inputs` and `outputs` are those of its main subgraph."""

    tensors: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    signatures: tuple[Signature, ...]
    metadata: tuple[str, ...]
    packed_files: tuple[str, ...]
    subgraphs: int
    size: int

    @cached_property
    def folded(self) -> Mapping[int, int]:
        """Tensor → the operator that makes it out of constants alone (index → index).

        float16 files have a DEQUANTIZE of this kind before every weight; XNNPACK computes it
        once, when the file is loaded.
        """
        return {
            tensor.index: operation.index
            for operation in self.operations
            if operation.inputs and len(operation.constants) == len(operation.inputs)
            for tensor in operation.outputs
        }

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all constants, biases and shapes included; shared buffers count once."""
        return sum({t.buffer: t.data.nbytes for t in self.tensors if t.is_constant}.values())

    @cached_property
    def macs(self) -> int:
        """Multiply–accumulates of all operators for one run, batch included."""
        return sum(operation.macs for operation in self.operations)

    @cached_property
    def numbers(self) -> str:
        """What the operator with the most multiply–accumulates computes in.

        "float32", "int8", "int16", …: its activations' type; "dynamic" where its weights are int8
        and its activations float32.
        """
        if not self.operations:
            return "float32"
        largest = max(self.operations, key=lambda operation: operation.macs)
        inputs = [tensor for tensor in largest.inputs if tensor is not None]
        kinds = [tensor.type for tensor in inputs if not tensor.is_constant]
        kind = kinds[0] if kinds else "float32"
        whole = any(t.type == "int8" and t.is_constant for t in inputs)
        return "dynamic" if kind == "float32" and whole else kind


def human_bytes(count: int) -> str:
    """A size in words, with the binary units that the Edge TPU compiler prints too."""
    if count < 1024:
        return f"{count} B"
    if count < 1024**2:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024**2:.2f} MiB"


def read_graph(source: str | os.PathLike | bytes | File) -> Graph:
    """Reads a .tflite file given as a path, as bytes or opened already.

    Raises:
        TypeError, FileNotFoundError, ValueError: as `open_file`.
    """
    file = open_file(source)
    return _graph(file.model, file.data)


def _graph(model: schema.ModelT, content: bytes) -> Graph:
    main = model.subgraphs[0]
    tensors = tuple(_tensor(i, tensor, model.buffers) for i, tensor in enumerate(main.tensors))
    return Graph(
        tensors=tensors,
        operations=tuple(
            _operation(i, operator, model, tensors)
            for i, operator in enumerate(_list(main.operators))
        ),
        inputs=tuple(tensors[i] for i in _list(main.inputs)),
        outputs=tuple(tensors[i] for i in _list(main.outputs)),
        signatures=tuple(_signature(signature) for signature in _list(model.signatureDefs)),
        metadata=tuple(text(entry.name) for entry in _list(model.metadata)),
        packed_files=packed_files(content),
        subgraphs=len(model.subgraphs),
        size=len(content),
    )


def _tensor(index: int, tensor: schema.TensorT, buffers: list[schema.BufferT]) -> Tensor:
    quantization = tensor.quantization
    scale = tuple(float(s) for s in _list(quantization and quantization.scale))
    data = buffers[tensor.buffer].data
    shape = _list(tensor.shapeSignature) or _list(tensor.shape)
    return Tensor(
        index=index,
        name=text(tensor.name),
        type=type_name(tensor),
        shape=tuple(int(size) for size in shape),
        scale=scale,
        zero_point=tuple(int(z) for z in _list(quantization and quantization.zeroPoint)),
        channel_axis=int(quantization.quantizedDimension) if len(scale) > 1 else None,
        is_variable=bool(tensor.isVariable),
        buffer=int(tensor.buffer),
        data=None if data is None or not len(data) else np.asarray(data, np.uint8),
    )


def _operation(
    index: int, operator: schema.OperatorT, model: schema.ModelT, tensors: tuple[Tensor, ...]
) -> Operation:
    code = model.operatorCodes[operator.opcodeIndex]
    return Operation(
        index=index,
        name=operator_name(model, operator),
        version=int(code.version),
        builtin_code=max(int(code.builtinCode), int(code.deprecatedBuiltinCode)),
        inputs=tuple(tensors[i] if i >= 0 else None for i in _list(operator.inputs)),
        outputs=tuple(tensors[i] for i in _list(operator.outputs)),
        options=operator.builtinOptions,
    )


def _signature(signature: schema.SignatureDefT) -> Signature:
    return Signature(
        key=text(signature.signatureKey),
        inputs={text(t.name): int(t.tensorIndex) for t in _list(signature.inputs)},
        outputs={text(t.name): int(t.tensorIndex) for t in _list(signature.outputs)},
    )


def _list(vector: Any) -> list:
    return [] if vector is None else list(vector)
