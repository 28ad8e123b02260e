"""ShuffleNetV2, built without a transpose.

Ma et al. 2018, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design" (arXiv
1807.11164). Facts of the construction: torchvision `shufflenetv2.py`.

Splitting, concatenating and shuffling with two groups only rename channels, and a stage's units
are known when it is built. So no channel on an identity path is ever moved. Each channel waits
until the unit at which it enters the right branch, its *exit*, or until the stage ends. What a
convolution produces is stored sorted by exit, which costs nothing since a 1×1 convolution's output
order is free, and cut into one contiguous slice an exit. A unit's right branch reads the
concatenation of the slices that exit there; the stage's end reads the rest.

So a layer's channels stand in another order than the reference's; `channel_orders` says in which,
and importers and exporters of weights apply it.
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
from slimnets.weights.sources import SMALL_PICTURES, TORCHVISION, TORCHVISION_232, torchvision
from slimnets.weights.state_dicts import width as torch_width
from slimnets.weights.units import LOGITS, convolution, rename
from slimnets.weights.variants import Variant


@dataclass(frozen=True, slots=True)
class ShuffleStage:
    """A stage of ShuffleNetV2: one unit of stride 2, then `units - 1` of stride 1.

    The stage, not the unit, is the record: channels are routed over a whole stage at once.
    `keep_first`: the stride-2 unit's right branch keeps the input's channels in its first 1×1.
    Source: ShuffleNetV2, figure 3 (arXiv 1807.11164).
    """

    depth: int
    units: int
    keep_first: bool = False

    def __post_init__(self) -> None:
        check_positive(self, depth=self.depth, units=self.units)
        if self.depth % 2:
            raise ValueError(f"ShuffleStage: depth must be even, got {self.depth}.")

    stride = 2


# Table 5 of the paper (2×: torchvision's 976): depths of stages 2, 3, 4 and the last convolution.
WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


def _widths(ratio: float) -> tuple[int, ...]:
    if ratio not in WIDTHS:
        raise ValueError(f"ratio must be one of {', '.join(map(str, WIDTHS))}, got {ratio!r}.")
    return WIDTHS[ratio]


def shufflenet_v2_defs(ratio: float = 1.0) -> tuple[Any, ...]:
    """Table 5 of the paper for one ratio; ValueError for one that it does not have."""
    stage2, stage3, stage4, last = _widths(ratio)
    return (
        Conv(3, 2, 24),
        MaxPool(3, 2, "fixed"),
        ShuffleStage(stage2, 4),
        ShuffleStage(stage3, 8),
        ShuffleStage(stage4, 4),
        Conv(1, 1, last),
    )


def shufflenet_v2_cifar_defs(ratio: float = 1.0) -> tuple[Any, ...]:
    """For 32×32 images: a linear stem without stride or pool."""
    stage2, stage3, stage4, last = _widths(ratio)
    return (
        Conv(3, 1, 24, activation="linear"),
        ShuffleStage(stage2, 4, keep_first=True),
        ShuffleStage(stage3, 8, keep_first=True),
        ShuffleStage(stage4, 4, keep_first=True),
        Conv(1, 1, last),
    )


# A channel of a stage, by where it was produced: ("left", 3), (0, 3), (1, 7), … with the producing
# branch (the stride-2 unit's left one, or unit t's right one) and its channel in the reference.
Channel = tuple[str | int, int]


@dataclass(frozen=True)
class Routing:
    """Where every channel of one stage goes."""

    produced: dict[str | int, list[int]]  # branch → its channels in the order they are stored
    cuts: dict[str | int, list[tuple[int, int]]]  # branch → (exit, number of channels)
    reads: list[list[int]]  # unit t, then the end → reference positions of what it reads


def route(half: int, units: int) -> Routing:
    """Simulate a stage of `units` units on channel names; each branch makes `half` channels."""
    order: list[Channel] = [(branch, c) for c in range(half) for branch in ("left", 0)]
    exits: dict[Channel, int] = {}
    positions: dict[Channel, int] = {}
    for unit in range(1, units):
        stay, leave = order[:half], order[half:]
        exits |= dict.fromkeys(leave, unit)
        positions |= {channel: place for place, channel in enumerate(leave)}
        order = [ch for c in range(half) for ch in (stay[c], (unit, c))]
    exits |= dict.fromkeys(order, units)
    positions |= {channel: place for place, channel in enumerate(order)}

    branches: list[str | int] = ["left", *range(units)]
    produced = {b: sorted(range(half), key=lambda c: (exits[b, c], c)) for b in branches}
    reads: list[list[int]] = [[] for _ in range(units + 1)]
    for b in branches:
        for c in produced[b]:
            reads[exits[b, c]].append(positions[b, c])
    cuts = {}
    for b in branches:
        gone = [exits[b, c] for c in produced[b]]
        cuts[b] = [(e, gone.count(e)) for e in sorted(set(gone))]
    return Routing(produced, cuts, reads)


def _branch(x: Any, depth: int, stride: int, name: str, narrow: int | None = None) -> Any:
    """[1×1 to `narrow`] → depthwise 3×3 → 1×1: a branch of a unit."""
    if narrow is not None:
        x = layers.conv(x, narrow, name=f"{name}.reduce")
    x = layers.depthwise(x, 3, stride=stride, activation="linear", name=f"{name}.depthwise")
    return layers.conv(x, depth, name=f"{name}.expand")


def _join(tensors: list[Any], name: str) -> Any:
    """Concatenate at most five at a time: XNNPACK leaves longer concatenations to the CPU."""
    parts = 0
    while len(tensors) > 5:
        parts += 1
        head = keras.layers.Concatenate(name=f"{name}.part{parts}")(tensors[:5])
        tensors = [head, *tensors[5:]]
    return keras.layers.Concatenate(name=name)(tensors) if len(tensors) > 1 else tensors[0]


@block(ShuffleStage)
def _stage(x: Any, record: ShuffleStage, site: Site) -> Iterator[tuple[str, Any]]:
    half, name = record.depth // 2, site.name
    routing = route(half, record.units)
    waiting: list[list[Any]] = [[] for _ in range(record.units + 1)]

    def store(branch: str | int, tensor: Any) -> None:
        start = 0
        for exit_, channels in routing.cuts[branch]:
            whole = channels == half
            waiting[exit_].append(tensor if whole else tensor[..., start : start + channels])
            start += channels

    narrow = x.shape[-1] if record.keep_first else half
    store("left", _branch(x, half, 2, f"{name}.0.left"))
    store(0, _branch(x, half, 2, f"{name}.0.right", narrow))
    for unit in range(1, record.units):
        net = _join(waiting[unit], f"{name}.{unit}.concat")
        store(unit, _branch(net, half, 1, f"{name}.{unit}.right", half))
    yield name, _join(waiting[record.units], name)


def channel_orders(model: keras.Model) -> dict[str, tuple[list[int] | None, list[int] | None]]:
    """How the channels of a ShuffleNetV2 of ours stand, relative to the reference's.

    Returns:
        Name of a convolution without `.conv` (also of its batch norm, without `.bn`) →
        (input order, output order). Our channel i is the reference's channel order[i]; None
        where they agree. A depthwise convolution has the same order on both sides.

    Raises:
        ValueError: `model` has no stages named as ShuffleNetV2's.
    """
    names = {layer.name for layer in model.layers}
    orders: dict[str, tuple[list[int] | None, list[int] | None]] = {}
    before: list[int] | None = None  # order of what the stage reads
    for stage in ("stage2", "stage3", "stage4"):
        if f"{stage}.0.left.expand.conv" not in names:
            raise ValueError(f"Model {model.name!r} is no ShuffleNetV2: it has no {stage}.")
        half = model.get_layer(f"{stage}.0.left.expand.conv").filters
        units = sum(f"{stage}.{t}.right.expand.conv" in names for t in range(len(names)))
        routing = route(half, units)
        orders[f"{stage}.0.left.depthwise"] = (before, before)
        orders[f"{stage}.0.left.expand"] = (before, routing.produced["left"])
        orders[f"{stage}.0.right.reduce"] = (before, None)
        orders[f"{stage}.0.right.expand"] = (None, routing.produced[0])
        for t in range(1, units):
            orders[f"{stage}.{t}.right.reduce"] = (routing.reads[t], None)
            orders[f"{stage}.{t}.right.expand"] = (None, routing.produced[t])
        before = routing.reads[units]
    orders["conv5"] = (before, None)
    return orders


def _names(conv_defs: Sequence[Any]) -> Iterator[str]:
    """conv1, maxpool, stage2, stage3, stage4, conv5: torchvision's names."""
    stage = 1
    for record in conv_defs:
        if isinstance(record, ShuffleStage):
            stage += 1
            yield f"stage{stage}"
        elif isinstance(record, MaxPool):
            yield "maxpool"
        else:
            yield "conv1" if stage == 1 else f"conv{stage + 1}"


