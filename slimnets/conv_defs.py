"""The records that the tables of several families are made of.

A network *is* its table: a tuple of these records in the paper's order. Records are immutable
and hold the paper's numbers at width 1; `slimnets.builder` scales, places and builds them. A record
that one family alone has is in that family's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real


def make_divisible(value: float, divisor: int = 8, min_value: int | None = None) -> int:
    """Round `value` to the nearest multiple of `divisor`, never losing more than 10 %.

    Halves go up; the result is at least `min_value` (default: `divisor`); where rounding down
    would lose more than a tenth, one `divisor` is added.
    Source: TF-Slim `mobilenet/conv_blocks.py`, `_make_divisible`.

    Raises:
        ValueError: `value` is no finite number.
    """
    if not isinstance(value, Real) or not abs(value) < float("inf"):
        raise ValueError(f"value must be a finite number, got {value!r:.80}.")
    rounded = max(min_value or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def check_positive(record: object, **positive: object) -> None:
    """Raise a ValueError unless each of a record's fields `positive` is an integer above 0."""
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
    check_positive(record, kernel=kernel)
    return int(kernel)


class KernelRecord:
    """Checks what all records with a kernel, a stride and a depth share."""

    __slots__ = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", _square(self, self.kernel))
        check_positive(self, stride=self.stride, depth=self.depth)


@dataclass(frozen=True, slots=True)
class Conv(KernelRecord):
    """A full convolution, then batch norm and activation (None: the scope's).

    `shrink` False: a depth_multiplier below 1 leaves this layer's depth alone, as the last
    layer's of MobileNetV2 and V3.
    """

    kernel: int
    stride: int
    depth: int
    activation: str | None = None
    shrink: bool = True


def with_fixed_stem(conv_defs: Sequence[object]) -> tuple[object, ...]:
    """The table whose first record, the stem, is not narrowed by a depth_multiplier below 1."""
    stem, *others = conv_defs
    return (replace(stem, shrink=False) if isinstance(stem, Conv) else stem, *others)


@dataclass(frozen=True, slots=True)
class Factor:
    """An expansion told as a multiple of the block's input channels, as MobileNetV2's t."""

    times: float

    def __post_init__(self) -> None:
        if not isinstance(self.times, Real) or isinstance(self.times, bool) or self.times <= 0:
            raise ValueError(f"Factor: times must be a number above 0, got {self.times!r}.")


class _Expanded(KernelRecord):
    __slots__ = ()

    def __post_init__(self) -> None:
        KernelRecord.__post_init__(self)
        if not isinstance(self.expand, Factor):
            check_positive(self, expand=self.expand)


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
        check_positive(self, stride=self.stride)
        if self.padding not in ("valid", "fixed", "ceil"):
            raise ValueError(
                f"MaxPool: padding must be 'valid', 'fixed' or 'ceil', got {self.padding!r}."
            )
