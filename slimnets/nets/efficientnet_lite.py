"""EfficientNet-Lite 0 to 4: EfficientNet without squeeze-excite and swish, for phones and Edge TPUs.

Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (arXiv
1905.11946). Facts of the construction, accuracies and preprocessing: TensorFlow's TPU repository,
`models/official/efficientnet/lite`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope, merge
from slimnets.conv_defs import Conv, Factor, InvertedResidual, make_divisible
from slimnets.network import Body, classifier, keywords_of, takes_weights
from slimnets.scopes import training_scope
from slimnets.weights.families import Family, Row, register
from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.sources import TIMM_HALF, timm
from slimnets.weights.state_dicts import width as torch_width
from slimnets.weights.timm_names import ORIGIN, PADS, block_widths, layer_units
from slimnets.weights.units import LOGITS, block_outputs
from slimnets.weights.variants import Variant, by_depths, multiplier
from tflite.images import Preprocessing

# The stages of EfficientNet-B0 (table 1 of the paper), in MobileNetV2's terms, and the kernel.
_STAGES = (
    # t  c    n  s  k
    (1,  16,  1, 1, 3),
    (6,  24,  2, 2, 3),
    (6,  40,  2, 2, 5),
    (6,  80,  3, 2, 3),
    (6,  112, 3, 1, 5),
    (6,  192, 4, 2, 5),
    (6,  320, 1, 1, 3),
)  # fmt: skip


def _scaled(width: float, repeats: float) -> tuple[Any, ...]:
    """B0's table scaled, but for stem and head, and the repeats of the first and the last stage."""
    table: list[Any] = [Conv(3, 2, 32, shrink=False)]
    for t, c, n, s, k in _STAGES:
        depth = make_divisible(c * width)
        for i in range(n if n == 1 else math.ceil(n * repeats)):
            table.append(InvertedResidual(k, Factor(t), depth, False, None, 1 if i else s))
    return (*table, Conv(1, 1, 1280, shrink=False))


#                                width repeats
EFFICIENTNET_LITE0_DEFS = _scaled(1.0, 1.0)
EFFICIENTNET_LITE1_DEFS = _scaled(1.0, 1.1)
EFFICIENTNET_LITE2_DEFS = _scaled(1.1, 1.2)
EFFICIENTNET_LITE3_DEFS = _scaled(1.2, 1.4)
EFFICIENTNET_LITE4_DEFS = _scaled(1.4, 1.8)


def _scope(dropout_keep_prob: float = 0.8) -> Scope:
    scope = training_scope(
        weight_decay=1e-5, dropout_keep_prob=dropout_keep_prob, bn_decay=0.99, bn_epsilon=1e-3
    )
    # Fan-out, which for a depthwise kernel is its window alone.
    start = {
        "kernel_initializer": keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        )
    }
    return merge(scope, {"conv": start, "depthwise": start})


def _network(
    input_shape: Sequence[int | None], table: tuple[Any, ...], scope: Scope, **kwargs: Any
) -> keras.Model:
    return classifier(input_shape, Body(table, _scope).build, scope, **kwargs)


_with_all_keywords = keywords_of(Body.build, classifier)


@takes_weights
@_with_all_keywords
def efficientnet_lite0(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    name: str = "EfficientNetLite0",
    **kwargs: Any,
) -> keras.Model:
    """EfficientNet-Lite0, (B, H, W, C) → (B, num_classes).

    End points are `layer_1` (stem) … `layer_18` (head, 1280). The references' stochastic depth in
    training is left out.

    Args:
        dropout_keep_prob: share of the pooled features kept in training; None: the scope's 0.8.
        weights: as in `slimnets.load_weights`; None: freshly initialized.

    The other arguments and the errors: `slimnets.network.classifier` and
    `slimnets.network.Body.build`.
    """
    return _network(input_shape, EFFICIENTNET_LITE0_DEFS, _scope(), name=name, **kwargs)


@takes_weights
@_with_all_keywords
def efficientnet_lite1(
    input_shape: Sequence[int | None] = (240, 240, 3),
    *,
    name: str = "EfficientNetLite1",
    **kwargs: Any,
) -> keras.Model:
    """`efficientnet_lite0` with more layers, for 240×240."""
    return _network(input_shape, EFFICIENTNET_LITE1_DEFS, _scope(), name=name, **kwargs)


@takes_weights
@_with_all_keywords
def efficientnet_lite2(
    input_shape: Sequence[int | None] = (260, 260, 3),
    *,
    name: str = "EfficientNetLite2",
    **kwargs: Any,
) -> keras.Model:
    """`efficientnet_lite0` 1.1 times wider, for 260×260; keeps 0.7 of the pooled features."""
    return _network(input_shape, EFFICIENTNET_LITE2_DEFS, _scope(0.7), name=name, **kwargs)


@takes_weights
@_with_all_keywords
def efficientnet_lite3(
    input_shape: Sequence[int | None] = (280, 280, 3),
    *,
    name: str = "EfficientNetLite3",
    **kwargs: Any,
) -> keras.Model:
    """`efficientnet_lite0` 1.2 times wider, for 280×280; keeps 0.7 of the pooled features."""
    return _network(input_shape, EFFICIENTNET_LITE3_DEFS, _scope(0.7), name=name, **kwargs)


