"""The one place where a .tflite file is read into objects, changed and packed again.

The classes are the generated ones of `ai_edge_litert` (schema.fbs of LiteRT); nothing here needs
TensorFlow.
"""

import contextlib
import copy
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.output_kinds import Effect, kind_after, kind_of_output

FILE_IDENTIFIER = b"TFL3"

_BUILTIN_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_TYPE_NAMES = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")
}
# Operators whose output holds the same values as their input, so that both share one range.
_MOVES_VALUES = frozenset(
    {"PAD", "RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "SQUEEZE"}
    | {"EXPAND_DIMS", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "GATHER", "UNPACK", "MIRROR_PAD"}
)
# What makes probabilities of logits.
PROBABILITIES = frozenset({"SOFTMAX", "LOGISTIC"})
# What operators do to the kind of their inputs (`tflite.output_kinds`); all others are linear.
_PASSES_VALUES = frozenset({"RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE", "CAST", "TRANSPOSE"})
_EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        **dict.fromkeys(PROBABILITIES, Effect.PROBABILITIES),
        **dict.fromkeys(("ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "PRELU"), Effect.ACTIVATION),
        **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "TANH"), Effect.ACTIVATION),
        **dict.fromkeys(_PASSES_VALUES, Effect.KEEPS),
        **dict.fromkeys(("CONCATENATION", "MEAN", "AVERAGE_POOL_2D"), Effect.KEEPS),
        **dict.fromkeys(("MAX_POOL_2D", "MAXIMUM", "MINIMUM"), Effect.KEEPS),
        **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), Effect.KEEPS),
        **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "SUM"), Effect.ARITHMETIC),
    }
)


# What reading a damaged file can end in.
_DAMAGE = (struct.error, LookupError, AttributeError, TypeError, ArithmeticError, ValueError)


def read_bytes(source: str | os.PathLike | bytes) -> bytes:
    """The bytes of a .tflite file given by path or already in memory.

    Raises:
        TypeError: `source` is neither a path nor bytes.
        FileNotFoundError: there is no such file.
        ValueError: the bytes are not a .tflite file.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, name = bytes(source), "the given bytes"
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file; expected the path of a .tflite file.")
        data, name = path.read_bytes(), str(path)
    else:
        raise TypeError(f"expected a path or the bytes of a .tflite file, got {type(source)}.")
    if len(data) < 8 or data[4:8] != FILE_IDENTIFIER:
        raise ValueError(
            f"{name}: not a .tflite file (bytes 4 to 8 are {data[4:8]!r}, not {FILE_IDENTIFIER!r})."
        )
    return data


def unpack(data: bytes) -> schema.ModelT:
    """The file as a tree of objects; weights are views into `data`, not copies."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


@contextlib.contextmanager
def damage_explained(what: str = "the .tflite file") -> Iterator[None]:
    """Turns what reading a damaged file raises into one ValueError that says so."""
    try:
        yield
    except _DAMAGE as error:
        raise ValueError(
            f"{what} cannot be read ({type(error).__name__}: {error}); it is probably damaged or "
            "cut short: copy or convert it again."
        ) from error


class _AlignedBufferT(schema.BufferT):
    """A buffer that starts at a multiple of 16 bytes.

    schema.fbs says `force_align: 16`, which the generated Python code ignores; kernels that map
    the file into memory rely on it.
    """

    def __init__(self, buffer: schema.BufferT):
        super().__init__(buffer.data, buffer.offset, buffer.size)

    def Pack(self, builder: flatbuffers.Builder) -> int:
        vector = None
        if self.data is not None and len(self.data):
            content = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), 16)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def pack(model: schema.ModelT) -> bytes:
    """The bytes of a model: the same bytes for equal models."""
    size = sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers)
    original, model.buffers = model.buffers, [_AlignedBufferT(buffer) for buffer in model.buffers]
    try:
        builder = flatbuffers.Builder(size + (1 << 20))
        builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    finally:
        model.buffers = original
    return bytes(builder.Output())