@takes_weights
@keywords_of(fixed_width_network, classifier)
def shufflenet_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    ratio: float = 1.0,
    num_classes: int | None = 1000,
    conv_defs: Sequence[Any] | None = None,
    name: str = "ShuffleNetV2",
    **kwargs: Any,
) -> keras.Model:
    """ShuffleNetV2, (B, H, W, C) → (B, num_classes), with no transpose in its graph.

    Args:
        ratio: 0.5, 1.0, 1.5 or 2.0.
        conv_defs: the table; default `shufflenet_v2_defs(ratio)`.
        use_explicit_padding: fixed padding, as in PyTorch; False: SAME.
        weights: as in `slimnets.load_weights`; None: freshly initialized.

    The other arguments and the errors: `slimnets.network.classifier`.
    """
    table = shufflenet_v2_defs(ratio) if conv_defs is None else conv_defs
    return fixed_width_network(
        input_shape,
        table,
        _names(table),
        pytorch_scope(4e-5),
        num_classes=num_classes,
        name=name,
        **kwargs,
    )


@takes_weights
@keywords_of(fixed_width_network, classifier)
def shufflenet_v2_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    ratio: float = 1.0,
    num_classes: int | None = 100,
    conv_defs: Sequence[Any] | None = None,
    name: str = "ShuffleNetV2Cifar",
    **kwargs: Any,
) -> keras.Model:
    """ShuffleNetV2 for 32×32 images, all convolutions with biases. Keywords as `shufflenet_v2`."""
    table = shufflenet_v2_cifar_defs(ratio) if conv_defs is None else conv_defs
    scope, biased = pytorch_scope(5e-4), {"use_bias": True}
    scope = scope | {op: scope[op] | biased for op in ("conv", "depthwise")}
    return fixed_width_network(
        input_shape, table, _names(table), scope, num_classes=num_classes, name=name, **kwargs
    )


