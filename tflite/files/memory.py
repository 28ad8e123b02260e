"""How much memory a file makes LiteRT allocate, reckoned before LiteRT is asked to.

LiteRT does not believe the shapes that a file gives its activations: it computes them anew from
the inputs' shapes and the operators' options. So does this, for the operators that can make
something large out of something small.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files.flatbuffer import operator_name, type_name

# Activations of a network for 1920×1080 images with 64 channels, in float32, take half of it.
MAX_BYTES = 1 << 31

BITS = {
    "float32": 32,
    "float16": 16,
    "bfloat16": 16,
    "float64": 64,
    "float8_e4m3fn": 8,
    "float8_e5m2": 8,
    "int2": 2,
    "int4": 4,
    "uint4": 4,
    "int8": 8,
    "uint8": 8,
    "int16": 16,
    "uint16": 16,
    "int32": 32,
    "uint32": 32,
    "int64": 64,
    "uint64": 64,
    "bool": 8,
    "complex64": 64,
    "complex128": 128,
}
# What stands for a string, a resource or a variant in the arena.
_HANDLE_BITS = 64

_BROADCAST = frozenset(
    {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "POW", "PRELU"}
    | {"FLOOR_DIV", "FLOOR_MOD", "EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER"}
    | {"GREATER_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "SELECT", "SELECT_V2"}
)

Shape = tuple[int, ...]


class Memory(NamedTuple):
    """Bytes of activations: the most that is alive at once, and all together."""

    peak: int
    total: int


def has_data(model: schema.ModelT, tensor: schema.TensorT) -> bool:
    """Whether the file, or another one beside it, holds the tensor's values."""
    buffer = model.buffers[tensor.buffer]
    inside = buffer.data is not None and len(buffer.data) > 0
    return inside or buffer.offset > 1 or tensor.externalBuffer > 0


def expected_memory(model: schema.ModelT) -> Memory:
    """Of a file whose indices, ranks and constants are right (`validation.check`)."""
    parts = [_graph_memory(model, graph) for graph in model.subgraphs]
    return Memory(sum(part.peak for part in parts), sum(part.total for part in parts))


def _graph_memory(model: schema.ModelT, graph: schema.SubGraphT) -> Memory:
    tensors, operators = as_list(graph.tensors), as_list(graph.operators)
    constants = [has_data(model, tensor) for tensor in tensors]
    shapes = [_sizes(tensor.shape) for tensor in tensors]
    # One step before the operators, for the inputs, and one behind them, for the outputs. LiteRT
    # keeps both to the end.
    change = np.zeros(len(operators) + 3, np.float64)
    first = dict.fromkeys(map(int, as_list(graph.inputs)), 0)
    ends = map(int, (*as_list(graph.inputs), *as_list(graph.outputs)))
    last = dict.fromkeys(ends, len(operators) + 1)
    for step, operator in enumerate(operators, 1):
        scratch = 0
        inputs, outputs = as_list(operator.inputs), as_list(operator.outputs)
        if len(outputs) == 1:
            found = _computed_shape(model, tensors, operator, shapes)
            shapes[outputs[0]] = shapes[outputs[0]] if found is None else found
            scratch = _scratch(model, tensors, operator, shapes)
        change[step] += scratch
        change[step + 1] -= scratch
        for index in (*inputs, *outputs):
            first.setdefault(index, step)
            last[index] = max(last.get(index, 0), step)
    total = 0
    for index, start in first.items():
        if index < 0 or constants[index]:
            continue
        size = _bytes(tensors[index], shapes[index])
        total += size
        change[start] += size
        change[last.get(index, start) + 1] -= size
    return Memory(int(change.cumsum().max()), total)


def _bytes(tensor: schema.TensorT, shape: Shape) -> int:
    return math.prod(shape) * BITS.get(type_name(tensor), _HANDLE_BITS) // 8


def _scratch(model: Any, tensors: Any, operator: schema.OperatorT, shapes: list[Shape]) -> int:
    """What the built-in kernel of a quantized convolution unfolds its input into."""
    if operator_name(model, operator) != "CONV_2D":
        return 0
    values, weights = operator.inputs[0], operator.inputs[1]
    kernel = shapes[weights]
    if type_name(tensors[values]) == "float32" or math.prod(kernel[1:3]) == 1:
        return 0
    positions = math.prod(shapes[operator.outputs[0]][:3])
    return _bytes(tensors[values], (positions, *kernel[1:]))


