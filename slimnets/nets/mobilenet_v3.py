"""MobileNetV3 Large and Small, and MobilenetEdgeTPU: searched tables of inverted residuals.

Howard et al. 2019, "Searching for MobileNetV3" (arXiv 1905.02244). Facts of the construction:
TF-Slim `nets/mobilenet/mobilenet_v3.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope
from slimnets.builder import EndPoints
from slimnets.conv_defs import (
    Conv,
    Factor,
    FusedInvertedResidual,
    InvertedResidual,
    make_divisible,
    with_fixed_stem,
)
from slimnets.network import Body, body_keywords, classifier, keywords_of, takes_weights
from slimnets.scopes import training_scope
from slimnets.weights.families import IMAGENET, Family, Row, register
from slimnets.weights.keras_applications import width as keras_width
from slimnets.weights.namings import CheckpointNaming, KerasNaming, Shapes, StateDictNaming
from slimnets.weights.sources import (
    INCEPTION,
    TIMM_HALF,
    TIMM_PLAIN,
    TORCHVISION_232,
    tf_slim,
    timm,
    torchvision,
)
from slimnets.weights.state_dicts import width as torch_width
from slimnets.weights.tf_slim import block_widths, inverted_units
from slimnets.weights.tf_slim import width as slim_width
from slimnets.weights.timm_names import ORIGIN, layer_units
from slimnets.weights.timm_names import PADS as _PADS
from slimnets.weights.timm_names import block_widths as timm_block_widths
from slimnets.weights.units import LOGITS, block_outputs, blocks, convolution
from slimnets.weights.variants import Variant, min_depth, multiplier

# Table 1 of the paper.
MOBILENET_V3_LARGE_DEFS = (
    Conv(kernel=3, stride=2, depth=16, activation="hard_swish"),
    #                kernel expand depth se     activation    stride
    InvertedResidual(3,     16,    16,   False, "relu",       1),
    InvertedResidual(3,     64,    24,   False, "relu",       2),
    InvertedResidual(3,     72,    24,   False, "relu",       1),
    InvertedResidual(5,     72,    40,   True,  "relu",       2),
    InvertedResidual(5,     120,   40,   True,  "relu",       1),
    InvertedResidual(5,     120,   40,   True,  "relu",       1),
    InvertedResidual(3,     240,   80,   False, "hard_swish", 2),
    InvertedResidual(3,     200,   80,   False, "hard_swish", 1),
    InvertedResidual(3,     184,   80,   False, "hard_swish", 1),
    InvertedResidual(3,     184,   80,   False, "hard_swish", 1),
    InvertedResidual(3,     480,   112,  True,  "hard_swish", 1),
    InvertedResidual(3,     672,   112,  True,  "hard_swish", 1),
    InvertedResidual(5,     672,   160,  True,  "hard_swish", 2),
    InvertedResidual(5,     960,   160,  True,  "hard_swish", 1),
    InvertedResidual(5,     960,   160,  True,  "hard_swish", 1),
    Conv(kernel=1, stride=1, depth=960, activation="hard_swish"),
)  # fmt: skip

# Table 2 of the paper.
MOBILENET_V3_SMALL_DEFS = (
    Conv(kernel=3, stride=2, depth=16, activation="hard_swish"),
    #                kernel expand depth se     activation    stride
    InvertedResidual(3,     16,    16,   True,  "relu",       2),
    InvertedResidual(3,     72,    24,   False, "relu",       2),
    InvertedResidual(3,     88,    24,   False, "relu",       1),
    InvertedResidual(5,     96,    40,   True,  "hard_swish", 2),
    InvertedResidual(5,     240,   40,   True,  "hard_swish", 1),
    InvertedResidual(5,     240,   40,   True,  "hard_swish", 1),
    InvertedResidual(5,     120,   48,   True,  "hard_swish", 1),
    InvertedResidual(5,     144,   48,   True,  "hard_swish", 1),
    InvertedResidual(5,     288,   96,   True,  "hard_swish", 2),
    InvertedResidual(5,     576,   96,   True,  "hard_swish", 1),
    InvertedResidual(5,     576,   96,   True,  "hard_swish", 1),
    Conv(kernel=1, stride=1, depth=576, activation="hard_swish"),
)  # fmt: skip

# TF-Slim's V3_EDGETPU: full convolutions where they run faster than depthwise ones.
MOBILENET_EDGETPU_DEFS = (
    Conv(3, 2, 32),
    #                     kernel expand     depth stride
    FusedInvertedResidual(3,     Factor(1), 16,   1),
    FusedInvertedResidual(3,     Factor(8), 32,   2),
    FusedInvertedResidual(3,     Factor(4), 32,   1),
    FusedInvertedResidual(3,     Factor(4), 32,   1),
    FusedInvertedResidual(3,     Factor(4), 32,   1),
    FusedInvertedResidual(3,     Factor(8), 48,   2),
    FusedInvertedResidual(3,     Factor(4), 48,   1),
    FusedInvertedResidual(3,     Factor(4), 48,   1),
    FusedInvertedResidual(3,     Factor(4), 48,   1),
    #                kernel expand     depth se     activation stride
    InvertedResidual(3,     Factor(8), 96,   False, "relu",    2),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(8), 96,   False, "relu",    1, residual=False),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(5,     Factor(8), 160,  False, "relu",    2),
    InvertedResidual(5,     Factor(4), 160,  False, "relu",    1),
    InvertedResidual(5,     Factor(4), 160,  False, "relu",    1),
    InvertedResidual(5,     Factor(4), 160,  False, "relu",    1),
    InvertedResidual(3,     Factor(8), 192,  False, "relu",    1),
    Conv(1, 1, 1280, shrink=False),
)  # fmt: skip


def reduced_tail(conv_defs: Sequence[Any], segmentation: bool = False) -> tuple[Any, ...]:
    """The table with every feature width between C4 and C5 halved (the paper's section 6.3).

    From the last stride-2 record on: its output, then expansions and outputs. For detection; for
    `segmentation` its own expansion too (DeepLab's `core/feature_extractor.py`).
    """
    last = max(i for i, record in enumerate(conv_defs) if record.stride == 2)
    first = replace(conv_defs[last], depth=conv_defs[last].depth // 2)
    if segmentation:
        first = replace(first, expand=first.expand // 2)
    tail = (
        replace(record, depth=record.depth // 2)
        if isinstance(record, Conv)
        else replace(record, expand=record.expand // 2, depth=record.depth // 2)
        for record in conv_defs[last + 1 :]
    )
    return (*conv_defs[:last], first, *tail)


def minimalistic(conv_defs: Sequence[Any]) -> tuple[Any, ...]:
    """The table without squeeze-excite, h-swish and 5×5 kernels, for devices that lack them."""
    return tuple(
        replace(record, activation="relu")
        if isinstance(record, Conv)
        else replace(record, kernel=3, se=False, activation="relu")
        for record in conv_defs
    )


MOBILENET_V3_LARGE_DETECTION_DEFS = reduced_tail(MOBILENET_V3_LARGE_DEFS)
MOBILENET_V3_SMALL_DETECTION_DEFS = reduced_tail(MOBILENET_V3_SMALL_DEFS)


def _scope() -> Scope:
    # The paper's section 6.1: decay 1e-5, dropout 0.8, batch-norm momentum 0.99.
    return training_scope(weight_decay=1e-5, bn_decay=0.99, activation="relu")


_LARGE = Body(MOBILENET_V3_LARGE_DEFS, _scope)
_SMALL = Body(MOBILENET_V3_SMALL_DEFS, _scope)
_EDGETPU = Body(MOBILENET_EDGETPU_DEFS, _scope)


@body_keywords
def mobilenet_v3_large_base(inputs: Any, *args: Any, **kwargs: Any) -> tuple[Any, EndPoints]:
    """The body of MobileNetV3-Large up to `final_endpoint` (`layer_1` … `layer_17`).

    An expansion keeps the table's ratio to the block's input, rounded to a multiple of 8.
    Arguments, result and errors: `slimnets.network.Body.build`.
    """
    return _LARGE.build(inputs, *args, **kwargs)


@body_keywords
def mobilenet_v3_small_base(inputs: Any, *args: Any, **kwargs: Any) -> tuple[Any, EndPoints]:
    """The body of MobileNetV3-Small up to `final_endpoint` (`layer_1` … `layer_13`).

    Arguments as `mobilenet_v3_large_base`.
    """
    return _SMALL.build(inputs, *args, **kwargs)


@body_keywords
def mobilenet_edgetpu_base(inputs: Any, *args: Any, **kwargs: Any) -> tuple[Any, EndPoints]:
    """The body of MobilenetEdgeTPU up to `final_endpoint` (`layer_1` … `layer_23`).

    Arguments as `mobilenet_v3_large_base`.
    """
    return _EDGETPU.build(inputs, *args, **kwargs)


def _mobilenet_v3(
    input_shape: Sequence[int | None],
    conv_defs: Sequence[Any],
    last_depth: int,
    use_reduced_tail: bool | str,
    use_minimalistic: bool,
    fixed_stem: bool,
    *,
    depth_multiplier: float = 1.0,
    **kwargs: Any,
) -> keras.Model:
    """The network with the layer after the pool, in the form that is asked for."""
    if not isinstance(use_reduced_tail, bool) and use_reduced_tail != "segmentation":
        raise TypeError(
            f"reduced_tail must be True, False or 'segmentation', got {use_reduced_tail!r:.80}."
        )
    last = Conv(1, 1, last_depth // 2 if use_reduced_tail else last_depth, "hard_swish")
    if use_reduced_tail:
        conv_defs = reduced_tail(conv_defs, use_reduced_tail == "segmentation")
    if use_minimalistic:
        conv_defs, last = minimalistic(conv_defs), replace(last, activation="relu")

    if fixed_stem:
        conv_defs = with_fixed_stem(conv_defs)

    def last_layer(net: Any) -> Any:
        return layers.conv(
            net,
            max(last.depth, make_divisible(last.depth * depth_multiplier)),
            activation=last.activation,
            normalizer=False,
            use_bias=True,
            name="Conv_2",
            end_point="Conv_2",
        )

    return classifier(
        input_shape,
        _LARGE.build,
        _scope(),
        before_logits=last_layer,
        conv_defs=conv_defs,
        depth_multiplier=depth_multiplier,
        **kwargs,
    )


@takes_weights
@keywords_of(mobilenet_v3_large_base, classifier)
def mobilenet_v3_large(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    conv_defs: Sequence[Any] | None = None,
    reduced_tail: bool | str = False,
    minimalistic: bool = False,
    fixed_stem: bool = False,
    name: str = "MobilenetV3",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV3-Large, (B, H, W, C) → (B, num_classes).

    The layer after the pool (1280) is not narrowed by a depth_multiplier below 1.

    Args:
        conv_defs: the table; default `MOBILENET_V3_LARGE_DEFS`.
        reduced_tail: True halves the widths of the last stage and of the layer after the pool, as
            for detection; "segmentation" also those inside its first block.
        minimalistic: no squeeze-excite, no h-swish, no 5×5 kernels.
        fixed_stem: a depth_multiplier below 1 leaves the stem (16) alone, as timm's below 0.75.
        name: of the model; the default is TF-Slim's variable scope.
        weights: as in `slimnets.load_weights`; None: freshly initialized.

    The other arguments and the errors: `slimnets.network.classifier` and
    `mobilenet_v3_large_base`.
    """
    table = MOBILENET_V3_LARGE_DEFS if conv_defs is None else conv_defs
    forms = reduced_tail, minimalistic, fixed_stem
    return _mobilenet_v3(input_shape, table, 1280, *forms, name=name, **kwargs)


@takes_weights
@keywords_of(mobilenet_v3_small_base, classifier)
def mobilenet_v3_small(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    conv_defs: Sequence[Any] | None = None,
    reduced_tail: bool | str = False,
    minimalistic: bool = False,
    fixed_stem: bool = False,
    name: str = "MobilenetV3",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV3-Small, (B, H, W, C) → (B, num_classes). Arguments as `mobilenet_v3_large`.

    The layer after the pool (1024) is not narrowed by a depth_multiplier below 1.
    """
    table = MOBILENET_V3_SMALL_DEFS if conv_defs is None else conv_defs
    forms = reduced_tail, minimalistic, fixed_stem
    return _mobilenet_v3(input_shape, table, 1024, *forms, name=name, **kwargs)


@takes_weights
@keywords_of(mobilenet_edgetpu_base, classifier)
def mobilenet_edgetpu(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    name: str = "MobilenetEdgeTPU",
    **kwargs: Any,
) -> keras.Model:
    """MobilenetEdgeTPU, (B, H, W, C) → (B, num_classes). Keywords as `mobilenet_v3_large`.

    Published: 990 M multiply-adds, 4.0 M parameters, 75.6 % top-1.
    """
    return classifier(input_shape, mobilenet_edgetpu_base, _scope(), name=name, **kwargs)


# What a state dict or a model of this family is, told from its widths.


def _variant(
    widths: Sequence[int], excites: bool, classes: int, stem: int | None = None
) -> Variant:
    """From the blocks' output widths, whether any block has squeeze-excite, the stem's width."""
    large = len(widths) > 11
    # The last block at stride 16 is no part of the tail.
    options: dict[str, Any] = dict(multiplier(widths[11 if large else 7], 112 if large else 48))
    alpha = options.get("depth_multiplier", 1.0)
    if widths[-1] == make_divisible((80 if large else 48) * alpha):
        options["reduced_tail"] = True
    if not excites:
        options["minimalistic"] = True
    narrowest = make_divisible(16 * alpha)
    if floor := min_depth(widths[0], narrowest):
        options |= floor
    elif alpha < 1 and stem == 16 != narrowest:
        options["fixed_stem"] = True
    return Variant(f"mobilenet_v3_{'large' if large else 'small'}", options, classes)


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    parts_of = blocks(units)
    inverted = [number for number, parts in parts_of.items() if "project" in parts]
    if not inverted:
        return None
    if parts_of[inverted[0]] == ["project"]:
        options = multiplier(convolution(model, "layer_1").filters, 32)
        return Variant("mobilenet_edgetpu", options, classes)
    excites = any("squeeze_excite.reduce" in parts for parts in parts_of.values())
    # Without a classifier and squeeze-excite, only the number of blocks tells.
    if not excites and "Conv_2" not in units and len(inverted) not in (11, 15):
        return None
    if any("depthwise" not in parts_of[number] for number in inverted):
        return None
    outputs = block_outputs(model, units)
    return _variant(outputs, excites, classes, convolution(model, "layer_1").filters)


def _variant_of_checkpoint(shapes: Shapes, classes: int) -> Variant:
    return _variant(block_widths(shapes), _excites(shapes), classes)


def _edgetpu_of_checkpoint(shapes: Shapes, classes: int) -> Variant:
    return Variant("mobilenet_edgetpu", multiplier(slim_width(shapes, "Conv"), 32), classes)


def _variant_of_keras(shapes: Shapes, classes: int) -> Variant:
    count = sum(name.endswith("_project/kernel") for name in shapes)
    names = (f"expanded_conv_{index}" if index else "expanded_conv" for index in range(count))
    widths = [keras_width(shapes, f"{name}_project") for name in names]
    return _variant(widths, _excites(shapes), classes)


def _excites(shapes: Shapes) -> bool:
    return any("squeeze_excite" in name for name in shapes)


def _variant_of_torchvision(shapes: Shapes, classes: int) -> Variant:
    def width(index: int) -> int:
        # The projection is the last of a block's parts.
        projections = [f"features.{index + 1}.block.{part}.0" for part in (3, 2, 1)]
        found = next(p for p in projections if f"{p}.weight" in shapes)
        return torch_width(shapes, found)

    count = len({m[1] for name in shapes if (m := re.match(r"features\.(\d+)\.block", name))})
    excites = any(".fc1." in name for name in shapes)
    return _variant([width(index) for index in range(count)], excites, classes)


_LARGE_STAGES, _SMALL_STAGES = (1, 2, 3, 4, 2, 3, 1), (1, 2, 3, 2, 3, 1)


def _variant_of_timm(shapes: Shapes, classes: int) -> Variant:
    large = "blocks.6.0.conv.weight" in shapes
    # Without the last convolution, which timm counts among the blocks.
    widths = timm_block_widths(shapes, (_LARGE_STAGES if large else _SMALL_STAGES)[:-1])
    excites = any(".se." in name for name in shapes)
    return _variant(widths, excites, classes, torch_width(shapes, "conv_stem"))


# Its layers' names elsewhere.


def _keras_units(units: Sequence[str]) -> Iterator[tuple[str, str]]:
    excite = {
        "squeeze_excite.reduce": "squeeze_excite_conv",
        "squeeze_excite.expand": "squeeze_excite_conv_1",
    }
    for number, parts in blocks(units).items():
        prefix = f"expanded_conv_{number - 2}_" if number > 2 else "expanded_conv_"
        for part in parts:
            if part:
                yield f"layer_{number}.{part}", prefix + excite.get(part, f"{part}{{,_bn}}")
            else:
                yield f"layer_{number}", "conv{,_bn}" if number == 1 else "conv_1{,_bn}"
    yield "Conv_2", "conv_2"
    yield LOGITS, "logits"


def _torchvision_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    excite = {"squeeze_excite.reduce": "fc1", "squeeze_excite.expand": "fc2"}
    for number, parts in blocks(units).items():
        block = f"features.{number - 1}"
        order = list(dict.fromkeys(part.partition(".")[0] for part in parts))
        for part in parts:
            index = order.index(part.partition(".")[0])
            inner = f".block.{index}." if part else "."
            yield (
                f"layer_{number}.{part}" if part else f"layer_{number}",
                block + inner + excite.get(part, "{0,1}"),
            )
    yield "Conv_2", "classifier.0"
    yield LOGITS, "classifier.3"


def _timm_units(stages: Sequence[int], units: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from layer_units(units, stages)
    yield "Conv_2", "conv_head"
    yield LOGITS, "classifier"


def _timm_naming(network: str, stages: Sequence[int], *absent: str) -> StateDictNaming:
    last = len(stages) - 1
    return StateDictNaming(
        networks=(network,),
        origin=ORIGIN,
        signature=("conv_stem.weight", "blocks.0.0.conv_dw.weight", f"blocks.{last}.0.conv.weight"),
        absent=absent,
        name_units=lambda units, model: _timm_units(stages, units),
        variant=_variant_of_timm,
        classifier="classifier",
        dense=("classifier",),
        before_classifier=("conv_head",),
        requires=_PADS,
        lacks=("reduced_tail",),
    )


_URL = "https://storage.googleapis.com/mobilenet_v3/checkpoints"
_EDGETPU_URL = "https://storage.googleapis.com/mobilenet_edgetpu/checkpoints"
_L, _S, _E = "mobilenet_v3_large", "mobilenet_v3_small", "mobilenet_edgetpu"
_TF = replace(TIMM_HALF, interpolation="bilinear")
_TORCH = {"requires": _PADS, "epsilon": 1e-3}
_SOURCES = (
    torchvision(_L, "mobilenet_v3_large-5c1a4163", 75.274, 92.566, TORCHVISION_232, **_TORCH),
    torchvision(_L, "mobilenet_v3_large-8738ca79", 74.042, 91.340, **_TORCH),
    torchvision(_S, "mobilenet_v3_small-047dcff4", 67.668, 87.402, **_TORCH),
    timm(_L, "mobilenetv3_large_100.miil_in21k_ft_in1k", 77.920, 92.894, TIMM_PLAIN),
    timm(_L, "mobilenetv3_large_100.ra4_e3600_r224_in1k", 76.310, 92.842, TIMM_HALF, crop=0.95),
    timm(_L, "mobilenetv3_large_100.ra_in1k", 75.784, 92.528),
    timm(_L, "tf_mobilenetv3_large_100.in1k", 75.510, 92.600, _TF),
    timm(_L, "tf_mobilenetv3_large_075.in1k", 73.442, 91.332, _TF, depth_multiplier=0.75),
    timm(_L, "tf_mobilenetv3_large_minimal_100.in1k", 72.270, 90.664, _TF, minimalistic=True),
    timm(_S, "mobilenetv3_small_100.lamb_in1k", 67.636, 87.638),
    timm(_S, "mobilenetv3_small_075.lamb_in1k", 65.284, 85.462, depth_multiplier=0.75),
    timm(
        _S,
        "mobilenetv3_small_050.lamb_in1k",
        57.918,
        80.144,
        requires={"fixed_stem": True},
        depth_multiplier=0.5,
    ),
    timm(_S, "tf_mobilenetv3_small_100.in1k", 67.922, 87.686, _TF),
    timm(_S, "tf_mobilenetv3_small_075.in1k", 65.706, 86.130, _TF, depth_multiplier=0.75),
    timm(_S, "tf_mobilenetv3_small_minimal_100.in1k", 62.892, 84.270, _TF, minimalistic=True),
    # Accuracies of TF-Slim's `mobilenet/README.md`.
    tf_slim(_L, "v3-large_224_1.0_float", _URL, 75.2),
    tf_slim(_L, "v3-large_224_0.75_float", _URL, 73.3, depth_multiplier=0.75),
    tf_slim(_L, "v3-large-minimalistic_224_1.0_float", _URL, 72.3, minimalistic=True),
    tf_slim(_S, "v3-small_224_1.0_float", _URL, 67.5),
    tf_slim(_S, "v3-small_224_0.75_float", _URL, 65.4, depth_multiplier=0.75),
    tf_slim(_S, "v3-small-minimalistic_224_1.0_float", _URL, 61.9, minimalistic=True),
    tf_slim(_E, "mobilenet_edgetpu_224_1.0", _EDGETPU_URL, 75.6),
    tf_slim(_E, "mobilenet_edgetpu_224_0.75", _EDGETPU_URL, 73.5, depth_multiplier=0.75),
)
_ROWS = (
    # name                                 builder             options                     input     params     multiply-adds  top-1 int8
    Row("mobilenet_v3_large",              mobilenet_v3_large, {},                         IMAGENET, 5_507_432, 216_589_760,   75.2, 73.9),
    Row("mobilenet_v3_large_075",          mobilenet_v3_large, {"depth_multiplier": 0.75}, IMAGENET, 4_012_616, 154_560_624,   73.3),
    Row("mobilenet_v3_large_minimalistic", mobilenet_v3_large, {"minimalistic": True},     IMAGENET, 3_948_688, 209_136_704,   72.3, 71.3),
    Row("mobilenet_v3_large_reduced_tail", mobilenet_v3_large, {"reduced_tail": True},     IMAGENET, 2_588_472, 182_302_720),
    Row("mobilenet_v3_small",              mobilenet_v3_small, {},                         IMAGENET, 2_554_968, 56_510_400,    67.5, 64.9),
    Row("mobilenet_v3_small_075",          mobilenet_v3_small, {"depth_multiplier": 0.75}, IMAGENET, 2_051_552, 43_399_344,    65.4),
    Row("mobilenet_v3_small_050",          mobilenet_v3_small, {"depth_multiplier": 0.5, "fixed_stem": True}, IMAGENET, 1_599_720, 24_188_688,    57.9),
    Row("mobilenet_v3_small_minimalistic", mobilenet_v3_small, {"minimalistic": True},     IMAGENET, 2_056_848, 52_288_448,    61.9),
    Row("mobilenet_v3_small_reduced_tail", mobilenet_v3_small, {"reduced_tail": True},     IMAGENET, 1_108_616, 43_763_584),
    Row("mobilenet_edgetpu",               mobilenet_edgetpu,  {},                         IMAGENET, 4_130_312, 990_669_184,   75.6),
)  # fmt: skip

FAMILY = register(
    Family(
        name="mobilenet_v3",
        paper="1905.02244",
        rows=_ROWS,
        styles={"mobilenetv3": INCEPTION, "mobilenetedgetpu": INCEPTION},
        variant=_variant_of_model,
        shape_options=("depth_multiplier", "reduced_tail", "minimalistic"),
        before_classifier=("Conv_2",),
        sources=_SOURCES,
        checkpoints=(
            CheckpointNaming(
                scope="MobilenetV3",
                name_units=inverted_units,
                variant=_variant_of_checkpoint,
                classifier=("Conv_2", "Logits/Conv2d_1c_1x1"),
            ),
            CheckpointNaming(
                scope="MobilenetEdgeTPU",
                name_units=inverted_units,
                variant=_edgetpu_of_checkpoint,
            ),
        ),
        keras_models=(
            KerasNaming(
                title="MobileNetV3",
                pattern=r"expanded_conv_\d+_(expand|depthwise|project|squeeze_excite)",
                name_units=_keras_units,
                variant=_variant_of_keras,
                classifier=("conv_2", "logits"),
            ),
        ),
        state_dicts=(
            StateDictNaming(
                networks=(_L, _S),
                origin="torchvision",
                signature=("features.0.0.weight", "features.1.block.0.0.weight"),
                name_units=_torchvision_units,
                variant=_variant_of_torchvision,
                classifier="classifier.3",
                dense=("classifier.0", "classifier.3"),
                epsilon=1e-3,
                requires=_PADS,
                lacks=("minimalistic", "fixed_stem"),
            ),
            _timm_naming(_L, _LARGE_STAGES),
            _timm_naming(_S, _SMALL_STAGES, "blocks.6.0.conv.weight"),
        ),
    )
)
