"""Walks a table: widths, stride and dilation bookkeeping, padding, end points.

A block is a generator that builds one record and yields (end point, tensor) as it goes, so
building stops exactly at a wanted end point. Families register theirs with `@block(Record)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from numbers import Integral, Real
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import arg_scope
from slimnets.conv_defs import (
    Conv,
    Factor,
    FusedInvertedResidual,
    InvertedResidual,
    MaxPool,
    make_divisible,
)
from tflite.hints import did_you_mean

# Far beyond any network; a slip of 1e9 would ask for more memory than there is.
_MAX_MULTIPLIER = 100

EndPoints = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """Where in a network a record stands, and so what its block must know."""

    name: str  # "Conv2d_3", "layer_7"
    stride: int  # the stride to apply here: the record's, or 1 past the output stride
    rate: int  # the dilation rate here
    table_depth: int  # the table's depth before this record, at width 1
    width: Callable[[int], int]  # depth in the table → channels here

    def expanded(self, expand: int | Factor, channels: int) -> int:
        """Channels of an expansion: the table's ratio, applied to the channels there are."""
        times = expand.times if isinstance(expand, Factor) else expand / self.table_depth
        return channels if times == 1 else make_divisible(channels * times)


Block = Callable[[Any, Any, Site], Iterator[tuple[str, Any]]]
_BLOCKS: dict[type, Block] = {}


def block(record: type) -> Callable[[Block], Block]:
    """Register the function that builds `record`."""

    def register(function: Block) -> Block:
        _BLOCKS[record] = function
        return function

    return register


@block(Conv)
def _conv(x: Any, record: Conv, site: Site) -> Iterator[tuple[str, Any]]:
    depth = site.width(record.depth)
    yield (
        site.name,
        layers.conv(
            x,
            depth if record.shrink else max(depth, record.depth),
            record.kernel,
            stride=site.stride,
            rate=site.rate if record.kernel > 1 else 1,
            activation=record.activation,
            name=site.name,
            end_point=site.name,
        ),
    )


@block(InvertedResidual)
def _inverted_residual(x: Any, record: InvertedResidual, site: Site) -> Iterator[tuple[str, Any]]:
    shortcut, name = x, site.name
    expanded = site.expanded(record.expand, x.shape[-1])
    if expanded > x.shape[-1] or record.always_expand:
        x = layers.conv(
            x,
            expanded,
            activation=record.activation,
            name=f"{name}.expand",
            end_point=f"{name}_expansion_output",
        )
        yield f"{name}/expansion_output", x
    x = layers.depthwise(
        x,
        record.kernel,
        stride=site.stride,
        rate=site.rate,
        activation=record.activation,
        name=f"{name}.depthwise",
        end_point=f"{name}_depthwise_output",
    )
    yield f"{name}/depthwise_output", x
    if record.se:
        x = layers.squeeze_excite(x, f"{name}.squeeze_excite")
    yield from project(x, shortcut, record, site)


@block(FusedInvertedResidual)
def _fused_inverted_residual(
    x: Any, record: FusedInvertedResidual, site: Site
) -> Iterator[tuple[str, Any]]:
    shortcut, name = x, site.name
    expanded = site.expanded(record.expand, x.shape[-1])
    if expanded > x.shape[-1]:
        x = layers.conv(
            x,
            expanded,
            record.kernel,
            stride=site.stride,
            rate=site.rate,
            activation=record.activation,
            name=f"{name}.expand",
            end_point=f"{name}_expansion_output",
        )
        yield f"{name}/expansion_output", x
    yield from project(x, shortcut, record, site)


