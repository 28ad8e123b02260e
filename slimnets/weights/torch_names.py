"""What the units of our networks are called in PyTorch state dicts.

The namings are those of torchvision 0.29 (`mobilenetv2.py`, `mobilenetv3.py`, `squeezenet.py`,
`shufflenetv2.py`) and of the PyTorch ports and CIFAR forms that people's checkpoints come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slimnets.weights import variants
from slimnets.weights.units import LOGITS, blocks, convolution, rename
from slimnets.weights.variants import Variant

Shapes = Mapping[str, tuple[int, ...]]
Orders = Mapping[str, tuple[Sequence[int] | None, Sequence[int] | None]]


@dataclass(frozen=True)
class Naming:
    """One reference's state dict.

    Attributes:
        networks: the catalogue's names of the networks that are called so.
        origin: whose names these are.
        signature: tensors that, together, only a state dict of this naming has.
        name_units: the units of a model and itself → (unit, template) pairs.
        variant: the network, from its shapes and classes; a KeyError means a part is missing.
        classifier: the classifier's prefix.
        dense: prefixes of dense layers, where ours are 1×1 convolutions.
        epsilon: of its batch norms.
        requires: keywords with which our function builds the same network.
        channel_orders: unit → (input, output) order of channels, where ours is another.
    """

    networks: tuple[str, ...]
    origin: str
    signature: tuple[str, ...]
    name_units: Callable[[Sequence[str], Any], Iterable[tuple[str, str]]]
    variant: Callable[[Shapes, int], Variant]
    classifier: str
    dense: tuple[str, ...] = ()
    epsilon: float = 1e-5
    requires: Mapping[str, Any] = field(default_factory=dict)
    channel_orders: Callable[[Any], Orders] = lambda model: {}

    def is_classifier_name(self, name: str) -> bool:
        """Whether a tensor belongs to what follows the pool: absent without classes."""
        return name.rpartition(".")[0] in (self.classifier, *self.dense)


_V1_PORT = {
    r"Conv2d_0": r"model.0.{0,1}",
    r"Conv2d_(\d+)_depthwise": r"model.\1.{0,1}",
    r"Conv2d_(\d+)_pointwise": r"model.\1.{3,4}",
    re.escape(LOGITS): r"fc",
}


def _v1_cifar(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    stage, index = 0, 0
    for unit in units:
        if unit == LOGITS:
            yield unit, "fc"
        elif unit == "Conv2d_0":
            yield unit, "stem.0.{conv,bn}"
        elif match := re.fullmatch(r"Conv2d_\d+_(depthwise|pointwise)", unit):
            part = match[1]
            if part == "depthwise":
                # A stride opens a stage; the stem is the one before the first.
                opens = convolution(model, unit).strides != (1, 1)
                stage, index = (stage + 1, 0) if opens else (stage, index + 1)
            block = f"conv{stage}.{index}" if stage else f"stem.{index}"
            yield unit, f"{block}.{part}.{{0,1}}"


def _v2_torchvision(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
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


def _v3_torchvision(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
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


def _v2_cifar10(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
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


def _v2_cifar100(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
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


_SQUEEZENET_CIFAR = {
    r"conv1": r"stem.{0,1}",
    r"(fire\d+\.squeeze)": r"\1.{0,1}",
    r"(fire\d+)\.expand([13]x[13])": r"\1.expand_\2.{0,1}",
    r"conv10": r"conv10",
}
_SHUFFLENET_V1 = {
    r"conv1": r"conv1.{conv,bn}",
    r"(stage\d)_(\d+)\.reduce": r"\1.\2.bottlneck.0.pointwise.{0,1}",
    r"(stage\d)_(\d+)\.depthwise": r"\1.\2.depthwise.depthwise.{0,1}",
    r"(stage\d)_(\d+)\.expand": r"\1.\2.expand.pointwise.{0,1}",
    re.escape(LOGITS): r"fc",
}
_SHUFFLENET_V2 = {
    r"(conv[15])": r"\1.{0,1}",
    r"(stage\d\.0)\.left\.depthwise": r"\1.branch1.{0,1}",
    r"(stage\d\.0)\.left\.expand": r"\1.branch1.{2,3}",
    r"(stage\d\.\d+)\.right\.reduce": r"\1.branch2.{0,1}",
    r"(stage\d\.\d+)\.right\.depthwise": r"\1.branch2.{3,4}",
    r"(stage\d\.\d+)\.right\.expand": r"\1.branch2.{5,6}",
    re.escape(LOGITS): r"fc",
}
_SHUFFLENET_V2_CIFAR = {
    pattern: template.replace("branch1", "shortcut").replace("branch2", "residual")
    for pattern, template in ({r"conv1": r"pre.{0,1}"} | _SHUFFLENET_V2).items()
}


def _squeezenet(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    # A pool is numbered after the module it follows, and has an index of its own in `features`,
    # as has the ReLU after the first convolution.
    pools = [int(m[1]) for layer in model.layers if (m := re.match(r"maxpool(\d+)$", layer.name))]
    for unit in units:
        if match := re.fullmatch(r"fire(\d+)\.(squeeze|expand1x1|expand3x3)", unit):
            number = int(match[1])
            index = number + sum(pool < number for pool in pools)
            yield unit, f"features.{index}.{match[2]}"
    yield "conv1", "features.0"
    yield "conv10", "classifier.1"


def _shufflenet_v2_orders(model: Any) -> Orders:
    from slimnets.nets.shufflenet_v2 import channel_orders

    return channel_orders(model)


def _width(shapes: Shapes, prefix: str) -> int:
    return shapes[f"{prefix}.weight"][0]


def _v1_port_variant(shapes: Shapes, classes: int) -> Variant:
    return variants.mobilenet_v1(_width(shapes, "model.13.3"), classes)


def _v1_cifar_variant(shapes: Shapes, classes: int) -> Variant:
    options = variants.multiplier(_width(shapes, "conv4.1.pointwise.0"), 1024, int)
    return Variant("mobilenet_v1_cifar", options, classes)


def _v2_variant(shapes: Shapes, classes: int) -> Variant:
    widths = _width(shapes, "features.17.conv.2"), _width(shapes, "features.18.0")
    return variants.mobilenet_v2(*widths, classes)


def _v2_cifar10_variant(shapes: Shapes, classes: int) -> Variant:
    options = variants.multiplier(_width(shapes, "layers.16.conv3"), 320)
    return Variant("mobilenet_v2_cifar10", options, classes)


def _v2_cifar100_variant(shapes: Shapes, classes: int) -> Variant:
    options = variants.multiplier(_width(shapes, "stage7.residual.6"), 320)
    return Variant("mobilenet_v2_cifar100", options, classes)


def _v3_variant(shapes: Shapes, classes: int) -> Variant:
    def width(index: int) -> int:
        # The projection is the last of a block's parts.
        projections = [f"features.{index + 1}.block.{part}.0" for part in (3, 2, 1)]
        found = next(p for p in projections if f"{p}.weight" in shapes)
        return _width(shapes, found)

    count = len({m[1] for name in shapes if (m := re.match(r"features\.(\d+)\.block", name))})
    return variants.mobilenet_v3(count, width, any(".fc1." in name for name in shapes), classes)


def _squeezenet_variant(shapes: Shapes, classes: int) -> Variant:
    seven = shapes["features.0.weight"][-1] == 7
    return Variant("squeezenet1_0" if seven else "squeezenet1_1", {}, classes)


def _shufflenet_v1_variant(shapes: Shapes, classes: int) -> Variant:
    outputs, inputs = shapes["stage2.1.bottlneck.0.pointwise.0.weight"][:2]
    bottleneck = _width(shapes, "stage3.0.bottlneck.0.pointwise.0")
    biased = "conv1.conv.bias" in shapes
    return variants.shufflenet_v1(4 * outputs // inputs, bottleneck, biased, classes)


def _shufflenet_v2_variant(shapes: Shapes, classes: int) -> Variant:
    return variants.shufflenet_v2(_width(shapes, "stage2.0.branch1.2"), False, classes)


def _shufflenet_v2_cifar_variant(shapes: Shapes, classes: int) -> Variant:
    return variants.shufflenet_v2(_width(shapes, "stage2.0.shortcut.2"), True, classes)


_PLAIN_RELU = {"conv": {"activation": "relu"}, "depthwise": {"activation": "relu"}}
_EXPLICIT_PADDING = {"use_explicit_padding": True}
_TORCHVISION = "torchvision"
_CIFAR = "the PyTorch CIFAR form"

NAMINGS = (
    Naming(
        networks=("mobilenet_v1",),
        origin="the PyTorch port",
        signature=("model.0.0.weight", "model.1.3.weight"),
        name_units=lambda units, model: rename(_V1_PORT, units),
        variant=_v1_port_variant,
        classifier="fc",
        dense=("fc",),
        requires=_EXPLICIT_PADDING | {"arg_scope": _PLAIN_RELU},
    ),
    Naming(
        networks=("mobilenet_v1_cifar",),
        origin=_CIFAR,
        signature=("stem.0.conv.weight", "stem.1.depthwise.0.weight"),
        name_units=_v1_cifar,
        variant=_v1_cifar_variant,
        classifier="fc",
        dense=("fc",),
    ),
    Naming(
        networks=("mobilenet_v2",),
        origin=_TORCHVISION,
        signature=("features.0.0.weight", "features.1.conv.0.0.weight"),
        name_units=_v2_torchvision,
        variant=_v2_variant,
        classifier="classifier.1",
        dense=("classifier.1",),
        requires=_EXPLICIT_PADDING,
    ),
    Naming(
        networks=("mobilenet_v2_cifar10",),
        origin=_CIFAR,
        signature=("layers.0.conv1.weight", "layers.0.conv3.weight", "conv2.weight"),
        name_units=_v2_cifar10,
        variant=_v2_cifar10_variant,
        classifier="linear",
        dense=("linear",),
    ),
    Naming(
        networks=("mobilenet_v2_cifar100",),
        origin=_CIFAR,
        signature=("pre.0.weight", "stage1.residual.0.weight"),
        name_units=_v2_cifar100,
        variant=_v2_cifar100_variant,
        classifier="conv2",
    ),
    Naming(
        networks=("mobilenet_v3_large", "mobilenet_v3_small"),
        origin=_TORCHVISION,
        signature=("features.0.0.weight", "features.1.block.0.0.weight"),
        name_units=_v3_torchvision,
        variant=_v3_variant,
        classifier="classifier.3",
        dense=("classifier.0", "classifier.3"),
        epsilon=1e-3,
        requires=_EXPLICIT_PADDING,
    ),
    Naming(
        networks=("squeezenet1_0", "squeezenet1_1"),
        origin=_TORCHVISION,
        signature=("features.0.weight", "features.3.squeeze.weight"),
        name_units=_squeezenet,
        variant=_squeezenet_variant,
        classifier="classifier.1",
    ),
    Naming(
        networks=("squeezenet_cifar",),
        origin=_CIFAR,
        signature=("stem.0.weight", "fire2.squeeze.0.weight"),
        name_units=lambda units, model: rename(_SQUEEZENET_CIFAR, units),
        variant=lambda shapes, classes: Variant("squeezenet_cifar", {}, classes),
        classifier="conv10",
    ),
    Naming(
        networks=("shufflenet_v1", "shufflenet_v1_cifar"),
        origin="the PyTorch form",
        signature=("conv1.conv.weight", "stage2.0.bottlneck.0.pointwise.0.weight"),
        name_units=lambda units, model: rename(_SHUFFLENET_V1, units),
        variant=_shufflenet_v1_variant,
        classifier="fc",
        dense=("fc",),
    ),
    Naming(
        networks=("shufflenet_v2",),
        origin=_TORCHVISION,
        signature=("conv1.0.weight", "stage2.0.branch1.0.weight"),
        name_units=lambda units, model: rename(_SHUFFLENET_V2, units),
        variant=_shufflenet_v2_variant,
        classifier="fc",
        dense=("fc",),
        channel_orders=_shufflenet_v2_orders,
    ),
    Naming(
        networks=("shufflenet_v2_cifar",),
        origin=_CIFAR,
        signature=("pre.0.weight", "stage2.0.residual.0.weight", "stage2.0.shortcut.0.weight"),
        name_units=lambda units, model: rename(_SHUFFLENET_V2_CIFAR, units),
        variant=_shufflenet_v2_cifar_variant,
        classifier="fc",
        dense=("fc",),
        channel_orders=_shufflenet_v2_orders,
    ),
)


def find_naming(names: Iterable[str]) -> Naming | None:
    """The naming that a state dict's names follow."""
    present = set(names)
    return next((n for n in NAMINGS if present.issuperset(n.signature)), None)


def looks_like(naming: Naming, shapes: Shapes) -> Variant | None:
    """The network that a state dict of these shapes belongs to, if its landmarks are there."""
    classes = shapes.get(f"{naming.classifier}.bias", (0,))[0]
    try:
        return naming.variant(shapes, classes)
    except (KeyError, StopIteration, IndexError):
        return None


def origins() -> str:
    """Whose names are known, for a message."""
    return ", ".join(dict.fromkeys(naming.origin for naming in NAMINGS))