def _computed_shape(
    model: schema.ModelT,
    tensors: Sequence[schema.TensorT],
    operator: schema.OperatorT,
    shapes: list[Shape],
) -> Shape | None:
    """The output's shape; None where the file's own is as good as any."""
    name, options = operator_name(model, operator), operator.builtinOptions
    inputs = [index for index in as_list(operator.inputs) if index >= 0]
    if not inputs:
        return None
    first = shapes[inputs[0]]
    if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        kernel = shapes[inputs[1]]
        depth = kernel[0] if name == "CONV_2D" else kernel[3]
        return _slid(first, kernel[1:3], options, depth)
    if name in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
        window = (getattr(options, "filterHeight", 1), getattr(options, "filterWidth", 1))
        return _slid(first, window, options, first[-1])
    if name in _BROADCAST:
        return _broadcast([shapes[index] for index in inputs])
    if name == "CONCATENATION":
        return _concatenated([shapes[index] for index in inputs], getattr(options, "axis", 0))
    if name in ("TRANSPOSE_CONV", "FILL"):
        wanted = _integers(model, tensors[inputs[0]])
        return None if wanted is None else _sizes(wanted)
    if len(inputs) > 1 and name in _SIZED_BY_CONSTANT:
        constant = _integers(model, tensors[inputs[1]])
        return None if constant is None else _SIZED_BY_CONSTANT[name](first, constant)
    declared = _sizes(tensors[operator.outputs[0]].shape)
    return first if declared == _sizes(tensors[inputs[0]].shape) else None


def _slid(values: Shape, window: Sequence[int], options: Any, depth: int) -> Shape | None:
    if len(values) != 4:
        return None
    steps = (getattr(options, "strideH", 1), getattr(options, "strideW", 1))
    rates = (getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1))
    same = getattr(options, "padding", schema.Padding.SAME) == schema.Padding.SAME
    places = (
        -(-n // step) if same else max(0, -(-(n - (k - 1) * rate) // step))
        for n, k, step, rate in zip(values[1:3], window, steps, rates, strict=True)
    )
    return (values[0], *places, depth)


def _broadcast(shapes: list[Shape]) -> Shape:
    rank = max(map(len, shapes))
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(0 if 0 in sizes else max(sizes) for sizes in zip(*aligned, strict=True))


def _concatenated(shapes: list[Shape], axis: int) -> Shape | None:
    rank = len(shapes[0])
    if any(len(shape) != rank for shape in shapes) or not -rank <= axis < rank:
        return None
    whole = list(shapes[0])
    whole[axis] = sum(shape[axis] for shape in shapes)
    return tuple(whole)


def _padded(values: Shape, amounts: np.ndarray) -> Shape | None:
    if amounts.size != 2 * len(values):
        return None
    around = amounts.reshape(-1, 2).sum(axis=1).tolist()
    return _sizes([n + more for n, more in zip(values, around, strict=True)])


def _tiled(values: Shape, times: np.ndarray) -> Shape | None:
    if times.size != len(values):
        return None
    return _sizes([n * many for n, many in zip(values, times.tolist(), strict=True)])


def _resized(values: Shape, size: np.ndarray) -> Shape | None:
    return (values[0], *_sizes(size), values[-1]) if size.size == 2 and len(values) == 4 else None


_SIZED_BY_CONSTANT = {
    "PAD": _padded,
    "PADV2": _padded,
    "MIRROR_PAD": _padded,
    "TILE": _tiled,
    "BROADCAST_TO": lambda values, shape: _sizes(shape),
    "RESIZE_BILINEAR": _resized,
    "RESIZE_NEAREST_NEIGHBOR": _resized,
}


def _integers(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray | None:
    data = model.buffers[tensor.buffer].data
    kind = {"int32": "<i4", "int64": "<i8"}.get(type_name(tensor))
    if data is None or not len(data) or kind is None:
        return None
    return np.asarray(data, np.uint8).view(kind)


def _sizes(shape: Any) -> Shape:
    """A shape with run-time sizes taken as 1, which is what an interpreter starts with."""
    return tuple(1 if size < 0 else size for size in as_list(shape))


def as_list(vector: Any) -> list:
    """A vector of the file, which the reader gives as an array, a list or None."""
    if isinstance(vector, np.ndarray):
        return vector.tolist()
    return [] if vector is None else list(vector)
