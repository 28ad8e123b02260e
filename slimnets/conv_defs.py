"""The records a network's body table is made of.

A network *is* its table: a tuple of these records in the paper's order. Records are immutable
and hold the paper's numbers at width 1; `slimnets.builder` scales, places and builds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real


def make_divisible(value: float, divisor: int = 8, min_value: int | None = None) -> int:
    """Round `value` to the nearest multiple of `divisor`, never losing more than 10 %.

    Halves go up; the result is at least `min_value` (default: `divisor`); where rounding down
    would lose more than a tenth, one `divisor` is added.
    Source: TF-Slim `mobilenet/conv_blocks.py`, `_make_divisible`.
    """
    rounded = max(min_value or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _check(record: object, **positive: object) -> None:
    for field, value in positive.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(
                f"{type(record).__name__}: {field} must be an integer of at least 1, got {value!r}."
            )


def _square(record: object, kernel: int | Sequence[int]) -> int:
    """TF-Slim writes kernels as [3, 3]; a table here says 3. Both are taken."""
    if isinstance(kernel, list | tuple):
        if len(kernel) != 2 or kernel[0] != kernel[1]:
            raise ValueError(
                f"{type(record).__name__}: kernel must be square, as 3 or [3, 3], got {kernel!r}."
            )
        kernel = kernel[0]
    _check(record, kernel=kernel)
    return int(kernel)


class _Kernel:
    """Checks what all records with a kernel, a stride and a depth share."""

    __slots__ = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", _square(self, self.kernel))
        _check(self, stride=self.stride, depth=self.depth)


@dataclass(frozen=True, slots=True)
class Conv(_Kernel):
    """A full convolution, then batch norm and activation (None: the scope's).

    `shrink` False: a depth_multiplier below 1 leaves this layer's depth alone, as the last
    layer's of MobileNetV2 and V3.
    """

    kernel: int
    stride: int
    depth: int
    activation: str | None = None
    shrink: bool = True


@dataclass(frozen=True, slots=True)
class DepthSepConv(_Kernel):
    """Depthwise k×k (with the stride), then pointwise 1×1 to `depth`, each with BN and activation.

    Source: MobileNetV1, section 3.1 (arXiv 1704.04861).
    """

    kernel: int
    stride: int
    depth: int
    pointwise_bias: bool = False


@dataclass(frozen=True, slots=True)
class Factor:
    """An expansion told as a multiple of the block's input channels, as MobileNetV2's t."""

    times: float

    def __post_init__(self) -> None:
        if not isinstance(self.times, Real) or isinstance(self.times, bool) or self.times <= 0:
            raise ValueError(f"Factor: times must be a number above 0, got {self.times!r}.")


class _Expanded(_Kernel):
    __slots__ = ()

    def __post_init__(self) -> None:
        _Kernel.__post_init__(self)
        if not isinstance(self.expand, Factor):
            _check(self, expand=self.expand)


@dataclass(frozen=True, slots=True)
class InvertedResidual(_Expanded):
    """1×1 expansion, depthwise k×k (stride), optional squeeze-excite, linear 1×1 projection.

    `expand` is the expanded width (V3's tables) or a `Factor` of the input (V2's). There is no
    expansion convolution where it would not widen, unless `always_expand`. The input is added
    where stride is 1 and the depths agree, unless `residual` is False; with
    `residual="project"` a 1×1 convolution makes them agree.
    Source: MobileNetV2, section 3.3 (arXiv 1801.04381); MobileNetV3, section 3 (1905.02244).
    """

    kernel: int
    expand: int | Factor
    depth: int
    se: bool
    activation: str | None
    stride: int
    residual: bool | str = True
    always_expand: bool = False


@dataclass(frozen=True, slots=True)
class FusedInvertedResidual(_Expanded):
    """An inverted residual whose expansion is a full k×k convolution with the stride.

    It has no depthwise convolution; with expansion 1 only the 1×1 projection is left.
    Source: TF-Slim `mobilenet/mobilenet_v3.py`, V3_EDGETPU.
    """

    kernel: int
    expand: int | Factor
    depth: int
    stride: int
    activation: str | None = None
    residual: bool = True


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Max pooling; `padding` is "valid", "fixed" (k//2 each side) or "ceil" (partial windows)."""

    kernel: int
    stride: int
    padding: str = "valid"

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", _square(self, self.kernel))
        _check(self, stride=self.stride)
        if self.padding not in ("valid", "fixed", "ceil"):
            raise ValueError(
                f"MaxPool: padding must be 'valid', 'fixed' or 'ceil', got {self.padding!r}."
            )


@dataclass(frozen=True, slots=True)
class Fire:
    """Squeeze 1×1, then expand 1×1 and 3×3 side by side, concatenated; ReLU after each.

    `bypass`: None; "simple" adds the input where the depths agree; "complex" adds it through a
    1×1 convolution where they do not. Source: SqueezeNet, sections 3.2 and 6 (1602.07360).
    """

    squeeze: int
    expand1x1: int
    expand3x3: int
    bypass: str | None = None

    def __post_init__(self) -> None:
        _check(self, squeeze=self.squeeze, expand1x1=self.expand1x1, expand3x3=self.expand3x3)
        if self.bypass not in (None, "simple", "complex"):
            raise ValueError(
                f"Fire: bypass must be None, 'simple' or 'complex', got {self.bypass!r}."
            )

    stride = 1

    @property
    def depth(self) -> int:
        """Output channels at width 1."""
        return self.expand1x1 + self.expand3x3


@dataclass(frozen=True, slots=True)
class ShuffleUnit:
    """Grouped 1×1, channel shuffle, depthwise 3×3 with the stride, grouped 1×1.

    Stride 1 adds the input; stride 2 concatenates the averaged input, so that both make `depth`.
    `group_first` False: the first 1×1 is not grouped (the input is too narrow).
    Source: ShuffleNet, figure 2 (arXiv 1707.01083).
    """

    depth: int
    groups: int
    stride: int
    group_first: bool = True

    def __post_init__(self) -> None:
        _check(self, depth=self.depth, groups=self.groups, stride=self.stride)


@dataclass(frozen=True, slots=True)
class ShuffleStage:
    """A stage of ShuffleNetV2: one unit of stride 2, then `units - 1` of stride 1.

    The stage, not the unit, is the record: channels are routed over a whole stage at once
    (`slimnets.nets.shufflenet_v2`). `keep_first`: the stride-2 unit's right branch keeps the
    input's channels in its first 1×1. Source: ShuffleNetV2, figure 3 (arXiv 1807.11164).
    """

    depth: int
    units: int
    keep_first: bool = False

    def __post_init__(self) -> None:
        _check(self, depth=self.depth, units=self.units)
        if self.depth % 2:
            raise ValueError(f"ShuffleStage: depth must be even, got {self.depth}.")

    stride = 2
