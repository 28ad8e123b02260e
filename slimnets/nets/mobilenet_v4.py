"""MobileNetV4, the convolutional networks: universal inverted bottlenecks, made for every device.

Qin et al. 2024, "MobileNetV4: Universal Models for the Mobile Ecosystem" (arXiv 2404.10518). Facts
of the construction: the paper's appendix D, and timm `models/mobilenetv3.py`, `_gen_mobilenet_v4`,
whose weights fit. No squeeze-excite, no h-swish: ReLU throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope
from slimnets.builder import EndPoints, Site, block, project
from slimnets.conv_defs import (
    Conv,
    Factor,
    FusedInvertedResidual,
    check_positive,
    make_divisible,
    with_fixed_stem,
)
from slimnets.network import Body, body_keywords, classifier, keywords_of, takes_weights
from slimnets.scopes import training_scope
from slimnets.weights.families import IMAGENET, Family, Row, register
from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.sources import INCEPTION, TIMM_HALF, timm
from slimnets.weights.state_dicts import width as torch_width
from slimnets.weights.timm_names import ORIGIN, PADS, places
from slimnets.weights.units import LOGITS, blocks, convolution
from slimnets.weights.variants import Variant, multiplier


@dataclass(frozen=True, slots=True)
class UniversalInvertedBottleneck:
    """[depthwise] → 1×1 expansion → [depthwise] → linear 1×1 projection; 0: no such depthwise.

    The depthwise before the expansion (`start`) has no activation. The stride is the later one's,
    or the earlier one's where there is no later. `expand` is a multiple of the input's channels.
    With (start, kernel) = (0, k) it is an inverted residual, (k, 0) a ConvNeXt block, (0, 0) a
    feed-forward block, (k, k') one with an extra depthwise convolution. The input is added where
    stride is 1 and the depths agree, unless `residual` is False.
    Source: MobileNetV4, section 3.
    """

    start: int
    kernel: int
    stride: int
    expand: float
    depth: int
    residual: bool = True

    def __post_init__(self) -> None:
        for field in ("start", "kernel"):
            value = getattr(self, field)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
                raise ValueError(
                    f"{type(self).__name__}: {field} must be a kernel's size, or 0 for none, got "
                    f"{value!r}."
                )
        check_positive(self, stride=self.stride, depth=self.depth)
        Factor(self.expand)
        if self.stride > 1 and not self.start and not self.kernel:
            raise ValueError(f"{self!r} has a stride, but no depthwise convolution to take it.")


@block(UniversalInvertedBottleneck)
def _universal_inverted_bottleneck(
    x: Any, record: UniversalInvertedBottleneck, site: Site
) -> Iterator[tuple[str, Any]]:
    shortcut, name = x, site.name
    if record.start:
        x = layers.depthwise(
            x,
            record.start,
            stride=1 if record.kernel else site.stride,
            rate=site.rate,
            activation="linear",
            name=f"{name}.start",
        )
    x = layers.conv(
        x,
        make_divisible(x.shape[-1] * record.expand),
        name=f"{name}.expand",
        end_point=f"{name}_expansion_output",
    )
    yield f"{name}/expansion_output", x
    if record.kernel:
        x = layers.depthwise(
            x,
            record.kernel,
            stride=site.stride,
            rate=site.rate,
            name=f"{name}.depthwise",
            end_point=f"{name}_depthwise_output",
        )
        yield f"{name}/depthwise_output", x
    yield from project(x, shortcut, record, site)


_UIB = UniversalInvertedBottleneck

MOBILENET_V4_CONV_SMALL_DEFS = (
    #    kernel stride depth
    Conv(3,     2,     32),
    Conv(3,     2,     32),
    Conv(1,     1,     32),
    Conv(3,     2,     96),
    Conv(1,     1,     64),
    #    start kernel stride expand depth
    _UIB(5,    5,     2,     3,     96),
    _UIB(0,    3,     1,     2,     96),
    _UIB(0,    3,     1,     2,     96),
    _UIB(0,    3,     1,     2,     96),
    _UIB(0,    3,     1,     2,     96),
    _UIB(3,    0,     1,     4,     96),
    _UIB(3,    3,     2,     6,     128),
    _UIB(5,    5,     1,     4,     128),
    _UIB(0,    5,     1,     4,     128),
    _UIB(0,    5,     1,     3,     128),
    _UIB(0,    3,     1,     4,     128),
    _UIB(0,    3,     1,     4,     128),
    Conv(1,     1,     960),
)  # fmt: skip

MOBILENET_V4_CONV_MEDIUM_DEFS = (
    Conv(3, 2, 32),
    #                     kernel expand     depth stride
    FusedInvertedResidual(3,     Factor(4), 48,   2),
    #    start kernel stride expand depth
    _UIB(3,    5,     2,     4,     80),
    _UIB(3,    3,     1,     2,     80),
    _UIB(3,    5,     2,     6,     160),
    _UIB(3,    3,     1,     4,     160),
    _UIB(3,    3,     1,     4,     160),
    _UIB(3,    5,     1,     4,     160),
    _UIB(3,    3,     1,     4,     160),
    _UIB(3,    0,     1,     4,     160),
    _UIB(0,    0,     1,     2,     160),
    _UIB(3,    0,     1,     4,     160),
    _UIB(5,    5,     2,     6,     256),
    _UIB(5,    5,     1,     4,     256),
    _UIB(3,    5,     1,     4,     256),
    _UIB(3,    5,     1,     4,     256),
    _UIB(0,    0,     1,     4,     256),
    _UIB(3,    0,     1,     4,     256),
    _UIB(3,    5,     1,     2,     256),
    _UIB(5,    5,     1,     4,     256),
    _UIB(0,    0,     1,     4,     256),
    _UIB(0,    0,     1,     4,     256),
    _UIB(5,    0,     1,     2,     256),
    Conv(1, 1, 960),
)  # fmt: skip

MOBILENET_V4_CONV_LARGE_DEFS = (
    Conv(3, 2, 24),
    #                     kernel expand     depth stride
    FusedInvertedResidual(3,     Factor(4), 48,   2),
    #    start kernel stride expand depth
    _UIB(3,    5,     2,     4,     96),
    _UIB(3,    3,     1,     4,     96),
    _UIB(3,    5,     2,     4,     192),
    _UIB(3,    3,     1,     4,     192),
    _UIB(3,    3,     1,     4,     192),
    _UIB(3,    3,     1,     4,     192),
    _UIB(3,    5,     1,     4,     192),
    _UIB(5,    3,     1,     4,     192),
    _UIB(5,    3,     1,     4,     192),
    _UIB(5,    3,     1,     4,     192),
    _UIB(5,    3,     1,     4,     192),
    _UIB(5,    3,     1,     4,     192),
    _UIB(3,    0,     1,     4,     192),
    _UIB(5,    5,     2,     4,     512),
    _UIB(5,    5,     1,     4,     512),
    _UIB(5,    5,     1,     4,     512),
    _UIB(5,    5,     1,     4,     512),
    _UIB(5,    0,     1,     4,     512),
    _UIB(5,    3,     1,     4,     512),
    _UIB(5,    0,     1,     4,     512),
    _UIB(5,    0,     1,     4,     512),
    _UIB(5,    3,     1,     4,     512),
    _UIB(5,    5,     1,     4,     512),
    _UIB(5,    0,     1,     4,     512),
    _UIB(5,    0,     1,     4,     512),
    _UIB(5,    0,     1,     4,     512),
    Conv(1, 1, 960),
)  # fmt: skip

# After the pool; no depth_multiplier changes it.
_HEAD = 1280


def _scope(dropout_keep_prob: float = 0.8) -> Scope:
    # The paper's weight decay is AdamW's own, and no part of the loss.
    return training_scope(
        weight_decay=0,
        stddev=-1,
        dropout_keep_prob=dropout_keep_prob,
        bn_decay=0.99,
        activation="relu",
    )


def _base(table: Sequence[Any], inputs: Any, args: Sequence[Any], fixed_stem: bool, **kwargs: Any):
    prepare = with_fixed_stem if fixed_stem else tuple
    return Body(table, _scope, prepare=prepare).build(inputs, *args, **kwargs)


@body_keywords
def mobilenet_v4_conv_small_base(
    inputs: Any, *args: Any, fixed_stem: bool = True, **kwargs: Any
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV4-Conv-S up to `final_endpoint` (`layer_1` … `layer_18`).

    End points are a block's `layer_i/expansion_output`, `layer_i/depthwise_output` (where it has
    the later depthwise) and `layer_i/output`. Arguments, result and errors:
    `slimnets.network.Body.build`.

    Args:
        fixed_stem: a depth_multiplier below 1 leaves the stem alone, as in all that was published.
    """
    return _base(MOBILENET_V4_CONV_SMALL_DEFS, inputs, args, fixed_stem, **kwargs)


@body_keywords
def mobilenet_v4_conv_medium_base(
    inputs: Any, *args: Any, fixed_stem: bool = True, **kwargs: Any
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV4-Conv-M (`layer_1` … `layer_24`); as that of Conv-S."""
    return _base(MOBILENET_V4_CONV_MEDIUM_DEFS, inputs, args, fixed_stem, **kwargs)


@body_keywords
def mobilenet_v4_conv_large_base(
    inputs: Any, *args: Any, fixed_stem: bool = True, **kwargs: Any
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV4-Conv-L (`layer_1` … `layer_29`); as that of Conv-S."""
    return _base(MOBILENET_V4_CONV_LARGE_DEFS, inputs, args, fixed_stem, **kwargs)


def _head(net: Any) -> Any:
    return layers.conv(net, _HEAD, name="Conv_head", end_point="Conv_head")


@takes_weights
@keywords_of(mobilenet_v4_conv_small_base, classifier)
def mobilenet_v4_conv_small(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    name: str = "MobilenetV4ConvSmall",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV4-Conv-S, (B, H, W, C) → (B, num_classes). Published at α 0.35, 0.5 and 1.

    Args:
        fixed_stem: a depth_multiplier below 1 leaves the stem alone, as in all that was published.
        dropout_keep_prob: share of the features kept in training; None: the scope's 0.7.
        weights: as in `slimnets.load_weights`; None: freshly initialized.

    The other arguments and the errors: `slimnets.network.classifier` and
    `mobilenet_v4_conv_small_base`.
    """
    body, scope = mobilenet_v4_conv_small_base, _scope(0.7)
    return classifier(input_shape, body, scope, before_logits=_head, name=name, **kwargs)


@takes_weights
@keywords_of(mobilenet_v4_conv_medium_base, classifier)
def mobilenet_v4_conv_medium(
    input_shape: Sequence[int | None] = (256, 256, 3),
    *,
    name: str = "MobilenetV4ConvMedium",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV4-Conv-M, for 256×256; keywords as `mobilenet_v4_conv_small`, dropout 0.8."""
    body = mobilenet_v4_conv_medium_base
    return classifier(input_shape, body, _scope(), before_logits=_head, name=name, **kwargs)


@takes_weights
@keywords_of(mobilenet_v4_conv_large_base, classifier)
def mobilenet_v4_conv_large(
    input_shape: Sequence[int | None] = (384, 384, 3),
    *,
    name: str = "MobilenetV4ConvLarge",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV4-Conv-L, for 384×384; keywords as `mobilenet_v4_conv_small`, dropout 0.8."""
    body = mobilenet_v4_conv_large_base
    return classifier(input_shape, body, _scope(), before_logits=_head, name=name, **kwargs)


# Which of them a model or a state dict is: by its number of layers, then its last block's width.
_SMALL, _MEDIUM, _LARGE = (f"mobilenet_v4_conv_{size}" for size in ("small", "medium", "large"))
_STAGES = {_SMALL: (2, 2, 6, 6, 1), _MEDIUM: (1, 2, 8, 11, 1), _LARGE: (1, 2, 11, 13, 1)}
_TABLES = {
    _SMALL: MOBILENET_V4_CONV_SMALL_DEFS,
    _MEDIUM: MOBILENET_V4_CONV_MEDIUM_DEFS,
    _LARGE: MOBILENET_V4_CONV_LARGE_DEFS,
}


def _variant(network: str, stem: int, last_block: int, classes: int) -> Variant:
    table = _TABLES[network]
    options: dict[str, Any] = dict(multiplier(last_block, table[-2].depth))
    alpha = options.get("depth_multiplier", 1.0)
    if alpha < 1 and stem == make_divisible(table[0].depth * alpha) != table[0].depth:
        options["fixed_stem"] = False
    return Variant(network, options, classes)


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    numbered = blocks(units)
    network = next((name for name, t in _TABLES.items() if len(t) == len(numbered)), None)
    if network is None or not any("start" in parts for parts in numbered.values()):
        return None
    last = convolution(model, f"layer_{len(numbered) - 1}.project").filters
    return _variant(network, convolution(model, "layer_1").filters, last, classes)


def _variant_of_timm(shapes: Shapes, classes: int) -> Variant:
    network = next(
        name
        for name, stages in _STAGES.items()
        if f"blocks.3.{stages[3] - 1}.pw_proj.conv.weight" in shapes
        and f"blocks.3.{stages[3]}.pw_proj.conv.weight" not in shapes
    )
    last = torch_width(shapes, f"blocks.3.{_STAGES[network][3] - 1}.pw_proj.conv")
    return _variant(network, torch_width(shapes, "conv_stem"), last, classes)


# Its layers' names elsewhere.
_PARTS = {
    "start": "dw_start.{conv,bn}",
    "expand": "pw_exp.{conv,bn}",
    "depthwise": "dw_mid.{conv,bn}",
    "project": "pw_proj.{conv,bn}",
    "": "{conv,bn1}",
}
_FUSED_PARTS = {"expand": "{conv_exp,bn1}", "project": "{conv_pwl,bn2}"}


def _timm_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    numbered = blocks(units)
    stages = next((s for s in _STAGES.values() if sum(s) == len(numbered) - 1), ())
    yield "layer_1", "{conv_stem,bn1}"
    for place, (number, parts) in zip(places(stages), [*numbered.items()][1:], strict=False):
        fused = "expand" in parts and convolution(model, f"layer_{number}.expand").kernel_size != (
            1,
            1,
        )
        for part in parts:
            unit = f"layer_{number}.{part}" if part else f"layer_{number}"
            yield unit, f"{place}.{(_FUSED_PARTS if fused else _PARTS)[part]}"
    yield "Conv_head", "{conv_head,norm_head}"
    yield LOGITS, "classifier"


_HALF, _THIRD = {"depth_multiplier": 0.5}, {"depth_multiplier": 0.35}
_ROWS = (
    # name                             builder                   options input       params      multiply-adds  top-1
    Row("mobilenet_v4_conv_small",     mobilenet_v4_conv_small,  {},     IMAGENET,    3_799_112,  186_005_568,   73.8),
    Row("mobilenet_v4_conv_small_050", mobilenet_v4_conv_small,  _HALF,  IMAGENET,    2_252_808,  64_741_408,    64.8),
    Row("mobilenet_v4_conv_small_035", mobilenet_v4_conv_small,  _THIRD, IMAGENET,    1_916_072,  47_723_040),
    Row("mobilenet_v4_conv_medium",    mobilenet_v4_conv_medium, {},     (256, 1000), 9_783_416,  1_080_244_224, 79.9),
    Row("mobilenet_v4_conv_large",     mobilenet_v4_conv_large,  {},     (384, 1000), 32_740_416, 6_376_220_672, 82.9),
)  # fmt: skip
_S, _M, _L = (f"mobilenetv4_conv_{size}" for size in ("small", "medium", "large"))
_SOURCES = (
    timm(_SMALL, f"{_S}.e2400_r224_in1k", 73.756, 91.430),
    timm(_SMALL, f"{_S}.e1200_r224_in1k", 73.450, 91.340),
    timm(_SMALL, f"{_S}.e3600_r256_in1k", 74.534, 91.940, TIMM_HALF, size=256, crop=0.95),
    timm(_SMALL, f"{_S}_050.e3000_r224_in1k", 64.778, 85.500, TIMM_HALF, **_HALF),
    timm(_MEDIUM, f"{_M}.e500_r224_in1k", 79.092, 94.788, crop=0.95),
    timm(_MEDIUM, f"{_M}.e500_r256_in1k", 79.916, 95.188, size=256, crop=0.95),
    timm(_MEDIUM, f"{_M}.e250_r384_in12k_ft_in1k", 82.776, 96.448, size=384, crop=0.95),
    timm(_LARGE, f"{_L}.e500_r256_in1k", 81.864, 95.696, size=256, crop=0.95),
    timm(_LARGE, f"{_L}.e600_r384_in1k", 82.974, 96.244, size=384, crop=0.95),
)

FAMILY = register(
    Family(
        name="mobilenet_v4",
        paper="2404.10518",
        rows=_ROWS,
        styles={"mobilenetv4": INCEPTION},
        variant=_variant_of_model,
        before_classifier=("Conv_head",),
        sources=_SOURCES,
        state_dicts=(
            StateDictNaming(
                networks=tuple(_STAGES),
                origin=ORIGIN,
                signature=("conv_stem.weight", "blocks.2.0.pw_exp.conv.weight"),
                name_units=_timm_units,
                variant=_variant_of_timm,
                classifier="classifier",
                dense=("classifier",),
                before_classifier=("conv_head", "norm_head"),
                requires=PADS,
                lacks=("fixed_stem",),
            ),
        ),
    )
)
