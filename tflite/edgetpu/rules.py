"""What the Edge TPU compiler accepts, as a table: one row an operator.

Operators and limits: coral.ai, "TensorFlow models on the Edge TPU", supported operations (compiler
16, runtime 14). Versions: the compiler is frozen in July 2021, so a file made by a newer converter
can carry versions that it cannot parse ("Didn't find op for builtin opcode 'CONV_2D' version '6'",
google-coral/edgetpu issue 631). The figures are the newest known to be safe; for the rare operators
that nobody reported on, what TensorFlow's `lite/kernels/register.cc` of 2021 registers for int8.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ai_edge_litert import schema_py_generated as schema

from tflite.files.records import Operation, Tensor

ON_CHIP_BYTES = 8 * 1024**2
MAX_BUILTIN_CODE = 127
MAX_INNER_DIMENSIONS = 3
MAX_SOFTMAX = 16_000
ACTIVATION_TYPES = ("int8", "uint8")
CONSTANT_TYPES = ("int8", "uint8", "int32")  # int32: biases, axes, shapes


def _shown(shape: tuple[int, ...]) -> str:
    return "×".join("?" if size < 0 else str(size) for size in shape) or "scalar"


def _called(tensor: Tensor) -> str:
    # The converter joins the names of all that it fused into one, with semicolons.
    return f"tensor {tensor.index} ({tensor.name.split(';')[0]})"


def _one_dimensional(tensor: Tensor) -> bool:
    return all(size == 1 for size in tensor.sizes[:-1])


def _axes(tensor: Tensor, rank: int) -> set[int]:
    return {int(axis) % rank for axis in tensor.values().ravel()}


def _option(op: Operation, name: str, default: int = 0) -> int:
    # A file may leave out an operator's options; schema.fbs then says what they are.
    return getattr(op.options, name, default)


def _no_fused_activation(op: Operation) -> str:
    fused = _option(op, "fusedActivationFunction")
    return "" if fused == schema.ActivationFunctionType.NONE else "has a fused activation"


def _same_dilation(op: Operation) -> str:
    y, x = _option(op, "dilationHFactor", 1), _option(op, "dilationWFactor", 1)
    return "" if x == y else f"dilates by {y} in y but by {x} in x; both must be equal"


def _no_groups(op: Operation) -> str:
    values, weights = op.inputs[:2]
    groups = values.sizes[-1] // weights.sizes[-1]
    return "" if groups == 1 else f"has {groups} groups; use one convolution a group"


def _default_weight_format(op: Operation) -> str:
    stored = _option(op, "weightsFormat")
    default = schema.FullyConnectedOptionsWeightsFormat.DEFAULT
    return "" if stored == default else "has shuffled weights; only the default format is read"


def _output_is_1d(op: Operation) -> str:
    output = op.outputs[0]
    return "" if _one_dimensional(output) else f"output {_shown(output.shape)} is not 1-D"


def _softmax_size(op: Operation) -> str:
    values = op.inputs[0]
    if not _one_dimensional(values):
        return f"input {_shown(values.shape)} is not 1-D"
    if values.elements > MAX_SOFTMAX:
        return f"has {values.elements:,} elements; at most {MAX_SOFTMAX:,}"
    return ""


def _reduced_axes(op: Operation) -> str:
    values, axes = op.inputs[:2]
    reduced = _axes(axes, len(values.sizes))
    return "reduces over the batch" if 0 in reduced else ""


def _mean_axes(op: Operation) -> str:
    values, axes = op.inputs[:2]
    rank, depth = len(values.sizes), values.sizes[-1]
    if rank - 1 in _axes(axes, rank) and depth % 4:
        return f"averages over z, whose size {depth} is not a multiple of 4"
    return _reduced_axes(op)


def _constant_zeros(op: Operation) -> str:
    if not op.constants:
        return ""
    if len(op.inputs) > 2:
        return f"has {len(op.inputs)} inputs, one of them constant; only 2 may be"
    for constant in op.constants:
        zero = constant.zero_point[0] if constant.zero_point else 0
        if (constant.values() != zero).any():
            return "has a constant input that is not all zero"
    return ""


def _pack_axis(op: Operation) -> str:
    axis = _option(op, "axis") % len(op.outputs[0].sizes)
    return "packs along the batch" if axis == 0 else ""


def _pad_axis(op: Operation) -> str:
    return "pads the batch" if op.inputs[1].values()[0].any() else ""


def _split_axis(op: Operation) -> str:
    axis, values = op.inputs[:2]
    return "splits the batch" if 0 in _axes(axis, len(values.sizes)) else ""


def _alpha_is_1d(op: Operation) -> str:
    alpha = op.inputs[1]
    if _one_dimensional(alpha):
        return ""
    return f"alpha {_shown(alpha.shape)} is not 1-D; share it over height and width"


def _plain_slice(op: Operation) -> str:
    if (op.inputs[3].values() != 1).any():
        return f"has strides {op.inputs[3].values().tolist()}; all must be 1"
    masked = _option(op, "ellipsisMask") or _option(op, "newAxisMask")
    return "has an ellipsis or a new axis" if masked else ""


@dataclass(frozen=True)
class Rule:
    """One supported operator.

    Attributes:
        version: the newest version that is safe.
        parameters: the positions of inputs that must be constant (if they are there).
        limits: functions that return what is wrong with an operator, or "".
    """

    name: str
    version: int
    parameters: tuple[int, ...] = ()
    limits: tuple[Callable[[Operation], str], ...] = ()


# fmt: off
_TABLE = (
    #    operator                    version  constant  limits
    Rule("ADD",                           2),
    Rule("AVERAGE_POOL_2D",               2, (),        (_no_fused_activation,)),
    Rule("CONCATENATION",                 2, (),        (_no_fused_activation, _constant_zeros)),
    Rule("CONV_2D",                       3, (1, 2),    (_same_dilation, _no_groups)),
    Rule("DEPTHWISE_CONV_2D",             3, (1, 2),    (_same_dilation,)),
    Rule("EXPAND_DIMS",                   1, (1,)),
    Rule("FULLY_CONNECTED",               6, (1, 2),    (_default_weight_format, _output_is_1d)),
    Rule("L2_NORMALIZATION",              2),
    Rule("LOGISTIC",                      2),
    Rule("MAXIMUM",                       2),
    Rule("MAX_POOL_2D",                   2, (),        (_no_fused_activation,)),
    Rule("MEAN",                          2, (1,),      (_mean_axes,)),
    Rule("MINIMUM",                       2),
    Rule("MUL",                           3),
    Rule("PACK",                          2, (),        (_pack_axis,)),
    Rule("PAD",                           2, (1,),      (_pad_axis,)),
    Rule("PRELU",                         1, (1,),      (_alpha_is_1d,)),
    Rule("QUANTIZE",                      2),
    Rule("REDUCE_MAX",                    2, (1,),      (_reduced_axes,)),
    Rule("REDUCE_MIN",                    2, (1,),      (_reduced_axes,)),
    Rule("RELU",                          2),
    Rule("RELU6",                         2),
    Rule("RELU_N1_TO_1",                  1),
    Rule("RESHAPE",                       1, (1,)),
    Rule("RESIZE_BILINEAR",               2, (1,)),
    Rule("RESIZE_NEAREST_NEIGHBOR",       2, (1,)),
    Rule("RSQRT",                         2),
    Rule("SLICE",                         3, (1, 2)),
    Rule("SOFTMAX",                       2, (),        (_softmax_size,)),
    Rule("SPACE_TO_DEPTH",                2),
    Rule("SPLIT",                         3, (0,),      (_split_axis,)),
    Rule("SQUARED_DIFFERENCE",            2),
    Rule("SQUEEZE",                       1),
    Rule("STRIDED_SLICE",                 2, (1, 2, 3), (_plain_slice,)),
    Rule("SUB",                           2),
    Rule("SUM",                           2, (1,),      (_reduced_axes,)),
    Rule("TANH",                          2),
    Rule("TRANSPOSE",                     3, (1,)),
    Rule("TRANSPOSE_CONV",                3, (0, 1, 3)),
    Rule("UNIDIRECTIONAL_SEQUENCE_LSTM",  3),
)
# fmt: on

# What may keep a supported operator on the CPU all the same; Coral publishes no threshold for it.
CAUTIONS: Mapping[str, str] = MappingProxyType(
    {
        "RESHAPE": "a large one may stay on the CPU",
        "RESIZE_BILINEAR": "a large upscale may stay on the CPU",
        "RESIZE_NEAREST_NEIGHBOR": "a large upscale may stay on the CPU",
    }
)

RULES: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in _TABLE})


def parse_problem(op: Operation) -> str:
    """Why the compiler cannot even read a file with this operator in it, or ""."""
    if op.builtin_code > MAX_BUILTIN_CODE:
        return f"built-in code {op.builtin_code} is above {MAX_BUILTIN_CODE}, the last it knows"
    rule = RULES.get(op.name)
    if rule and op.version > rule.version:
        return f"version {op.version} is newer than {rule.version}, the last known to be safe"
    return ""


def mapping_problem(op: Operation) -> str:
    """Why this operator would not run on the Edge TPU, or ""."""
    rule = RULES.get(op.name)
    if rule is None:
        return "the Edge TPU has no such operator"
    general = (_dynamic_size(op), _wrong_type(op), _too_many_dimensions(op))
    problem = next(filter(None, general), "") or _variable_parameter(op, rule)
    # The limits read constants and shapes, which the checks before have to guarantee.
    return problem or next(filter(None, (limit(op) for limit in rule.limits)), "")


def _dynamic_size(op: Operation) -> str:
    for tensor in op.activations:
        if any(size < 0 for size in tensor.shape):
            return (
                f"the size {_shown(tensor.shape)} of {_called(tensor)} is not constant; "
                "convert with a fixed batch and image size"
            )
    return ""


def _wrong_type(op: Operation) -> str:
    for tensor in op.activations:
        if tensor.type not in ACTIVATION_TYPES and not tensor.is_variable:
            return f"{_called(tensor)} is {tensor.type}; only int8 and uint8 map"
    for tensor in op.constants:
        if tensor.type not in CONSTANT_TYPES:
            return f"constant {_called(tensor)} is {tensor.type}; only int8, uint8, int32 map"
    return ""


def _too_many_dimensions(op: Operation) -> str:
    for tensor in op.activations:
        if math.prod(tensor.sizes[:-MAX_INNER_DIMENSIONS]) > 1:
            shape = _shown(tensor.shape)
            return f"{_called(tensor)} is {shape}: only the 3 innermost sizes may be above 1"
    return ""


def _variable_parameter(op: Operation, rule: Rule) -> str:
    for position in rule.parameters:
        tensor = op.inputs[position] if position < len(op.inputs) else None
        if tensor is not None and not tensor.is_constant:
            return f"{_called(tensor)} is computed at run time; it must be a constant"
    return ""