def project(x: Any, shortcut: Any, record: Any, site: Site) -> Iterator[tuple[str, Any]]:
    """The linear bottleneck, and the residual where the record's own stride is 1.

    `record` has `depth`, `stride` and `residual`, as inverted residuals have.

    Past the output stride a stride-2 record runs at stride 1, and still has no residual: it
    must stay the same network.
    """
    name, depth = site.name, site.width(record.depth)
    x = layers.conv(x, depth, activation="linear", name=f"{name}.project")
    residual = record.residual if record.stride == 1 else False
    if residual == "project" and shortcut.shape[-1] != depth:
        shortcut = layers.conv(shortcut, depth, activation="linear", name=f"{name}.shortcut")
    if residual and shortcut.shape[-1] == depth:
        x = keras.layers.Add(name=f"{name}_output")([shortcut, x])
    else:
        x = layers.activate(x, None, name, end_point=f"{name}_output")
    yield f"{name}/output", x
    yield name, x


@block(MaxPool)
def _max_pool(x: Any, record: MaxPool, site: Site) -> Iterator[tuple[str, Any]]:
    pads, padding = _pool_padding(record, site.stride, x.shape[1:3])
    if padding == "zeros":
        # As good as -inf: what is pooled here comes out of a ReLU.
        x = keras.layers.ZeroPadding2D(pads, name=f"{site.name}.pad")(x)
        padding = "valid"
    pool = keras.layers.MaxPooling2D(record.kernel, site.stride, padding, name=site.name)
    yield site.name, pool(x)