def operator_name(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """Its name in schema.fbs, such as "CONV_2D"; a custom operator's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    # Codes up to 127 once had a field of their own, which old files still use.
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    if builtin == schema.BuiltinOperator.CUSTOM:
        return text(code.customCode)
    return _BUILTIN_NAMES.get(builtin, f"BUILTIN_{builtin}")


def type_name(tensor: schema.TensorT) -> str:
    """Such as "float32" or "int8"."""
    return _TYPE_NAMES[tensor.type]


def text(value: bytes | str | None) -> str:
    """A string of the file as `str`; the reader hands out bytes, the writer takes either."""
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def producers(graph: schema.SubGraphT) -> dict[int, schema.OperatorT]:
    """The operator that writes each tensor, by the tensor's index."""
    return {int(index): op for op in graph.operators for index in op.outputs}


def output_kind(model: schema.ModelT) -> str:
    """What the first output is by the operators that made it: see `tflite.output_kinds`."""
    graph = model.subgraphs[0]
    index = int(graph.outputs[0])
    kinds: dict[int, str | None] = {}
    for operator in graph.operators:
        name, inputs = operator_name(model, operator), [int(i) for i in operator.inputs]
        effect = _EFFECTS.get(name, Effect.LINEAR)
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        if fused != schema.ActivationFunctionType.NONE:
            effect = Effect.ACTIVATION
        if name in _PASSES_VALUES:
            inputs = inputs[:1]  # the others are a shape, an order
        kind = kind_after(effect, [kinds[i] for i in inputs if i in kinds])
        kinds.update(dict.fromkeys(map(int, operator.outputs), kind))
    shape = [int(size) for size in graph.tensors[index].shape]
    return kind_of_output(kinds.get(index), shape[-1] if shape else None)


def ends_in_probabilities(model: schema.ModelT) -> bool:
    """Whether the first output is a softmax's or a sigmoid's, moved or requantized since or not."""
    return output_kind(model) == "probabilities"


def tensors_with_the_range_of(model: schema.ModelT, tensor: int) -> list[int]:
    """`tensor` and all tensors that hold nothing but its values (and padding), by index."""
    found = {int(tensor)}
    for operator in model.subgraphs[0].operators:
        moved = operator_name(model, operator) in _MOVES_VALUES
        if moved and any(int(i) in found for i in operator.inputs):
            found.update(int(i) for i in operator.outputs)
    return sorted(found)


def requantize_input(model: schema.ModelT) -> None:
    """Puts a QUANTIZE between the input and its readers, which keep the input's old scale.

    A uint8 input has one already: the inside of an int8 file is int8.
    """
    graph = model.subgraphs[0]
    (index,) = (int(i) for i in graph.inputs)
    inner = copy.copy(graph.tensors[index])
    inner.name = f"{text(inner.name)}/requantized"
    graph.tensors.append(inner)
    for operator in graph.operators:
        readers = np.asarray(operator.inputs)
        operator.inputs = np.where(readers == index, len(graph.tensors) - 1, readers)
    quantize = schema.OperatorT(
        # Between two int8 tensors it is of version 2.
        opcodeIndex=operator_code(model, schema.BuiltinOperator.QUANTIZE, 2),
        inputs=np.asarray([index], np.int32),
        outputs=np.asarray([len(graph.tensors) - 1], np.int32),
    )
    graph.operators.insert(0, quantize)


def operator_code(model: schema.ModelT, builtin: int, version: int) -> int:
    """The index of a built-in operator among the file's codes, added if it is not there."""
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    if builtin in codes:
        return codes.index(builtin)
    made = schema.OperatorCodeT(builtinCode=builtin, deprecatedBuiltinCode=builtin, version=version)
    model.operatorCodes.append(made)
    return len(codes)


def metadata_entry(model: schema.ModelT, name: str) -> bytes | None:
    """The content of one named metadata buffer of the file."""
    for entry in model.metadata or []:
        if text(entry.name) == name:
            data = model.buffers[entry.buffer].data
            return None if data is None else np.asarray(data, np.uint8).tobytes()
    return None


def set_metadata_entries(model: schema.ModelT, entries: Mapping[str, bytes]) -> None:
    """Adds named metadata buffers, replacing those of the same name."""
    kept = [entry for entry in model.metadata or [] if text(entry.name) not in entries]
    for name, content in entries.items():
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        model.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(model.buffers) - 1
        kept.append(entry)
    model.metadata = kept
