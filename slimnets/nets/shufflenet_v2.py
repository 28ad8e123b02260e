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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from slimnets import layers
from slimnets.builder import Site, block
from slimnets.conv_defs import Conv, MaxPool, ShuffleStage
from slimnets.nets.shufflenet_v1 import fixed_width_network, pytorch_scope
from slimnets.network import takes_weights

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
        input_shape: (height, width, channels); height and width may be None.
        ratio: 0.5, 1.0, 1.5 or 2.0.
        num_classes: 0 or None: no classifier; the pooled features (B, 1, 1, C) are returned.
        conv_defs: the table; default `shufflenet_v2_defs(ratio)`.
        name: of the model.
        **kwargs: `inputs`, `dropout_keep_prob`, `use_explicit_padding` (True), `spatial_squeeze`,
            `prediction_fn`, `weights`, `arg_scope` as in `mobilenet_v2`.

    Raises:
        ValueError: an argument out of range; the message says what is allowed.
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
