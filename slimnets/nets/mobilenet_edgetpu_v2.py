"""MobileNetEdgeTPUV2: full and grouped convolutions where an Edge TPU runs them fastest.

Akin et al. 2022, "Searching for Efficient Neural Architectures for On-Device ML on Edge TPUs"
(arXiv 2204.14007). Facts of the construction: TensorFlow's Model Garden,
`official/projects/edgetpu/vision/modeling/mobilenet_edgetpu_v2_model_blocks.py`, as timm's
`models/efficientnet.py`, `_gen_mobilenet_edgetpu` has it, whose weights fit: there the 1×1
convolution behind the stem has a ReLU, and XS's stem is 3×3 where the Model Garden's is 5×5.

The Edge TPU of Coral knows no grouped convolution: `target="coral"` splits them into one a group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope
from slimnets.builder import Site, block, project
from slimnets.conv_defs import (
    Conv,
    Factor,
    FusedInvertedResidual,
    InvertedResidual,
    KernelRecord,
    check_positive,
)
from slimnets.network import Body, classifier, keywords_of, takes_weights
from slimnets.scopes import training_scope
from slimnets.weights.families import IMAGENET, Family, Row, register
from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.sources import INCEPTION, TIMM_HALF, timm
from slimnets.weights.timm_names import ORIGIN, PADS, block_widths, layer_units
from slimnets.weights.units import LOGITS, block_outputs
from slimnets.weights.variants import Variant, by_depths


@dataclass(frozen=True, slots=True)
class GroupedInvertedResidual(KernelRecord):
    """A fused inverted residual whose k×k expansion has groups of `group` output channels.

    The input is added where stride is 1 and the depths agree.
    Source: the Model Garden's README, "GC-IBN"; the paper, section 3.
    """

    kernel: int
    expand: Factor
    depth: int
    stride: int
    group: int
    residual: bool = True

    def __post_init__(self) -> None:
        KernelRecord.__post_init__(self)
        check_positive(self, group=self.group)
        if not isinstance(self.expand, Factor):
            raise TypeError(f"{type(self).__name__}: expand must be a Factor, got {self.expand!r}.")


@block(GroupedInvertedResidual)
def _grouped_inverted_residual(
    x: Any, record: GroupedInvertedResidual, site: Site
) -> Iterator[tuple[str, Any]]:
    shortcut, name, channels = x, site.name, x.shape[-1]
    expanded = site.expanded(record.expand, channels)
    groups = expanded // record.group
    if not groups or expanded % record.group or channels % groups:
        raise ValueError(
            f"{name} expands {channels} channels to {expanded}, which groups of {record.group} do "
            "not divide: choose another depth_multiplier, or a table with other groups."
        )
    x = layers.conv(
        x,
        expanded,
        record.kernel,
        stride=site.stride,
        rate=site.rate,
        groups=groups,
        name=f"{name}.expand",
        end_point=f"{name}_expansion_output",
    )
    yield f"{name}/expansion_output", x
    yield from project(x, shortcut, record, site)


_Fused, _Grouped = FusedInvertedResidual, GroupedInvertedResidual


def _table(
    kernel: int, stem: int, depths: tuple[int, ...], head: int, group: int = 64
) -> tuple[Any, ...]:
    c0, c1, c2, c3, c4, c5, c6 = depths

    def inverted(expand: int, depth: int, stride: int = 1) -> InvertedResidual:
        return InvertedResidual(3, Factor(expand), depth, False, "relu", stride)

    return (
        Conv(kernel, 2, stem),
        Conv(1, 1, c0),
        #       k  expand     depth stride
        _Fused(  3, Factor(8), c1,  2),
        _Grouped(3, Factor(4), c1,  1, group),
        _Fused(  3, Factor(8), c2,  2),
        _Grouped(3, Factor(4), c2,  1, group),
        _Fused(  3, Factor(4), c2,  1),
        _Grouped(3, Factor(4), c2,  1, group),
        _Fused(  3, Factor(8), c3,  2),
        *(inverted(4, c3) for _ in range(3)),
        inverted(8, c4),
        *(inverted(4, c4) for _ in range(3)),
        inverted(8, c5, stride=2),
        *(inverted(4, c5) for _ in range(3)),
        inverted(8, c6),
        Conv(1, 1, head, shrink=False),
    )  # fmt: skip


#                                     stem      depths                             head
MOBILENET_EDGETPU_V2_XS_DEFS = _table(3, 32, (16, 32, 48, 96, 144, 160, 192), 1280)
MOBILENET_EDGETPU_V2_S_DEFS = _table(5, 64, (24, 48, 64, 128, 160, 192, 256), 1280)
MOBILENET_EDGETPU_V2_M_DEFS = _table(5, 64, (32, 64, 80, 160, 192, 240, 320), 1344)
MOBILENET_EDGETPU_V2_L_DEFS = _table( 7, 64, (32, 64, 96, 192, 240, 256, 384), 1408, group=128)  # fmt: skip


def _scope(dropout_keep_prob: float = 0.8) -> Scope:
    # He's scaling is by fan-out there.
    return training_scope(
        weight_decay=1e-5,
        stddev=-1,
        dropout_keep_prob=dropout_keep_prob,
        bn_decay=0.99,
        bn_epsilon=1e-3,
        activation="relu",
    )


def _network(
    input_shape: Sequence[int | None], table: tuple[Any, ...], scope: Scope, **kwargs: Any
) -> keras.Model:
    return classifier(input_shape, Body(table, _scope).build, scope, **kwargs)


_with_all_keywords = keywords_of(Body.build, classifier)


@takes_weights
@_with_all_keywords
def mobilenet_edgetpu_v2_xs(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    name: str = "MobilenetEdgeTPUV2XS",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetEdgeTPUV2-XS, (B, H, W, C) → (B, num_classes).

    End points are `layer_1` (stem) … `layer_22` (head), and of each block `expansion_output`,
    `depthwise_output` where it has one, and `output`. The references' stochastic depth in training
    is left out.

    Args:
        depth_multiplier: published is 1; with another, the grouped convolutions' widths must be
            divided by their groups.
        dropout_keep_prob: share of the pooled features kept in training; None: the scope's 0.95.
        weights: as in `slimnets.load_weights`; None: freshly initialized.

    The other arguments and the errors: `slimnets.network.classifier` and
    `slimnets.network.Body.build`.
    """
    return _network(input_shape, MOBILENET_EDGETPU_V2_XS_DEFS, _scope(0.95), name=name, **kwargs)