def _pool_padding(
    record: MaxPool, stride: int, size: Sequence[int | None]
) -> tuple[tuple[tuple[int, int], ...], str]:
    """((top, bottom), (left, right)), and "valid", "same" or "zeros": the way to get them."""
    kernel = record.kernel
    if record.padding == "fixed":
        return (layers.fixed_padding(kernel),) * 2, "zeros"
    if record.padding == "valid" or all(n and (n - kernel) % stride == 0 for n in size):
        return ((0, 0),) * 2, "valid"
    # Ceil mode: a last, partial window at the end of each side.
    pads = tuple((0, (kernel - n) % stride if n else stride - 1) for n in size)
    same = [((-(-n // stride) - 1) * stride + kernel - n if n else None) for n in size]
    # SAME gives the same windows (k=3, s=2, even sizes) without a PAD operation.
    exact = all(total is not None and total // 2 == 0 for total in same)
    return pads, "same" if exact and same == [after for _, after in pads] else "zeros"


def stride_steps(
    strides: Sequence[int], output_stride: int | None, atrous: str = "tensorflow"
) -> Iterator[tuple[int, int]]:
    """(stride, rate) to apply at each layer, so that the product of strides stops growing.

    The first layer past the limit runs at the rate reached so far; then the rate grows by the
    stride that it gave up (TF-Slim `mobilenet_v1_base`). With `atrous="torchvision"` that layer
    itself runs at the larger rate (`mobilenetv3.py`, `_mobilenet_v3_conf(dilated=True)`).
    """
    reached, rate = 1, 1
    for stride in strides:
        if output_stride is not None and reached == output_stride:
            yield 1, rate * stride if atrous == "torchvision" else rate
            rate *= stride
        else:
            yield stride, 1
            reached *= stride


def build_body(
    x: Any,
    conv_defs: Sequence[Any],
    *,
    width: Callable[[int], int],
    names: Iterable[str] | None = None,
    output_stride: int | None = None,
    atrous: str = "tensorflow",
    use_explicit_padding: bool = False,
    final_endpoint: str | None = None,
) -> tuple[Any, EndPoints]:
    """Build the records of `conv_defs` on `x`, up to and including `final_endpoint`.

    Args:
        x: keras tensor, (B, H, W, C).
        conv_defs: the table.
        width: depth in the table → channels.
        names: the records' names; default layer_1, layer_2, ….
        output_stride: wanted ratio of input to output resolution: None, 8, 16 or 32.
        atrous: where dilation begins past it, "tensorflow" or "torchvision" (`stride_steps`).
        use_explicit_padding: fixed padding, independent of the input's size, instead of SAME.
        final_endpoint: where to stop; None: the table's end.

    Returns:
        The last tensor, and all end points in building order.

    Raises:
        ValueError: input that is no image batch, an unknown record type, output stride or end
            point.
    """
    check_image_batch(x)
    check_table(conv_defs)
    if not isinstance(use_explicit_padding, bool):
        raise TypeError(
            f"use_explicit_padding must be True or False, got {use_explicit_padding!r}."
        )
    if not (output_stride is None or output_stride in (8, 16, 32)):
        raise ValueError(f"output_stride must be None, 8, 16 or 32, got {output_stride!r}.")
    if atrous not in ("tensorflow", "torchvision"):
        raise ValueError(f"atrous must be 'tensorflow' or 'torchvision', got {atrous!r:.80}.")
    padding = {"padding": "fixed"}
    with arg_scope({"conv": padding, "depthwise": padding} if use_explicit_padding else None):
        steps = stride_steps([record.stride for record in conv_defs], output_stride, atrous)
        return _walk(x, conv_defs, width, names, steps, final_endpoint)


def _walk(
    x: Any,
    conv_defs: Sequence[Any],
    width: Callable[[int], int],
    names: Iterable[str] | None,
    steps: Iterable[tuple[int, int]],
    final_endpoint: str | None,
) -> tuple[Any, EndPoints]:
    end_points: EndPoints = {}
    table_depth = x.shape[-1]
    names = names or (f"layer_{number}" for number in count(1))
    for record, (stride, rate), name in zip(conv_defs, steps, names, strict=False):
        site = Site(name, stride, rate, table_depth, width)
        for key, end_point in _BLOCKS[type(record)](x, record, site):
            end_points[key] = end_point
            if key == final_endpoint:
                return end_point, end_points
        x = end_point
        table_depth = getattr(record, "depth", table_depth)
    if final_endpoint is not None:
        raise ValueError(
            f"Unknown final_endpoint {final_endpoint!r}; known: {', '.join(end_points)}."
            f"{did_you_mean(final_endpoint, end_points)}"
        )
    return x, end_points


def check_table(conv_defs: Sequence[Any]) -> None:
    """Raise a ValueError that names the first thing in `conv_defs` that no block can build."""
    if not isinstance(conv_defs, list | tuple) or not conv_defs:
        raise ValueError(
            f"conv_defs must be a non-empty tuple of records such as Conv(3, 2, 32), "
            f"got {conv_defs!r}."
        )
    for index, record in enumerate(conv_defs):
        if type(record) not in _BLOCKS:
            known = ", ".join(sorted(known.__name__ for known in _BLOCKS))
            raise ValueError(
                f"Unknown convolution type {type(record).__name__!r} at conv_defs[{index}] "
                f"({record!r}); known records: {known}."
            )


def check_image_batch(x: Any) -> None:
    """Raise unless `x` is a Keras tensor of (batch, height, width, channels)."""
    if not keras.backend.is_keras_tensor(x):
        raise TypeError(
            "The input must be a Keras tensor, such as keras.Input((224, 224, 3)), got "
            f"{type(x).__name__}."
        )
    if len(x.shape) != 4 or x.shape[-1] is None:
        raise ValueError(
            "The input must have rank 4, (batch, height, width, channels), with a known number "
            f"of channels; got shape {tuple(x.shape)}."
        )


def check_multiplier(depth_multiplier: float, min_depth: int = 1) -> None:
    """Raise unless `depth_multiplier` is a number above 0 and `min_depth` a positive integer."""
    if not isinstance(depth_multiplier, Real) or isinstance(depth_multiplier, bool):
        raise TypeError(
            f"depth_multiplier must be a number greater than 0, got {depth_multiplier!r}."
        )
    if not 0 < depth_multiplier <= _MAX_MULTIPLIER:
        raise ValueError(
            f"depth_multiplier must be greater than 0 and at most {_MAX_MULTIPLIER}, got "
            f"{depth_multiplier!r}."
        )
    if not isinstance(min_depth, Integral) or isinstance(min_depth, bool) or min_depth < 1:
        raise ValueError(f"min_depth must be an integer of at least 1, got {min_depth!r}.")
