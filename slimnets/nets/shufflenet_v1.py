"""ShuffleNetV1: grouped 1×1 convolutions, and a channel shuffle that lets groups talk.

Zhang et al. 2017, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
Devices" (arXiv 1707.01083).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.builder import Site, block
from slimnets.conv_defs import Conv, MaxPool, check_positive
from slimnets.network import classifier, fixed_width_network, keywords_of, takes_weights
from slimnets.scopes import pytorch_scope
from slimnets.weights.families import CIFAR100, IMAGENET, Family, Row, register
from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.sources import SMALL_PICTURES, TORCHVISION
from slimnets.weights.state_dicts import width as torch_width
from slimnets.weights.units import LOGITS, convolution, rename
from slimnets.weights.variants import Variant


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
        check_positive(self, depth=self.depth, groups=self.groups, stride=self.stride)


# Table 1 of the paper: depths of stages 2, 3 and 4 by the number of groups.
WIDTHS = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
UNITS = (4, 8, 4)


def _stages(widths: Sequence[int], groups: int, group_very_first: bool) -> tuple[Any, ...]:
    return tuple(
        ShuffleUnit(depth, groups, 1 if i else 2, group_very_first or stage > 0 or i > 0)
        for stage, (depth, units) in enumerate(zip(widths, UNITS, strict=True))
        for i in range(units)
    )


def shufflenet_v1_defs(groups: int = 3, scale: float = 1.0) -> tuple[Any, ...]:
    """Table 1 of the paper for one number of groups; `scale` multiplies the stages' depths.

    Raises:
        ValueError: groups not 1, 2, 3, 4 or 8, or a scale at which groups do not divide channels.
    """
    widths = _widths(groups, scale)
    return (Conv(3, 2, 24), MaxPool(3, 2, "fixed"), *_stages(widths, groups, False))


def shufflenet_v1_cifar_defs(groups: int = 3, scale: float = 1.0) -> tuple[Any, ...]:
    """For 32×32 images: a stem without stride or pool, and the very first 1×1 grouped as well."""
    widths = _widths(groups, scale)
    if groups == 1 and scale == 1:
        widths = (*widths[:2], 567)  # the reference's own last depth
    return (Conv(3, 1, 24), *_stages(widths, groups, True))


def _widths(groups: int, scale: float) -> tuple[int, ...]:
    if groups not in WIDTHS:
        raise ValueError(f"groups must be one of {', '.join(map(str, WIDTHS))}, got {groups!r}.")
    if not isinstance(scale, int | float) or not scale > 0:
        raise ValueError(f"scale must be a number greater than 0, got {scale!r}.")
    return tuple(int(width * scale) for width in WIDTHS[groups])


def channel_shuffle(x: Any, groups: int, name: str) -> Any:
    """Output channel i·g + k takes input channel k·n + i (g groups of n): (B, H, W, C) → same."""
    height, width, channels = x.shape[1:]
    if groups == 1:
        return x
    if height is None or width is None:
        # No reshape can name two unknown sizes; gathering the channels can do without.
        order = [
            k * (channels // groups) + i for i in range(channels // groups) for k in range(groups)
        ]
        return keras.ops.take(x, order, axis=-1)
    x = keras.layers.Reshape((height, width, groups, channels // groups), name=f"{name}.split")(x)
    x = keras.layers.Permute((1, 2, 4, 3), name=f"{name}.transpose")(x)
    return keras.layers.Reshape((height, width, channels), name=f"{name}.join")(x)


@block(ShuffleUnit)
def _unit(x: Any, record: ShuffleUnit, site: Site) -> Iterator[tuple[str, Any]]:
    name, groups, inputs = site.name, record.groups, x.shape[-1]
    bottleneck = record.depth // 4
    main = record.depth - (inputs if record.stride == 2 else 0)
    first_groups = groups if record.group_first else 1
    for what, channels, by in (
        ("input channels", inputs, first_groups),
        ("bottleneck channels", bottleneck, groups),
        ("main branch's channels", main, groups),
    ):
        if channels < 1 or channels % by:
            raise ValueError(
                f"{name}: groups={by} does not divide the {channels} {what} of "
                f"{record}. Choose another scale or number of groups."
            )
    net = layers.conv(x, bottleneck, groups=first_groups, name=f"{name}.reduce")
    net = channel_shuffle(net, groups, f"{name}.shuffle")
    net = layers.depthwise(net, 3, stride=site.stride, name=f"{name}.depthwise")
    net = layers.conv(net, main, groups=groups, activation="linear", name=f"{name}.expand")
    if record.stride == 2:
        # PyTorch's AvgPool2d(3, 2, padding=1), which counts the zeros that it pads.
        shortcut = keras.layers.ZeroPadding2D(1, name=f"{name}.pool.pad")(x)
        shortcut = keras.layers.AveragePooling2D(3, 2, name=f"{name}.pool")(shortcut)
        net = keras.layers.Concatenate(name=f"{name}.concat")([shortcut, net])
    else:
        net = keras.layers.Add(name=f"{name}.add")([x, net])
    yield name, layers.activate(net, "relu", name, end_point=name)


def _names(conv_defs: Sequence[Any]) -> Iterator[str]:
    """conv1, maxpool, then stage2_0, stage2_1, …: a unit of stride 2 begins a stage."""
    stage, unit = 1, 0
    for record in conv_defs:
        if isinstance(record, ShuffleUnit):
            stage, unit = (stage + 1, 0) if record.stride == 2 else (stage, unit + 1)
            yield f"stage{stage}_{unit}"
        else:
            yield "maxpool" if isinstance(record, MaxPool) else "conv1"


def _scope(weight_decay: float) -> dict[str, Any]:
    # The depthwise convolution is followed by batch norm only (the paper's section 3.2).
    scope = pytorch_scope(weight_decay)
    return scope | {"depthwise": scope["depthwise"] | {"activation": "linear"}}


@takes_weights
@keywords_of(fixed_width_network, classifier)
def shufflenet_v1(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    groups: int = 3,
    scale: float = 1.0,
    num_classes: int | None = 1000,
    conv_defs: Sequence[Any] | None = None,
    name: str = "ShuffleNetV1",
    **kwargs: Any,
) -> keras.Model:
    """ShuffleNetV1, (B, H, W, C) → (B, num_classes).

    Args:
        groups: of the 1×1 convolutions: 1, 2, 3, 4 or 8.
        scale: multiplies the stages' depths (the paper's 0.25×, 0.5×, 1×, …).
        conv_defs: the table; default `shufflenet_v1_defs(groups, scale)`.
        use_explicit_padding: fixed padding, as in PyTorch; False: SAME.
        weights: as in `slimnets.load_weights`; None: freshly initialized.

    The other arguments and the errors: `slimnets.network.classifier`; a ValueError also where
    groups do not divide the channels.
    """
    table = shufflenet_v1_defs(groups, scale) if conv_defs is None else conv_defs
    return fixed_width_network(
        input_shape,
        table,
        _names(table),
        _scope(4e-5),
        num_classes=num_classes,
        name=name,
        **kwargs,
    )


@takes_weights
@keywords_of(fixed_width_network, classifier)
def shufflenet_v1_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    groups: int = 3,
    scale: float = 1.0,
    num_classes: int | None = 100,
    conv_defs: Sequence[Any] | None = None,
    name: str = "ShuffleNetV1Cifar",
    **kwargs: Any,
) -> keras.Model:
    """ShuffleNetV1 for 32×32 images, all convolutions with biases. Keywords as `shufflenet_v1`."""
    table = shufflenet_v1_cifar_defs(groups, scale) if conv_defs is None else conv_defs
    scope, biased = _scope(5e-4), {"use_bias": True}
    scope = scope | {op: scope[op] | biased for op in ("conv", "depthwise")}
    return fixed_width_network(
        input_shape, table, _names(table), scope, num_classes=num_classes, name=name, **kwargs
    )


def _variant(groups: int, bottleneck: int, biased: bool, classes: int) -> Variant:
    """From the groups, the bottleneck's width in stage 3, and whether convolutions have biases."""
    options: dict[str, Any] = {} if groups == 3 else {"groups": groups}
    depth = WIDTHS.get(groups, (0, 4 * bottleneck))[1]
    if bottleneck != depth // 4:
        options["scale"] = round(4 * bottleneck / depth, 3)
    return Variant(f"shufflenet_v1{'_cifar' if biased else ''}", options, classes)


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    if "stage2_0.reduce" not in units:
        return None
    groups = convolution(model, "stage2_1.reduce").groups
    bottleneck = convolution(model, "stage3_0.reduce").filters
    return _variant(groups, bottleneck, convolution(model, "conv1").use_bias, classes)