@takes_weights
@_with_all_keywords
def mobilenet_edgetpu_v2_s(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    name: str = "MobilenetEdgeTPUV2S",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetEdgeTPUV2-S; keywords as `mobilenet_edgetpu_v2_xs`, dropout 0.8."""
    return _network(input_shape, MOBILENET_EDGETPU_V2_S_DEFS, _scope(), name=name, **kwargs)


@takes_weights
@_with_all_keywords
def mobilenet_edgetpu_v2_m(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    name: str = "MobilenetEdgeTPUV2M",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetEdgeTPUV2-M; keywords as `mobilenet_edgetpu_v2_xs`, dropout 0.8."""
    return _network(input_shape, MOBILENET_EDGETPU_V2_M_DEFS, _scope(), name=name, **kwargs)


@takes_weights
@_with_all_keywords
def mobilenet_edgetpu_v2_l(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    name: str = "MobilenetEdgeTPUV2L",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetEdgeTPUV2-L; keywords as `mobilenet_edgetpu_v2_xs`, dropout 0.8."""
    return _network(input_shape, MOBILENET_EDGETPU_V2_L_DEFS, _scope(), name=name, **kwargs)


_XS, _S, _M, _L = (f"mobilenet_edgetpu_v2_{size}" for size in ("xs", "s", "m", "l"))
_DEPTHS = {
    name: [record.depth for record in table[2:-1]]
    for name, table in (
        (_XS, MOBILENET_EDGETPU_V2_XS_DEFS),
        (_S, MOBILENET_EDGETPU_V2_S_DEFS),
        (_M, MOBILENET_EDGETPU_V2_M_DEFS),
        (_L, MOBILENET_EDGETPU_V2_L_DEFS),
    )
}
_STAGES = (1, 2, 4, 4, 4, 4, 1)


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    return by_depths(_DEPTHS, block_outputs(model, units), classes)


def _variant_of_timm(shapes: Shapes, classes: int) -> Variant:
    # Without the 1×1 convolution behind the stem, which timm counts among the blocks.
    widths = block_widths(shapes, _STAGES)[1:]
    return by_depths(_DEPTHS, widths, classes) or Variant(_M, {}, classes)


def _timm_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    yield from layer_units(units, _STAGES)
    yield LOGITS, "classifier"


# In 8 bits as the Model Garden's README has it; M's top-1 is timm's.
_ROWS = (
    # name    builder                  options input     params      multiply-adds  top-1 int8
    Row(_XS, mobilenet_edgetpu_v2_xs, {},     IMAGENET, 4_501_576,  688_214_528,   None, 75.8),
    Row(_S,  mobilenet_edgetpu_v2_s,  {},     IMAGENET, 6_036_744,  1_198_002_688, None, 77.4),
    Row(_M,  mobilenet_edgetpu_v2_m,  {},     IMAGENET, 8_524_648,  1_835_637_440, 80.1, 78.4),
    Row(_L,  mobilenet_edgetpu_v2_l,  {},     IMAGENET, 10_992_872, 2_530_786_432, None, 79.0),
)  # fmt: skip
_TIMM_M = "mobilenet_edgetpu_v2_m.ra4_e3600_r224_in1k"

FAMILY = register(
    Family(
        name="mobilenet_edgetpu_v2",
        paper="2204.14007",
        rows=_ROWS,
        styles={"mobilenetedgetpuv2": INCEPTION},
        variant=_variant_of_model,
        sources=(timm(_M, _TIMM_M, 80.116, 94.994, TIMM_HALF, crop=0.9),),
        state_dicts=(
            StateDictNaming(
                networks=(_XS, _S, _M, _L),
                origin=ORIGIN,
                signature=(
                    "conv_stem.weight",
                    "blocks.0.0.conv.weight",
                    "blocks.1.0.conv_exp.weight",
                    "blocks.2.3.conv_exp.weight",
                    "blocks.6.0.conv_dw.weight",
                ),
                absent=("blocks.1.2.conv_exp.weight",),  # the first MobilenetEdgeTPU
                name_units=_timm_units,
                variant=_variant_of_timm,
                classifier="classifier",
                dense=("classifier",),
                requires=PADS,
            ),
        ),
    )
)