@takes_weights
@_with_all_keywords
def efficientnet_lite4(
    input_shape: Sequence[int | None] = (300, 300, 3),
    *,
    name: str = "EfficientNetLite4",
    **kwargs: Any,
) -> keras.Model:
    """`efficientnet_lite0` 1.4 times wider, for 300×300; keeps 0.7 of the pooled features."""
    return _network(input_shape, EFFICIENTNET_LITE4_DEFS, _scope(0.7), name=name, **kwargs)


# Lite1 1.1 times wider has the shapes of Lite2.
_DEPTHS = {
    f"efficientnet_lite{size}": [record.depth for record in table[1:-1]]
    for size, table in enumerate(
        (
            EFFICIENTNET_LITE0_DEFS,
            EFFICIENTNET_LITE1_DEFS,
            EFFICIENTNET_LITE2_DEFS,
            EFFICIENTNET_LITE3_DEFS,
            EFFICIENTNET_LITE4_DEFS,
        )
    )
}


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    return by_depths(_DEPTHS, block_outputs(model, units), classes)


def _variant_of_timm(shapes: Shapes, classes: int) -> Variant:
    found = {m[0] for name in shapes if (m := re.match(r"blocks\.(\d+)\.(\d+)", name))}
    stages = Counter(place.split(".")[1] for place in found)
    counts = [stages[str(stage)] for stage in range(len(stages))]
    return by_depths(_DEPTHS, block_widths(shapes, counts), classes) or Variant(
        "efficientnet_lite0", multiplier(torch_width(shapes, "conv_head"), 1280), classes
    )


# Its layers' names elsewhere.


def _timm_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    # Where the table has a row of its own the width changes: no two stages have one width.
    widths = Counter(block_outputs(model, units))
    yield from layer_units(units, [*widths.values()])
    yield LOGITS, "classifier"


def _style(size: int) -> Preprocessing:
    return Preprocessing(
        size=(size, size),
        crop_fraction=size / (size + 32),
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        value_range=(0.0, 255.0),
        interpolation="bicubic",
        keep_aspect_ratio=True,
    )


_ROWS = (
    # name                    builder             options, input   params      multiply-adds  top-1 int8
    Row("efficientnet_lite0", efficientnet_lite0, {}, (224, 1000), 4_694_024,  385_187_552,   75.1, 74.4),
    Row("efficientnet_lite1", efficientnet_lite1, {}, (240, 1000), 5_470_344,  600_185_232,   76.7, 75.9),
    Row("efficientnet_lite2", efficientnet_lite2, {}, (260, 1000), 6_150_168,  859_736_272,   77.6, 77.0),
    Row("efficientnet_lite3", efficientnet_lite3, {}, (280, 1000), 8_273_768,  1_383_321_872, 79.8, 79.0),
    Row("efficientnet_lite4", efficientnet_lite4, {}, (300, 1000), 13_118_936, 2_553_034_336, 81.5, 80.2),
)  # fmt: skip

_TF = replace(TIMM_HALF, interpolation="bilinear")
# Sizes and crops are timm's, which for 3 and 4 are larger than the repository's 280 and 300.
_SOURCES = (
    timm("efficientnet_lite0", "efficientnet_lite0.ra_in1k", 75.488, 92.508),
    timm("efficientnet_lite0", "tf_efficientnet_lite0.in1k", 74.846, 92.180, TIMM_HALF),
    timm("efficientnet_lite1", "tf_efficientnet_lite1.in1k", 76.674, 93.232, TIMM_HALF, size=240, crop=0.882),
    timm("efficientnet_lite2", "tf_efficientnet_lite2.in1k", 77.470, 93.756, TIMM_HALF, size=260, crop=0.890),
    timm("efficientnet_lite3", "tf_efficientnet_lite3.in1k", 79.808, 94.908, _TF, size=300, crop=0.904),
    timm("efficientnet_lite4", "tf_efficientnet_lite4.in1k", 81.540, 95.668, _TF, size=380, crop=0.920),
)  # fmt: skip

FAMILY = register(
    Family(
        name="efficientnet_lite",
        paper="1905.11946",
        rows=_ROWS,
        styles={row.name.replace("_", ""): _style(row.default[0]) for row in _ROWS},
        variant=_variant_of_model,
        sources=_SOURCES,
        state_dicts=(
            StateDictNaming(
                networks=tuple(_DEPTHS),
                origin=ORIGIN,
                signature=(
                    "conv_stem.weight",
                    "blocks.0.0.conv_dw.weight",
                    "blocks.5.3.conv_pwl.weight",
                    "blocks.6.0.conv_pwl.weight",
                    "conv_head.weight",
                ),
                absent=("blocks.0.0.se.conv_reduce.weight", "blocks.1.0.conv_exp.weight"),
                name_units=_timm_units,
                variant=_variant_of_timm,
                classifier="classifier",
                dense=("classifier",),
                requires=PADS,
            ),
        ),
    )
)
