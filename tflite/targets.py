"""What the conversion knows about each kind of device: one table, one entry a device.

Adding a device is adding one `Target` to `TARGETS`; nothing else in this package names a device.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tflite.hints import did_you_mean

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")

EFFORTS = ("fast", "normal", "high")

FLOAT_PRECISIONS = ("float32", "float16", "dynamic")


@dataclass(frozen=True)
class Target:
    """The facts about one kind of device that decide the form of its files.

    Attributes:
        name: the key in `TARGETS`.
        precisions: what may be asked for.
        default_precisions: what is emitted when nothing is asked for.
        default_input_type, default_output_type: types of an int8 file's ends; the other
            precisions have float32 ends.
        native_hard_swish: precisions whose kernels run HARD_SWISH well. In the others h-swish and
            h-sigmoid are written as ADD with a fused RELU6, and MUL (XNNPACK has no int8
            HARD_SWISH, the Edge TPU has none at all).
        native_leaky_relu: has a kernel for LEAKY_RELU (the Edge TPU has none). Elsewhere a leaky
            ReLU is a PRELU of equal slopes.
        native_average_pool: precisions that average windows natively. In the others that is a
            depthwise convolution (XNNPACK has no int8 AVERAGE_POOL_2D).
        delegates_nearest: has a kernel for RESIZE_NEAREST_NEIGHBOR (XNNPACK has none); elsewhere
            nearest upsampling by whole factors is written with concatenations.
        reads_half_pixels: reads RESIZE_BILINEAR version 3, which has half-pixel centres.
        keeps_float_operators: an operator without an int8 kernel stays float32 in an int8 file, and
            the report says so. Elsewhere such a network is refused.
        splits_groups: grouped convolutions become a split, one convolution a group and a
            concatenation (CONV_2D version 6 is unknown to the Edge TPU compiler, and optimized
            kernels for microcontrollers need not know groups).
        densifies_shuffles: a grouped 1×1 convolution before a channel shuffle becomes an ungrouped
            one, zero between the groups, that shuffles for free: more arithmetic, fewer moves.
        most_concatenated: so many parts its kernels concatenate at once (XNNPACK: five); more are
            done in steps. None: any number.
        runs_on_edgetpu: the conversion's report holds the Edge TPU compiler's expected verdict.
        reads_sparse_weights: has the DENSIFY operator (TFLite Micro and the Edge TPU have not).
        takes_source: a firmware is compiled with the model in it: C++ is written beside the file.
    """

    name: str
    precisions: tuple[str, ...]
    default_precisions: tuple[str, ...]
    default_input_type: str
    default_output_type: str
    native_hard_swish: frozenset[str]
    native_leaky_relu: bool
    native_average_pool: frozenset[str]
    delegates_nearest: bool
    reads_half_pixels: bool
    keeps_float_operators: bool
    splits_groups: bool
    densifies_shuffles: bool
    most_concatenated: int | None = None
    runs_on_edgetpu: bool = False
    reads_sparse_weights: bool = False
    takes_source: bool = False


def _table(*targets: Target) -> Mapping[str, Target]:
    return MappingProxyType({target.name: target for target in targets})


TARGETS = _table(
    Target(
        name="android",
        precisions=PRECISIONS,
        default_precisions=("float16", "int8"),
        # MediaPipe's and Android Studio's readers refuse int8 inputs.
        default_input_type="uint8",
        default_output_type="uint8",
        native_hard_swish=frozenset(FLOAT_PRECISIONS),
        native_leaky_relu=True,
        native_average_pool=frozenset(FLOAT_PRECISIONS),
        delegates_nearest=False,
        reads_half_pixels=True,
        keeps_float_operators=True,
        splits_groups=False,
        densifies_shuffles=False,
        most_concatenated=5,
        reads_sparse_weights=True,
    ),
    Target(
        name="cpu",
        precisions=PRECISIONS,
        default_precisions=("float32", "int8"),
        default_input_type="uint8",
        default_output_type="uint8",
        native_hard_swish=frozenset(FLOAT_PRECISIONS),
        native_leaky_relu=True,
        native_average_pool=frozenset(FLOAT_PRECISIONS),
        delegates_nearest=False,
        reads_half_pixels=True,
        keeps_float_operators=True,
        splits_groups=False,
        densifies_shuffles=False,
        most_concatenated=5,
        reads_sparse_weights=True,
    ),
    Target(
        name="coral",
        precisions=("int8",),
        default_precisions=("int8",),
        default_input_type="uint8",
        default_output_type="uint8",
        native_hard_swish=frozenset(),
        native_leaky_relu=False,
        native_average_pool=frozenset({"int8"}),
        delegates_nearest=True,
        reads_half_pixels=False,
        keeps_float_operators=False,
        splits_groups=True,
        densifies_shuffles=True,
        runs_on_edgetpu=True,
    ),
    Target(
        name="micro",
        precisions=("int8", "float32"),
        default_precisions=("int8",),
        default_input_type="int8",
        default_output_type="int8",
        native_hard_swish=frozenset({"float32"}),
        native_leaky_relu=True,
        native_average_pool=frozenset({"int8", "float32"}),
        delegates_nearest=True,
        reads_half_pixels=True,
        keeps_float_operators=False,
        splits_groups=True,
        densifies_shuffles=False,
        takes_source=True,
    ),
)


def lookup(name: str) -> Target:
    """The target of that name; ValueError, with the names there are, for any other."""
    check_choice("target", name, TARGETS)
    return TARGETS[name]


def check_precision(target: Target, precision: str) -> None:
    """ValueError unless `precision` exists and `target` runs it."""
    check_choice("precision", precision, PRECISIONS)
    if precision not in target.precisions:
        raise ValueError(
            f"target {target.name!r} takes precision {' or '.join(target.precisions)}, "
            f"got {precision!r}."
        )


def check_batch_size(batch_size: Any) -> None:
    """ValueError unless it is a number of images, or None, which leaves it open."""
    whole = isinstance(batch_size, int) and not isinstance(batch_size, bool)
    if batch_size is not None and not (whole and batch_size > 0):
        raise ValueError(f"batch_size must be a positive whole number or None, got {batch_size!r}.")


def check_choice(name: str, value: Any, allowed: Iterable[str]) -> None:
    """ValueError unless an argument is one of these texts; the nearest is named."""
    if isinstance(value, str) and value in allowed:
        return
    raise ValueError(
        f"{name} must be one of {', '.join(allowed)}, got {value!r}.{did_you_mean(value, allowed)}"
    )