def _variant(branch: int, cifar: bool, classes: int) -> Variant:
    """From the width of stage 2's branches."""
    ratios = [ratio for ratio, widths in WIDTHS.items() if widths[0] == 2 * branch]
    options = {} if ratios == [1.0] else {"ratio": ratios[0] if ratios else f"? ({branch} wide)"}
    return Variant(f"shufflenet_v2{'_cifar' if cifar else ''}", options, classes)


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    if "stage2.0.left.expand" not in units:
        return None
    branch = convolution(model, "stage2.0.left.expand").filters
    return _variant(branch, convolution(model, "conv1").use_bias, classes)


def _variant_of_torchvision(shapes: Shapes, classes: int) -> Variant:
    return _variant(torch_width(shapes, "stage2.0.branch1.2"), False, classes)


def _variant_of_cifar(shapes: Shapes, classes: int) -> Variant:
    return _variant(torch_width(shapes, "stage2.0.shortcut.2"), True, classes)


_TORCHVISION_UNITS = {
    r"(conv[15])": r"\1.{0,1}",
    r"(stage\d\.0)\.left\.depthwise": r"\1.branch1.{0,1}",
    r"(stage\d\.0)\.left\.expand": r"\1.branch1.{2,3}",
    r"(stage\d\.\d+)\.right\.reduce": r"\1.branch2.{0,1}",
    r"(stage\d\.\d+)\.right\.depthwise": r"\1.branch2.{3,4}",
    r"(stage\d\.\d+)\.right\.expand": r"\1.branch2.{5,6}",
    re.escape(LOGITS): r"fc",
}
_CIFAR_UNITS = {
    pattern: template.replace("branch1", "shortcut").replace("branch2", "residual")
    for pattern, template in ({r"conv1": r"pre.{0,1}"} | _TORCHVISION_UNITS).items()
}
_NAME = "shufflenet_v2"
_SOURCES = (
    torchvision(_NAME, "shufflenetv2_x0.5-f707e7126e", 60.552, 81.746, ratio=0.5),
    torchvision(_NAME, "shufflenetv2_x1-5666bf0f80", 69.362, 88.316),
    torchvision(_NAME, "shufflenetv2_x1_5-3c479a10", 72.996, 91.086, TORCHVISION_232, ratio=1.5),
    torchvision(_NAME, "shufflenetv2_x2_0-8be3c8ee", 76.230, 93.006, TORCHVISION_232, ratio=2.0),
)
_ROWS = (
    # name                     builder              options         input     params     multiply-adds  top-1
    Row("shufflenet_v2_x0_5",  shufflenet_v2,       {"ratio": 0.5}, IMAGENET, 1_374_744, 40_476_448,    60.6),
    Row("shufflenet_v2",       shufflenet_v2,       {},             IMAGENET, 2_294_784, 144_907_992,   69.4),
    Row("shufflenet_v2_x1_5",  shufflenet_v2,       {"ratio": 1.5}, IMAGENET, 3_527_064, 295_759_392,   73.0),
    Row("shufflenet_v2_x2_0",  shufflenet_v2,       {"ratio": 2.0}, IMAGENET, 7_427_712, 583_253_464,   76.2),
    Row("shufflenet_v2_cifar", shufflenet_v2_cifar, {},             CIFAR100, 1_376_940, 43_675_520),
)  # fmt: skip

FAMILY = register(
    Family(
        name=_NAME,
        paper="1807.11164",
        licence="BSD-3-Clause",  # torchvision's
        rows=_ROWS,
        styles={"shufflenetv2": TORCHVISION, "shufflenetv2cifar": SMALL_PICTURES},
        variant=_variant_of_model,
        shape_options=("ratio",),
        sources=_SOURCES,
        state_dicts=(
            StateDictNaming(
                networks=(_NAME,),
                origin="torchvision",
                signature=("conv1.0.weight", "stage2.0.branch1.0.weight"),
                name_units=lambda units, model: rename(_TORCHVISION_UNITS, units),
                variant=_variant_of_torchvision,
                classifier="fc",
                dense=("fc",),
                channel_orders=channel_orders,
            ),
            StateDictNaming(
                networks=("shufflenet_v2_cifar",),
                origin="the PyTorch CIFAR form",
                signature=(
                    "pre.0.weight",
                    "stage2.0.residual.0.weight",
                    "stage2.0.shortcut.0.weight",
                ),
                name_units=lambda units, model: rename(_CIFAR_UNITS, units),
                variant=_variant_of_cifar,
                classifier="fc",
                dense=("fc",),
                channel_orders=channel_orders,
            ),
        ),
    )
)