def _variant_of_state_dict(shapes: Shapes, classes: int) -> Variant:
    outputs, inputs = shapes["stage2.1.bottlneck.0.pointwise.0.weight"][:2]
    bottleneck = torch_width(shapes, "stage3.0.bottlneck.0.pointwise.0")
    return _variant(4 * outputs // inputs, bottleneck, "conv1.conv.bias" in shapes, classes)


_TORCH_UNITS = {
    r"conv1": r"conv1.{conv,bn}",
    r"(stage\d)_(\d+)\.reduce": r"\1.\2.bottlneck.0.pointwise.{0,1}",
    r"(stage\d)_(\d+)\.depthwise": r"\1.\2.depthwise.depthwise.{0,1}",
    r"(stage\d)_(\d+)\.expand": r"\1.\2.expand.pointwise.{0,1}",
    re.escape(LOGITS): r"fc",
}
_ROWS = (
    # name                     builder              options        input     params     multiply-adds  top-1
    Row("shufflenet_v1_g1",    shufflenet_v1,       {"groups": 1}, IMAGENET, 1_546_624, 143_078_976,   66.4),
    Row("shufflenet_v1_g2",    shufflenet_v1,       {"groups": 2}, IMAGENET, 1_754_248, 140_836_512,   67.3),
    Row("shufflenet_v1",       shufflenet_v1,       {},            IMAGENET, 1_890_208, 137_460_672,   67.4),
    Row("shufflenet_v1_g4",    shufflenet_v1,       {"groups": 4}, IMAGENET, 1_996_088, 134_339_776,   67.2),
    Row("shufflenet_v1_g8",    shufflenet_v1,       {"groups": 8}, IMAGENET, 2_473_936, 138_365_952,   67.6),
    Row("shufflenet_v1_cifar", shufflenet_v1_cifar, {},            CIFAR100, 1_036_588, 41_693_952),
)  # fmt: skip

FAMILY = register(
    Family(
        name="shufflenet_v1",
        paper="1707.01083",
        rows=_ROWS,
        styles={"shufflenet": TORCHVISION, "shufflenetv1cifar": SMALL_PICTURES},
        variant=_variant_of_model,
        shape_options=("groups", "scale"),
        state_dicts=(
            StateDictNaming(
                networks=("shufflenet_v1", "shufflenet_v1_cifar"),
                origin="the PyTorch form",
                signature=("conv1.conv.weight", "stage2.0.bottlneck.0.pointwise.0.weight"),
                name_units=lambda units, model: rename(_TORCH_UNITS, units),
                variant=_variant_of_state_dict,
                classifier="fc",
                dense=("fc",),
            ),
        ),
    )
)
