"""MobileNetV2: inverted residuals with linear bottlenecks.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv 1801.04381).
Facts of the construction: TF-Slim `nets/mobilenet/mobilenet_v2.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope
from slimnets.builder import EndPoints
from slimnets.conv_defs import Conv, Factor, InvertedResidual, make_divisible
from slimnets.network import (
    Body,
    body_keywords,
    classifier,
    image_input,
    keywords_of,
    scopes,
    takes_weights,
)
from slimnets.scopes import training_scope
from slimnets.weights.families import CIFAR10, CIFAR100, IMAGENET, Family, Row, register
from slimnets.weights.keras_applications import width as keras_width
from slimnets.weights.namings import CheckpointNaming, KerasNaming, Shapes, StateDictNaming
from slimnets.weights.sources import (
    INCEPTION,
    SMALL_PICTURES,
    TORCHVISION_232,
    tf_slim_by_size,
    timm,
    torchvision,
)
from slimnets.weights.state_dicts import width as torch_width
from slimnets.weights.tf_slim import block_widths, inverted_units
from slimnets.weights.tf_slim import width as slim_width
from slimnets.weights.timm_names import ORIGIN, layer_units
from slimnets.weights.timm_names import PADS as _PADS
from slimnets.weights.units import LOGITS, block_outputs, blocks, convolution
from slimnets.weights.variants import Variant, min_depth, multiplier


def _blocks(t: int, c: int, n: int, s: int, **kwargs: Any) -> tuple[InvertedResidual, ...]:
    """A row of the paper's table 2: n blocks of expansion t and depth c, the first of stride s."""
    return tuple(
        InvertedResidual(3, Factor(t), c, False, None, s if i == 0 else 1, **kwargs)
        for i in range(n)
    )


# Table 2 of the paper.
MOBILENET_V2_DEFS = (
    Conv(3, 2, 32),
    #       t  c    n  s
    *_blocks(1, 16,  1, 1),
    *_blocks(6, 24,  2, 2),
    *_blocks(6, 32,  3, 2),
    *_blocks(6, 64,  4, 2),
    *_blocks(6, 96,  3, 1),
    *_blocks(6, 160, 3, 2),
    *_blocks(6, 320, 1, 1),
    Conv(1, 1, 1280, shrink=False),
)  # fmt: skip

# For 32×32 images and 10 classes: every stride-1 block is residual, by a projection if need be.
_KUANGLIU = {"residual": "project", "always_expand": True}
MOBILENET_V2_CIFAR10_DEFS = (
    Conv(3, 1, 32),
    *_blocks(1, 16,  1, 1, **_KUANGLIU),
    *_blocks(6, 24,  2, 1, **_KUANGLIU),
    *_blocks(6, 32,  3, 2, **_KUANGLIU),
    *_blocks(6, 64,  4, 2, **_KUANGLIU),
    *_blocks(6, 96,  3, 1, **_KUANGLIU),
    *_blocks(6, 160, 3, 2, **_KUANGLIU),
    *_blocks(6, 320, 1, 1, **_KUANGLIU),
    Conv(1, 1, 1280, shrink=False),
)  # fmt: skip

# For 32×32 images and 100 classes: a 1×1 stem on a padded image, and only three halvings.
MOBILENET_V2_CIFAR100_DEFS = (
    Conv(1, 1, 32),
    *_blocks(1, 16,  1, 1, always_expand=True),
    *_blocks(6, 24,  2, 2),
    *_blocks(6, 32,  3, 2),
    *_blocks(6, 64,  4, 2),
    *_blocks(6, 96,  3, 1),
    *_blocks(6, 160, 3, 1),
    *_blocks(6, 320, 1, 1),
    Conv(1, 1, 1280, shrink=False),
)  # fmt: skip


_BODY = Body(MOBILENET_V2_DEFS, training_scope)


