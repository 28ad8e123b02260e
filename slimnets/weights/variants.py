"""Which network a model or a set of tensors is, told from a few widths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from slimnets.conv_defs import make_divisible
from slimnets.weights.units import LOGITS, blocks, convolution, units_of

_MULTIPLIERS = (0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


@dataclass(frozen=True)
class Variant:
    """A network of the catalogue with the options that decide its shapes.

    `options` leaves out what is as the network's function has it by itself; `classes` is 0 without
    a classifier.
    """

    network: str
    options: dict[str, Any] = field(default_factory=dict)
    classes: int = 0

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        classes = f" with {self.classes} classes" if self.classes else ""
        return f"{self.network}{f'({options})' if options else ''}{classes}"


def multiplier(
    width: int, base: int, rounding: Callable[[float], int] = make_divisible
) -> dict[str, float]:
    """The depth multiplier that makes `width` of `base`, as an option; none where it is 1."""
    known = [alpha for alpha in _MULTIPLIERS if rounding(base * alpha) == width]
    alpha = known[0] if known else round(width / base, 3)
    return {} if alpha == 1 else {"depth_multiplier": alpha}


def mobilenet_v1(last_width: int, classes: int) -> Variant:
    """From the width of the last pointwise convolution."""
    return Variant("mobilenet_v1", multiplier(last_width, 1024, int), classes)


def mobilenet_v2(last_block: int, last_conv: int, classes: int) -> Variant:
    """From the widths of the last block and of the convolution after it."""
    options: dict[str, Any] = dict(multiplier(last_block, 320))
    alpha = options.get("depth_multiplier", 1.0)
    if alpha < 1 and last_conv == make_divisible(1280 * alpha):
        options["shrink_last"] = True
    return Variant("mobilenet_v2", options, classes)


def mobilenet_v3(count: int, width: Callable[[int], int], excites: bool, classes: int) -> Variant:
    """From the number of blocks, their output widths by index, and whether any has SE."""
    large = count > 11
    # The last block at stride 16 is no part of the tail.
    options: dict[str, Any] = dict(multiplier(width(11 if large else 7), 112 if large else 48))
    alpha = options.get("depth_multiplier", 1.0)
    if width(count - 1) == make_divisible((80 if large else 48) * alpha):
        options["reduced_tail"] = True
    if not excites:
        options["minimalistic"] = True
    return Variant(f"mobilenet_v3_{'large' if large else 'small'}", options, classes)


def shufflenet_v1(groups: int, bottleneck: int, biased: bool, classes: int) -> Variant:
    """From the groups, the bottleneck's width in stage 3, and whether convolutions have biases."""
    from slimnets.nets.shufflenet_v1 import WIDTHS

    options: dict[str, Any] = {} if groups == 3 else {"groups": groups}
    depth = WIDTHS.get(groups, (0, 4 * bottleneck))[1]
    if bottleneck != depth // 4:
        options["scale"] = round(4 * bottleneck / depth, 3)
    return Variant(f"shufflenet_v1{'_cifar' if biased else ''}", options, classes)


def shufflenet_v2(branch: int, cifar: bool, classes: int) -> Variant:
    """From the width of stage 2's branches."""
    from slimnets.nets.shufflenet_v2 import WIDTHS

    ratios = [ratio for ratio, widths in WIDTHS.items() if widths[0] == 2 * branch]
    options = {} if ratios == [1.0] else {"ratio": ratios[0] if ratios else f"? ({branch} wide)"}
    return Variant(f"shufflenet_v2{'_cifar' if cifar else ''}", options, classes)


def of_model(model: Any) -> Variant | None:
    """Which network of the catalogue a model of ours is, if it is built by one of its tables."""
    try:
        return _of_units(model, units_of(model))
    except (ValueError, IndexError):
        return None  # a table of the user's own: some landmark is not there


def _of_units(model: Any, units: list[str]) -> Variant | None:
    def conv(unit: str) -> Any:
        return convolution(model, unit)

    def has(layer: str) -> bool:
        return any(found.name == layer for found in model.layers)

    classes = next((conv(unit).filters for unit in (LOGITS, "conv10") if unit in units), 0)
    if "Conv2d_0" in units:
        variant = mobilenet_v1(conv("Conv2d_13_pointwise").filters, classes)
        biased = conv("Conv2d_1_pointwise").use_bias
        return Variant("mobilenet_v1_cifar", variant.options, classes) if biased else variant
    if "fire2.squeeze" in units:
        if has("fire2.squeeze.bn"):
            return Variant("squeezenet_cifar", {}, classes)
        bypass = "complex" if "fire2.bypass" in units else "simple" if has("fire3.concat") else None
        number = 0 if conv("conv1").kernel_size == (7, 7) else 1
        return Variant(f"squeezenet1_{number}", {"bypass": bypass} if bypass else {}, classes)
    if "stage2_0.reduce" in units:
        groups, bottleneck = conv("stage2_1.reduce").groups, conv("stage3_0.reduce").filters
        return shufflenet_v1(groups, bottleneck, conv("conv1").use_bias, classes)
    if "stage2.0.left.expand" in units:
        return shufflenet_v2(conv("stage2.0.left.expand").filters, conv("conv1").use_bias, classes)
    return _of_inverted_residuals(units, conv, classes)


def _of_inverted_residuals(
    units: list[str], conv: Callable[[str], Any], classes: int
) -> Variant | None:
    layers = blocks(units)
    inverted = [number for number, parts in layers.items() if "project" in parts]
    if not inverted:
        return None
    first = layers[inverted[0]]
    if "depthwise" not in first:
        options = multiplier(conv("layer_1").filters, 32)
        return Variant("mobilenet_edgetpu", options, classes)
    excites = any("squeeze_excite.reduce" in parts for parts in layers.values())
    outputs = [conv(f"layer_{number}.project").filters for number in inverted]
    # Without a classifier and squeeze-excite, only the number of blocks tells V3 from V2.
    if excites or "Conv_2" in units or len(inverted) in (11, 15):
        return mobilenet_v3(len(inverted), outputs.__getitem__, excites, classes)
    variant = mobilenet_v2(outputs[-1], conv(f"layer_{inverted[-1] + 1}").filters, classes)
    if "expand" in first:
        form = "cifar100" if conv("layer_1").use_bias else "cifar10"
        return Variant(f"mobilenet_v2_{form}", variant.options, classes)
    return variant
