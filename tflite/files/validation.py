"""Whether a .tflite file is what it says, asked once and before anything follows its numbers.

A file is data of strangers: cut short, damaged on a disk, or made to harm. LiteRT trusts it (a
scale of 0 or a convolution without weights ends the whole process), and so does whoever walks from
an operator to the one before it. What is checked here is what would be dangerous or make no sense;
a file that is merely unusual (custom operators, several subgraphs, sparse, string and resource
tensors, external buffers, dynamic sizes) passes.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files.flatbuffer import operator_name, text, type_name
from tflite.files.memory import BITS, MAX_BYTES, as_list, expected_memory, has_data

_ADVICE = "the file is damaged or was edited: convert it again or get another copy"
# More than any kernel takes; a shape is also an array's, and NumPy allows 64.
_MAX_RANK = 32
_ZERO_POINTS = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int4": (-8, 7),
    "uint4": (0, 15),
}
_BIASES = ("int32", "int64")

# Inputs that an operator cannot be without, and the ranks of the first of them (None: any). Only
# operators that LiteRT or this package reads by position; the others need what they need.
_4D = (4,)
_OPERANDS: Mapping[str, tuple[int, tuple[int | None, ...]]] = {
    "CONV_2D": (2, (4, 4)),
    "DEPTHWISE_CONV_2D": (3, (4, 4)),
    "TRANSPOSE_CONV": (3, (None, 4, 4)),
    "CONV_3D": (2, (5, 5)),
    "CONV_3D_TRANSPOSE": (3, (None, 5, 5)),
    "FULLY_CONNECTED": (2, (None, 2)),
    "AVERAGE_POOL_2D": (1, _4D),
    "MAX_POOL_2D": (1, _4D),
    "L2_POOL_2D": (1, _4D),
    "RESIZE_BILINEAR": (2, _4D),
    "RESIZE_NEAREST_NEIGHBOR": (2, _4D),
    "DEPTH_TO_SPACE": (1, _4D),
    "SPACE_TO_DEPTH": (1, _4D),
    "PRELU": (2, ()),
    "SPLIT": (2, ()),
    "SPLIT_V": (3, ()),
    "SLICE": (3, ()),
    "STRIDED_SLICE": (4, ()),
    "SELECT": (3, ()),
    "SELECT_V2": (3, ()),
    "GATHER": (2, ()),
    "GATHER_ND": (2, ()),
    "BATCH_MATMUL": (2, ()),
    "TRANSPOSE": (2, ()),
    "PAD": (2, ()),
    "PADV2": (3, ()),
    "MIRROR_PAD": (2, ()),
    "TILE": (2, ()),
    "EXPAND_DIMS": (2, ()),
    "BROADCAST_TO": (2, ()),
    "REVERSE_V2": (2, ()),
    "TOPK_V2": (2, ()),
    "ONE_HOT": (4, ()),
    "RANGE": (3, ()),
    "FILL": (2, ()),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), (2, ())),
    **dict.fromkeys(("REDUCE_ANY", "REDUCE_ALL", "ARG_MAX", "ARG_MIN"), (2, ())),
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"), (1, ())),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE", "CAST", "SOFTMAX"), (1, ())),
    **dict.fromkeys(("LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "ABS"), (1, ())),
    **dict.fromkeys(("HARD_SWISH", "LEAKY_RELU", "ELU", "GELU", "LOG_SOFTMAX"), (1, ())),
    **dict.fromkeys(("CONCATENATION", "PACK", "UNPACK", "L2_NORMALIZATION"), (1, ())),
}
# Where −1 stands for "absent" (the kernels' GetOptionalInputTensor); every operator else needs all
# of its inputs. Custom operators and composites decide for themselves.
_LSTM = {1, 5, 9, 10, 11, 12, 16, 17, *range(20, 24)}
_MAY_BE_ABSENT: Mapping[str, set[int]] = {
    "CONV_2D": {2},
    "DEPTHWISE_CONV_2D": {2},
    "FULLY_CONNECTED": {2},
    "TRANSPOSE_CONV": {3},
    "CONV_3D": {2},
    "CONV_3D_TRANSPOSE": {3},
    "SVDF": {3},
    "LSTM": _LSTM,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _LSTM,
    "BIDIRECTIONAL_SEQUENCE_LSTM": set(range(1, 48)),
    "BIDIRECTIONAL_SEQUENCE_RNN": {9, 10, 11},
    "STABLEHLO_COMPOSITE": set(range(1 << 10)),
}
_HAS_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "CONV_3D")
# Operators whose kernels divide by the scales of their 8-bit inputs and outputs.
_COMPUTES = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "ADD"}
    | {"SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH"}
    | {"HARD_SWISH", "LEAKY_RELU", "PRELU", "RELU", "RELU6", "RELU_N1_TO_1", "ELU", "GELU"}
    | {"MEAN", "SUM", "REDUCE_PROD", "L2_NORMALIZATION", "AVERAGE_POOL_2D", "CONCATENATION"}
    | {"EXP", "RSQRT", "SQUARE", "ABS", "QUANTIZE", "DEQUANTIZE"}
)
_POSITIVE_OPTIONS = (
    *("strideW", "strideH", "strideD", "filterWidth", "filterHeight"),
    *("dilationWFactor", "dilationHFactor", "dilationDFactor"),
)


def check(model: schema.ModelT, size: int, name: str) -> None:
    """Raises unless a file can be read and run without harm; milliseconds, no copies.

    Args:
        model: the file as `flatbuffer.unpack` gives it.
        size: of the file in bytes: external buffers must lie in it.
        name: of the file, for the message.

    Raises:
        ValueError: one line with the first thing that is wrong, where, and what to do.
    """
    for problem in _problems(model, size):
        raise ValueError(f"{name}: {problem}; {_ADVICE}.")


def _problems(model: schema.ModelT, size: int) -> Iterator[str]:
    # In this order, since each part relies on those before it.
    yield from _table_problems(model, size)
    for number, graph in enumerate(model.subgraphs):
        where = f" of subgraph {number}" if number else ""
        for problem in _graph_problems(model, graph):
            yield f"{problem[0]}{where}{problem[1]}"
    yield from _call_problems(model)
    yield from _memory_problems(model)


def _table_problems(model: schema.ModelT, size: int) -> Iterator[str]:
    if not model.subgraphs:
        yield "it holds no subgraph"
    if not model.buffers:
        yield "it holds no buffers"
    for index, buffer in enumerate(model.buffers):
        if buffer.offset > 1 and buffer.offset + buffer.size > size:
            yield (
                f"buffer {index} lies at bytes {buffer.offset} to {buffer.offset + buffer.size}, "
                f"but the file has {size}"
            )
    for entry in as_list(model.metadata):
        if entry.buffer >= len(model.buffers):
            yield (
                f"the metadata entry {text(entry.name)!r} is in buffer {entry.buffer}, but there "
                f"are {len(model.buffers)}"
            )
    for signature in as_list(model.signatureDefs):
        what = f"the signature {text(signature.signatureKey)!r}"
        if signature.subgraphIndex >= len(model.subgraphs):
            yield f"{what} is of subgraph {signature.subgraphIndex}, which is not there"
        count = len(as_list(model.subgraphs[signature.subgraphIndex].tensors))
        for entry in (*as_list(signature.inputs), *as_list(signature.outputs)):
            if entry.tensorIndex >= count:
                yield (
                    f"{what} calls tensor {entry.tensorIndex} {text(entry.name)!r}, but there are "
                    f"{count} tensors"
                )


_Problem = tuple[str, str]


def _graph_problems(model: schema.ModelT, graph: schema.SubGraphT) -> Iterator[_Problem]:
    """(what, problem) pairs, so that the subgraph can be named between them."""
    tensors, operators = as_list(graph.tensors), as_list(graph.operators)
    for index, tensor in enumerate(tensors):
        for problem in _tensor_problems(model, tensor, len(tensors)):
            yield f"tensor {index} ({_short(tensor)})", f" {problem}"
    for role, ends in (("input", graph.inputs), ("output", graph.outputs)):
        for end in as_list(ends):
            if not 0 <= end < len(tensors):
                yield f"an {role}", f" is tensor {end}, but there are {len(tensors)} tensors"
    for index, operator in enumerate(operators):
        if operator.opcodeIndex >= len(as_list(model.operatorCodes)):
            yield (
                f"operator {index}",
                f" is of kind {operator.opcodeIndex}, but the file names "
                f"{len(as_list(model.operatorCodes))}",
            )
        name = operator_name(model, operator)
        for problem in _operator_problems(name, operator, tensors):
            yield f"operator {index} ({name})", f" {problem}"
    yield from _order_problems(model, graph, tensors, operators)


# --- Tensors. ----------------------------------------------------------------------------------


def _tensor_problems(model: schema.ModelT, tensor: schema.TensorT, tensors: int) -> Iterator[str]:
    try:
        kind = type_name(tensor)
    except KeyError:
        yield f"is of the unknown type {tensor.type}"
    if tensor.buffer >= len(model.buffers):
        yield f"is in buffer {tensor.buffer}, but there are {len(model.buffers)}"
    shape = as_list(tensor.shape)
    if len(shape) > _MAX_RANK or min(shape, default=0) < -1:
        yield f"has the impossible shape {_shown(shape)}"
    signature = as_list(tensor.shapeSignature)
    if signature and (len(signature) != len(shape) or min(signature) < -1):
        yield f"has the shape {_shown(shape)}, but the shape signature {_shown(signature)}"
    yield from _content_problems(model.buffers[tensor.buffer].data, kind, tensor, shape)
    if tensor.quantization is not None:
        yield from _quantization_problems(tensor.quantization, kind, shape, tensors)


def _content_problems(
    data: np.ndarray | None, kind: str, tensor: schema.TensorT, shape: list[int]
) -> Iterator[str]:
    if data is None or not len(data) or kind in ("resource", "variant"):
        return
    if kind == "string":
        yield from _string_problems(np.asarray(data, np.uint8))
    elif tensor.sparsity is not None:
        yield from _sparsity_problems(tensor.sparsity, shape)
    elif min(shape, default=0) < 0:
        yield f"is a constant of the open shape {_shown(shape)}"
    else:
        expected = math.ceil(math.prod(shape) * BITS[kind] / 8)
        if len(data) != expected:
            yield (
                f"holds {len(data)} bytes, but its shape {_shown(shape)} of {kind} takes {expected}"
            )


def _string_problems(data: np.ndarray) -> Iterator[str]:
    """The layout of strings: how many, where each begins and where the last ends, the text."""
    words = data[: len(data) // 4 * 4].view("<i4")
    count = int(words[0]) if len(words) else -1
    if not 0 <= count <= len(words) - 2:
        yield f"is said to hold {count} strings, but has {len(data)} bytes"
    offsets = words[1 : count + 2]
    if (np.diff(offsets) < 0).any() or offsets[0] < 4 * (count + 2) or offsets[-1] > len(data):
        yield f"has strings that lie outside its {len(data)} bytes"


def _sparsity_problems(sparsity: Any, shape: list[int]) -> Iterator[str]:
    order, blocks = as_list(sparsity.traversalOrder), as_list(sparsity.blockMap)
    dimensions = as_list(sparsity.dimMetadata)
    if sorted(order) != list(range(len(shape) + len(blocks))) or len(dimensions) != len(order):
        yield f"is sparse in the impossible order {order}"
    if any(not 0 <= block < len(shape) for block in blocks):
        yield f"is sparse in blocks of dimensions {blocks}, but has {len(shape)}"
    rows = 1
    for dimension in dimensions:
        if dimension.format == schema.DimensionType.DENSE:
            rows *= dimension.denseSize
            if not 0 < dimension.denseSize <= max(math.prod(shape), 1):
                yield f"has a sparse dimension of size {dimension.denseSize}"
            continue
        segments = np.asarray(_values(dimension.arraySegments), np.int64)
        indices = np.asarray(_values(dimension.arrayIndices), np.int64)
        if (
            len(segments) != rows + 1
            or segments[0] != 0
            or segments[-1] != len(indices)
            or (np.diff(segments) < 0).any()
            or (indices < 0).any()
            or (indices >= max(shape, default=0)).any()
        ):
            yield "is sparse with indices that do not fit its shape"
        rows = len(indices)


def _values(vector: Any) -> Any:
    return [] if vector is None or vector.values is None else vector.values


def _quantization_problems(
    quantization: schema.QuantizationParametersT, kind: str, shape: list[int], tensors: int
) -> Iterator[str]:
    scale = np.asarray(_list_or_array(quantization.scale), np.float32)
    zero_point = np.asarray(_list_or_array(quantization.zeroPoint), np.int64)
    if isinstance(quantization.details, schema.BlockwiseQuantizationT):
        found = (quantization.details.scales, quantization.details.zeroPoints)
        if any(not -1 <= index < tensors for index in found):
            yield f"is quantized by the tensors {found[0]} and {found[1]}, which are not there"
    if not len(scale):
        return
    # Biases are never read by their scale; that of a dead channel underflows to 0.
    lowest = scale >= 0 if kind in _BIASES else scale > 0
    if not (lowest & np.isfinite(scale)).all():
        wrong = float(scale[~(lowest & np.isfinite(scale))][0])
        yield f"has the scale {wrong:g}, which must be a number above 0"
    if len(zero_point) != len(scale):
        yield f"has {len(scale)} scales, but {len(zero_point)} zero points"
    low, high = _ZERO_POINTS.get(kind, (-(1 << 31), (1 << 31) - 1))
    if len(zero_point) and not (low <= zero_point.min() and zero_point.max() <= high):
        wrong = int(zero_point[(zero_point < low) | (zero_point > high)][0])
        yield f"has the zero point {wrong}, which for {kind} is from {low} to {high}"
    if len(scale) > 1:
        axis = quantization.quantizedDimension
        if not 0 <= axis < len(shape) or shape[axis] != len(scale):
            yield f"has {len(scale)} scales along axis {axis} of its shape {_shown(shape)}"


# --- Operators. --------------------------------------------------------------------------------


def _operator_problems(
    name: str, operator: schema.OperatorT, tensors: Sequence[schema.TensorT]
) -> Iterator[str]:
    inputs, outputs = as_list(operator.inputs), as_list(operator.outputs)
    for index in (*inputs, *as_list(operator.intermediates)):
        if not -1 <= index < len(tensors):
            yield f"reads tensor {index}, but there are {len(tensors)} tensors"
    for index in outputs:
        if not 0 <= index < len(tensors):
            yield f"writes tensor {index}, but there are {len(tensors)} tensors"
    if _is_custom(name):
        return
    may_be_absent = _MAY_BE_ABSENT.get(name, ())
    absent = [i for i, index in enumerate(inputs) if index < 0 and i not in may_be_absent]
    if absent:
        yield f"is without its input {absent[0]}, which it needs"
    needed, ranks = _OPERANDS.get(name, (0, ()))
    if len(inputs) < needed:
        yield f"has {len(inputs)} inputs and needs {needed}"
    if needed and not outputs:
        yield "has no output"
    for place, (index, rank) in enumerate(zip(inputs, ranks, strict=False)):
        shape = as_list(tensors[index].shape)
        if rank is not None and len(shape) != rank:
            yield f"has an input {place} of shape {_shown(shape)}; it takes {rank} dimensions"
    if name in _HAS_WEIGHTS and 0 in as_list(tensors[inputs[1]].shape):
        yield f"has weights of the empty shape {_shown(as_list(tensors[inputs[1]].shape))}"
    for index in (*inputs, *outputs) if name in _COMPUTES else ():
        if index >= 0 and type_name(tensors[index]) in ("int8", "uint8"):
            quantization = tensors[index].quantization
            if quantization is None or not len(_list_or_array(quantization.scale)):
                yield f"computes with tensor {index} ({_short(tensors[index])}), which has no scale"
    if getattr(operator.builtinOptions, "offset", False) and operator.builtinOptions.endMask:
        yield "has both an end mask and ends that are offsets, which contradict each other"
    for option in _POSITIVE_OPTIONS:
        if getattr(operator.builtinOptions, option, 1) < 1:
            yield f"has the option {option} of {getattr(operator.builtinOptions, option)}"


def _is_custom(name: str) -> bool:
    return name not in _KNOWN_NAMES


def _may_be_unwritten(tensor: schema.TensorT) -> bool:
    """A state, which starts as zeros, or an empty constant, whose values are no bytes at all."""
    return bool(tensor.isVariable) or 0 in as_list(tensor.shape)


_KNOWN_NAMES = frozenset(n for n in vars(schema.BuiltinOperator) if not n.startswith("_"))


def _order_problems(
    model: schema.ModelT,
    graph: schema.SubGraphT,
    tensors: Sequence[schema.TensorT],
    operators: Sequence[schema.OperatorT],
) -> Iterator[_Problem]:
    """Each tensor is written once, and before it is read."""

    def called(index: int) -> str:
        return f"tensor {index} ({_short(tensors[index])})"

    writers = {int(i): n for n, operator in enumerate(operators) for i in as_list(operator.outputs)}
    written = {int(i) for i in as_list(graph.inputs)}
    for number, operator in enumerate(operators):
        name = operator_name(model, operator)
        what = f"operator {number} ({name})"
        for index in as_list(operator.inputs):
            if index < 0 or index in written or has_data(model, tensors[index]):
                continue
            if index in writers:
                yield what, f" reads {called(index)}, which only operator {writers[index]} writes"
            # A custom operator may have a buffer of its own to work in (Ethos-U's scratch).
            elif not (_may_be_unwritten(tensors[index]) or _is_custom(name)):
                yield what, f" reads {called(index)}, which holds no data and nothing writes"
        for index in as_list(operator.outputs):
            if index in written or has_data(model, tensors[index]):
                yield what, f" writes {called(index)}, which is written already"
            written.add(int(index))
    for index in as_list(graph.outputs):
        tensor = tensors[index]
        if not (index in written or _may_be_unwritten(tensor) or has_data(model, tensor)):
            yield "the output", f" {called(index)} is written by nothing"


def _call_problems(model: schema.ModelT) -> Iterator[str]:
    """A subgraph calls (IF, WHILE, …) those that are there, and never itself."""
    calls: dict[int, set[int]] = {}
    for number, graph in enumerate(model.subgraphs):
        calls[number] = set()
        for index, operator in enumerate(as_list(graph.operators)):
            for called in _called_subgraphs(operator):
                if not 0 <= called < len(model.subgraphs):
                    yield (
                        f"operator {index} ({operator_name(model, operator)}) calls subgraph "
                        f"{called}, but there are {len(model.subgraphs)}"
                    )
                calls[number].add(called)
    waiting = {number: set(called) for number, called in calls.items()}
    while done := {number for number, called in waiting.items() if not called}:
        waiting = {n: called - done for n, called in waiting.items() if n not in done}
    if waiting:
        yield f"subgraph {min(waiting)} calls itself without end"


def _called_subgraphs(operator: schema.OperatorT) -> Iterator[int]:
    for field, value in _fields(operator.builtinOptions):
        if field == "subgraph" or field.endswith("SubgraphIndex"):
            yield int(value)
    for field, value in _fields(operator.builtinOptions2):
        if field.endswith("SubgraphIndex") and value >= 0:
            yield int(value)
        elif field == "branchSubgraphIndices":
            yield from map(int, as_list(value))


def _fields(options: Any) -> Iterable[tuple[str, Any]]:
    return () if options is None else vars(options).items()


# --- All of it. --------------------------------------------------------------------------------


def _memory_problems(model: schema.ModelT) -> Iterator[str]:
    peak = expected_memory(model).peak
    if peak > MAX_BYTES:
        yield (
            f"its activations take {peak / 2**30:.1f} GiB of memory at once, more than the "
            f"{MAX_BYTES / 2**30:.0f} GiB of any network for a device"
        )


def _short(tensor: schema.TensorT) -> str:
    # The converter joins the names of all that it fused into one, with semicolons.
    return text(tensor.name).split(";")[0][:80]


def _shown(shape: Sequence[int]) -> str:
    if len(shape) > 8:
        return f"{'×'.join(map(str, shape[:8]))}× … ({len(shape)} dimensions)"
    return "×".join(map(str, shape)) or "of a scalar"


def _list_or_array(vector: Any) -> Any:
    return [] if vector is None else vector