@body_keywords
def mobilenet_v2_base(
    inputs: Any, *args: Any, shrink_last: bool = False, **kwargs: Any
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV2 up to `final_endpoint`.

    End points are `layer_1` (stem) … `layer_19` (last convolution), and a block's
    `layer_i/expansion_output`, `layer_i/depthwise_output`, `layer_i/output`. Widths are rounded to
    multiples of 8. Arguments, result and errors: `slimnets.network.Body.build`.

    Args:
        shrink_last: α < 1 also narrows the last convolution (1280), which it otherwise leaves.
    """
    body = replace(_BODY, prepare=_shrink_last) if shrink_last else _BODY
    return body.build(inputs, *args, **kwargs)


def _shrink_last(table: Sequence[Any]) -> tuple[Any, ...]:
    last = table[-1]
    return (*table[:-1], replace(last, shrink=True) if isinstance(last, Conv) else last)


@takes_weights
@keywords_of(mobilenet_v2_base, classifier)
def mobilenet_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    name: str = "MobilenetV2",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV2, (B, H, W, C) → (B, num_classes).

    Args:
        dropout_keep_prob: share of the pooled features kept in training; None: the scope's 0.8.
        global_pool: False leaves the map unpooled, for dense prediction (with
            spatial_squeeze=False).
        weights: as in `slimnets.load_weights`; None: freshly initialized.
        arg_scope: default arguments for this call (`training_scope(...)`).
        name: of the model; the default is TF-Slim's variable scope.

    The other arguments and the errors: `slimnets.network.classifier` and `mobilenet_v2_base`.
    """
    return classifier(input_shape, mobilenet_v2_base, training_scope(), name=name, **kwargs)


def mobilenet_v2_140(input_shape: Sequence[int | None] = (224, 224, 3), **kwargs) -> keras.Model:
    """`mobilenet_v2` at depth_multiplier 1.4."""
    return mobilenet_v2(input_shape, depth_multiplier=1.4, **kwargs)


def mobilenet_v2_050(input_shape: Sequence[int | None] = (224, 224, 3), **kwargs) -> keras.Model:
    """`mobilenet_v2` at depth_multiplier 0.5."""
    return mobilenet_v2(input_shape, depth_multiplier=0.5, **kwargs)


def mobilenet_v2_035(input_shape: Sequence[int | None] = (224, 224, 3), **kwargs) -> keras.Model:
    """`mobilenet_v2` at depth_multiplier 0.35."""
    return mobilenet_v2(input_shape, depth_multiplier=0.35, **kwargs)


@takes_weights
def mobilenet_v2_cifar10(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int | None = 10,
    arg_scope: Scope | None = None,
    name: str = "MobilenetV2Cifar10",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV2 for 32×32 images: `MOBILENET_V2_CIFAR10_DEFS`, plain ReLU, fixed padding.

    Same keywords as `mobilenet_v2`; batch norm as in PyTorch (momentum 0.9, epsilon 1e-5), weight
    decay 5e-4, no dropout. 2,296,922 trainable parameters, 91,154,944 MACs at 32×32.
    """
    defaults = {"conv_defs": MOBILENET_V2_CIFAR10_DEFS, "use_explicit_padding": True}
    with scopes(_cifar_scope("relu"), arg_scope):
        return mobilenet_v2(input_shape, num_classes=num_classes, name=name, **(defaults | kwargs))


@takes_weights
def mobilenet_v2_cifar100(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    inputs: Any = None,
    num_classes: int | None = 100,
    arg_scope: Scope | None = None,
    name: str = "MobilenetV2Cifar100",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV2 for 32×32 images: `MOBILENET_V2_CIFAR100_DEFS`, biases, a 1×1 stem.

    The image is padded by one pixel, so maps are 34, 17, 9 and 5 wide. Same keywords as
    `mobilenet_v2`; batch norm as in PyTorch, weight decay 5e-4, fixed padding, no dropout.
    2,369,380 trainable parameters, 64,947,264 MACs at 32×32.
    """
    biased = {"use_bias": True}
    scope = _cifar_scope("relu6")
    scope = scope | {"conv": scope["conv"] | biased, "depthwise": scope["depthwise"] | biased}
    defaults = {"conv_defs": MOBILENET_V2_CIFAR100_DEFS, "use_explicit_padding": True}
    image = image_input(input_shape, inputs)
    padded = keras.layers.ZeroPadding2D(1, name="layer_1.pad")(image)
    with scopes(scope, arg_scope):
        return mobilenet_v2(
            inputs=padded, num_classes=num_classes, name=name, **(defaults | kwargs)
        )


def _cifar_scope(activation: str) -> dict[str, Any]:
    return dict(
        training_scope(
            weight_decay=5e-4,
            dropout_keep_prob=1.0,
            bn_decay=0.9,
            bn_epsilon=1e-5,
            activation=activation,
        )
    )


# What a state dict or a model of this family is, told from its widths.


def _variant(last_block: int, last_conv: int, classes: int, first_block: int = 0) -> Variant:
    """From the widths of the last block, of the convolution after it, and of the first block."""
    options: dict[str, Any] = dict(multiplier(last_block, 320))
    alpha = options.get("depth_multiplier", 1.0)
    if alpha < 1 and last_conv == make_divisible(1280 * alpha):
        options["shrink_last"] = True
    options |= min_depth(first_block, make_divisible(16 * alpha))
    return Variant("mobilenet_v2", options, classes)


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    layers = blocks(units)
    inverted = [number for number, parts in layers.items() if "project" in parts]
    if not inverted or not all(_is_ours(model, n, layers[n]) for n in inverted):
        return None
    # Of the tables of inverted residuals, this family's begin with a plain block, then t = 6.
    second = convolution(model, f"layer_{inverted[1]}.expand")
    if second.filters != 6 * second.input.shape[-1]:
        return None
    outputs = block_outputs(model, units)
    last_conv = convolution(model, f"layer_{inverted[-1] + 1}")
    variant = _variant(outputs[-1], last_conv.filters, classes, outputs[0])
    if "expand" in layers[inverted[0]]:
        form = "cifar100" if convolution(model, "layer_1").use_bias else "cifar10"
        return Variant(f"mobilenet_v2_{form}", variant.options, classes)
    return variant


def _is_ours(model: Any, number: int, parts: Sequence[str]) -> bool:
    """Whether a block has a 3×3 depthwise convolution and no squeeze-excite."""
    if "depthwise" not in parts or "squeeze_excite.reduce" in parts:
        return False
    return convolution(model, f"layer_{number}.depthwise").kernel_size == (3, 3)


def _variant_of_checkpoint(shapes: Shapes, classes: int) -> Variant:
    widths = block_widths(shapes)
    return _variant(widths[-1], slim_width(shapes, "Conv_1"), classes, widths[0])


def _variant_of_keras(shapes: Shapes, classes: int) -> Variant:
    widths = keras_width(shapes, "block_16_project"), keras_width(shapes, "Conv_1")
    return _variant(*widths, classes)


def _variant_of_torchvision(shapes: Shapes, classes: int) -> Variant:
    widths = torch_width(shapes, "features.17.conv.2"), torch_width(shapes, "features.18.0")
    return _variant(*widths, classes)


def _variant_of_timm(shapes: Shapes, classes: int) -> Variant:
    widths = torch_width(shapes, "blocks.6.0.conv_pwl"), torch_width(shapes, "conv_head")
    return _variant(*widths, classes)


def _variant_of_cifar10(shapes: Shapes, classes: int) -> Variant:
    options = multiplier(torch_width(shapes, "layers.16.conv3"), 320)
    return Variant("mobilenet_v2_cifar10", options, classes)


def _variant_of_cifar100(shapes: Shapes, classes: int) -> Variant:
    options = multiplier(torch_width(shapes, "stage7.residual.6"), 320)
    return Variant("mobilenet_v2_cifar100", options, classes)


# Its layers' names elsewhere.


def _keras_units(units: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, parts in blocks(units).items():
        prefix = f"block_{number - 2}_" if number > 2 else "expanded_conv_"
        for part in parts:
            if part:
                yield f"layer_{number}.{part}", f"{prefix}{part}{{,_BN}}"
            else:
                yield f"layer_{number}", "{Conv1,bn_Conv1}" if number == 1 else "Conv_1{,_bn}"
    yield LOGITS, "predictions"


def _torchvision_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    for number, parts in blocks(units).items():
        block = f"features.{number - 1}"
        if parts == [""]:
            yield f"layer_{number}", block + ".{0,1}"
            continue
        for index, part in enumerate(parts):
            projection = f".conv.{{{index},{index + 1}}}"
            inner = projection if part == "project" else f".conv.{index}.{{0,1}}"
            yield f"layer_{number}.{part}", block + inner
    yield LOGITS, "classifier.1"


def _timm_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    yield from layer_units(units, (1, 2, 3, 4, 3, 3, 1))
    yield LOGITS, "classifier"


def _cifar10_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    inner = {
        "expand": "{conv1,bn1}",
        "depthwise": "{conv2,bn2}",
        "project": "{conv3,bn3}",
        "shortcut": "shortcut.{0,1}",
    }
    for number, parts in blocks(units).items():
        for part in parts:
            if part:
                yield f"layer_{number}.{part}", f"layers.{number - 2}.{inner[part]}"
            else:
                yield f"layer_{number}", "{conv1,bn1}" if number == 1 else "{conv2,bn2}"
    yield LOGITS, "linear"


def _cifar100_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    inner = {"expand": "{0,1}", "depthwise": "{3,4}", "project": "{6,7}"}
    inverted = [number for number, parts in blocks(units).items() if "project" in parts]
    stages: list[list[int]] = []
    width = None
    for number in inverted:
        # Each stage has its own width.
        previous, width = width, convolution(model, f"layer_{number}.project").filters
        if width != previous:
            stages.append([])
        stages[-1].append(number)
    for count, stage in enumerate(stages, start=1):
        for index, number in enumerate(stage):
            prefix = f"stage{count}" if len(stage) == 1 else f"stage{count}.{index}"
            for part, place in inner.items():
                yield f"layer_{number}.{part}", f"{prefix}.residual.{place}"
    for number, parts in blocks(units).items():
        if parts == [""]:
            yield f"layer_{number}", "pre.{0,1}" if number == 1 else "conv1.{0,1}"
    yield LOGITS, "conv2"


_CIFAR = "the PyTorch CIFAR form"
_URL = "https://storage.googleapis.com/mobilenet_v2/checkpoints"
_SIZES = (224, 192, 160, 128, 96)
# Depth multiplier: (top-1, top-5) at each resolution. Source: TF-Slim's `mobilenet/README.md`.
_ACCURACY = {
    1.4: ((75.0, 92.5),),
    1.3: ((74.4, 92.1),),
    1.0: ((71.8, 91.0), (70.7, 90.1), (68.8, 89.0), (65.3, 86.9), (60.3, 83.2)),
    0.75: ((69.8, 89.6), (68.7, 88.9), (66.4, 87.3), (63.2, 85.3), (58.8, 81.6)),
    0.5: ((65.4, 86.4), (63.9, 85.4), (61.0, 83.2), (57.7, 80.8), (51.2, 75.8)),
    0.35: ((60.3, 82.9), (58.2, 81.2), (55.7, 79.1), (50.8, 75.0), (45.5, 70.4)),
}
_ROWS = (
    # name                        builder                options                     input     params     multiply-adds  top-1
    Row("mobilenet_v2_140",       mobilenet_v2,          {"depth_multiplier": 1.4},  IMAGENET, 6_156_712, 582_195_824,   75.0),
    Row("mobilenet_v2_130",       mobilenet_v2,          {"depth_multiplier": 1.3},  IMAGENET, 5_431_048, 509_374_560,   74.4),
    Row("mobilenet_v2",           mobilenet_v2,          {},                         IMAGENET, 3_538_984, 300_774_272,   71.8),
    Row("mobilenet_v2_075",       mobilenet_v2,          {"depth_multiplier": 0.75}, IMAGENET, 2_663_064, 209_069_792,   69.8),
    Row("mobilenet_v2_050",       mobilenet_v2,          {"depth_multiplier": 0.5},  IMAGENET, 1_987_224, 97_131_840,    65.4),
    Row("mobilenet_v2_035",       mobilenet_v2,          {"depth_multiplier": 0.35}, IMAGENET, 1_691_208, 59_285_808,    60.3),
    Row("mobilenet_v2_cifar10",   mobilenet_v2_cifar10,  {},                         CIFAR10,  2_332_010, 91_154_944),
    Row("mobilenet_v2_cifar100",  mobilenet_v2_cifar100, {},                         CIFAR100, 2_403_556, 64_947_264),
)  # fmt: skip

FAMILY = register(
    Family(
        name="mobilenet_v2",
        paper="1801.04381",
        rows=_ROWS,
        styles={"mobilenetv2": INCEPTION, "mobilenetv2cifar": SMALL_PICTURES},
        variant=_variant_of_model,
        shape_options=("depth_multiplier", "shrink_last"),
        sources=(
            torchvision("mobilenet_v2", "mobilenet_v2-b0353104", 71.878, 90.286, requires=_PADS),
            torchvision(
                "mobilenet_v2",
                "mobilenet_v2-7ebf99e0",
                72.154,
                90.822,
                TORCHVISION_232,
                requires=_PADS,
            ),
            timm("mobilenet_v2", "mobilenetv2_100.ra_in1k", 72.910, 91.000),
            timm("mobilenet_v2", "mobilenetv2_140.ra_in1k", 76.528, 93.008, depth_multiplier=1.4),
            timm("mobilenet_v2", "mobilenetv2_050.lamb_in1k", 65.928, 86.114, depth_multiplier=0.5),
            *tf_slim_by_size("mobilenet_v2", _URL, _SIZES, _ACCURACY),
        ),
        checkpoints=(
            CheckpointNaming(
                scope="MobilenetV2", name_units=inverted_units, variant=_variant_of_checkpoint
            ),
        ),
        keras_models=(
            KerasNaming(
                title="MobileNetV2",
                pattern=r"block_\d+_(expand|depthwise|project)(_BN)?/",
                name_units=_keras_units,
                variant=_variant_of_keras,
                classifier=("predictions",),
                dense=("predictions",),
            ),
        ),
        state_dicts=(
            StateDictNaming(
                networks=("mobilenet_v2",),
                origin="torchvision",
                signature=("features.0.0.weight", "features.1.conv.0.0.weight"),
                name_units=_torchvision_units,
                variant=_variant_of_torchvision,
                classifier="classifier.1",
                dense=("classifier.1",),
                requires=_PADS,
            ),
            StateDictNaming(
                networks=("mobilenet_v2",),
                origin=ORIGIN,
                signature=("conv_stem.weight", "blocks.3.3.conv_pwl.weight", "conv_head.weight"),
                absent=("blocks.5.3.conv_pwl.weight", "blocks.6.0.conv.weight"),
                name_units=_timm_units,
                variant=_variant_of_timm,
                classifier="classifier",
                dense=("classifier",),
                requires=_PADS,
            ),
            StateDictNaming(
                networks=("mobilenet_v2_cifar10",),
                origin=_CIFAR,
                signature=("layers.0.conv1.weight", "layers.0.conv3.weight", "conv2.weight"),
                name_units=_cifar10_units,
                variant=_variant_of_cifar10,
                classifier="linear",
                dense=("linear",),
            ),
            StateDictNaming(
                networks=("mobilenet_v2_cifar100",),
                origin=_CIFAR,
                signature=("pre.0.weight", "stage1.residual.0.weight"),
                name_units=_cifar100_units,
                variant=_variant_of_cifar100,
                classifier="conv2",
            ),
        ),
    )
)
