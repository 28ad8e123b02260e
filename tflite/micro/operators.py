"""Which operators TFLite Micro has, and what its resolver calls them."""

from collections.abc import Iterable

# The Add… methods of tensorflow/lite/micro/micro_mutable_op_resolver.h, by the schema's names.
_KNOWN = frozenset(
    """
    ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTH_TO_SPACE DEPTHWISE_CONV_2D
    DEQUANTIZE DIV ELU EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER
    GATHER_ND GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS
    LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAX_POOL_2D MAXIMUM MEAN
    MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX RELU RELU6
    RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN
    SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE
    SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNPACK ZEROS_LIKE
    """.split()  # noqa: SIM905  a hundred quotes tell nothing
)
_SPELLED = {"PADV2": "PadV2", "CUMSUM": "CumSum", "SVDF": "Svdf", "BATCH_MATMUL": "BatchMatMul"}


def resolver_methods(operators: Iterable[str]) -> tuple[str, ...]:
    """The methods of MicroMutableOpResolver that add these operators: "CONV_2D" → "AddConv2D".

    Args:
        operators: the schema's names, in whatever order and number.

    Raises:
        ValueError: TFLite Micro has no kernel for some.
    """
    names = sorted(set(operators))
    missing = [name for name in names if name not in _KNOWN]
    if missing:
        raise ValueError(
            f"TFLite Micro has no operator {', '.join(missing)}: replace the layers that make them."
        )
    return tuple(f"Add{_SPELLED.get(name) or _camel(name)}" for name in names)


def _camel(name: str) -> str:
    return "".join(w if w == "2D" else w.capitalize() for w in name.split("_"))
