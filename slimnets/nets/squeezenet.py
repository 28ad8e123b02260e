"""SqueezeNet 1.0 and 1.1: AlexNet's accuracy out of 1.2 million parameters.

Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size" (arXiv 1602.07360). Padding, ceil mode and the 1.1 table: torchvision `squeezenet.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope, merge
from slimnets.builder import Site, block, build_body, check_multiplier
from slimnets.conv_defs import Conv, MaxPool, check_positive
from slimnets.network import (
    add_predictions,
    check_num_classes,
    finish,
    image_input,
    keywords_of,
    scopes,
    takes_weights,
)
from slimnets.scopes import l2_decay
from slimnets.weights.families import CIFAR100, IMAGENET, Family, Row, register
from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.sources import SMALL_PICTURES, TORCHVISION, torchvision
from slimnets.weights.units import convolution, rename
from slimnets.weights.variants import Variant


@dataclass(frozen=True, slots=True)
class Fire:
    """Squeeze 1×1, then expand 1×1 and 3×3 side by side, concatenated; ReLU after each.

    `bypass`: None; "simple" adds the input where the depths agree; "complex" adds it through a
    1×1 convolution where they do not. Source: SqueezeNet, sections 3.2 and 6 (1602.07360).
    """

    squeeze: int
    expand1x1: int
    expand3x3: int
    bypass: str | None = None

    def __post_init__(self) -> None:
        check_positive(
            self, squeeze=self.squeeze, expand1x1=self.expand1x1, expand3x3=self.expand3x3
        )
        if self.bypass not in (None, "simple", "complex"):
            raise ValueError(
                f"Fire: bypass must be None, 'simple' or 'complex', got {self.bypass!r}."
            )

    stride = 1

    @property
    def depth(self) -> int:
        """Output channels at width 1."""
        return self.expand1x1 + self.expand3x3


# Table 1 of the paper.
SQUEEZENET1_0_DEFS = (
    Conv(7, 2, 96),
    MaxPool(3, 2, "ceil"),
    #    squeeze 1×1  3×3
    Fire(16,     64,  64),
    Fire(16,     64,  64),
    Fire(32,     128, 128),
    MaxPool(3, 2, "ceil"),
    Fire(32,     128, 128),
    Fire(48,     192, 192),
    Fire(48,     192, 192),
    Fire(64,     256, 256),
    MaxPool(3, 2, "ceil"),
    Fire(64,     256, 256),
)  # fmt: skip

# The authors' release 1.1: 2.4 times fewer multiply-adds.
SQUEEZENET1_1_DEFS = (
    Conv(3, 2, 64),
    MaxPool(3, 2, "ceil"),
    #    squeeze 1×1  3×3
    Fire(16,     64,  64),
    Fire(16,     64,  64),
    MaxPool(3, 2, "ceil"),
    Fire(32,     128, 128),
    Fire(32,     128, 128),
    MaxPool(3, 2, "ceil"),
    Fire(48,     192, 192),
    Fire(48,     192, 192),
    Fire(64,     256, 256),
    Fire(64,     256, 256),
)  # fmt: skip

# For 32×32 images, with batch norm, and the bypass where no pooling lies between.
SQUEEZENET_CIFAR_DEFS = (
    Conv(3, 1, 96),
    MaxPool(2, 2),
    #    squeeze 1×1  3×3  bypass
    Fire(16,     64,  64),
    Fire(16,     64,  64,  "simple"),
    Fire(32,     128, 128),
    MaxPool(2, 2),
    Fire(32,     128, 128, "simple"),
    Fire(48,     192, 192),
    Fire(48,     192, 192, "simple"),
    Fire(64,     256, 256),
    MaxPool(2, 2),
    Fire(64,     256, 256),
)  # fmt: skip


@block(Fire)
def _fire(x: Any, record: Fire, site: Site) -> Iterator[tuple[str, Any]]:
    name, width = site.name, site.width
    squeezed = layers.conv(x, width(record.squeeze), name=f"{name}.squeeze")
    branches = [
        layers.conv(squeezed, width(record.expand1x1), 1, name=f"{name}.expand1x1"),
        layers.conv(squeezed, width(record.expand3x3), 3, padding="same", name=f"{name}.expand3x3"),
    ]
    out = sum(branch.shape[-1] for branch in branches)
    shortcut = x if record.bypass and x.shape[-1] == out else None
    if record.bypass == "complex" and shortcut is None:
        shortcut = layers.conv(x, out, activation="linear", name=f"{name}.bypass")
    concat = keras.layers.Concatenate(name=name if shortcut is None else f"{name}.concat")
    net = concat(branches)
    if shortcut is not None:
        net = keras.layers.Add(name=name)([net, shortcut])
    yield name, net


def _names(conv_defs: Sequence[Any]) -> Iterator[str]:
    """conv1, maxpool1, fire2, …: the paper's names; a pool is numbered after what it follows."""
    numbers = count(1)
    last = 0
    for record in conv_defs:
        if isinstance(record, MaxPool):
            yield f"maxpool{last}"
        else:
            last = next(numbers)
            yield f"{'fire' if isinstance(record, Fire) else 'conv'}{last}"


def _scope(weight_decay: float, **conv: Any) -> Scope:
    # The authors' solver: weight decay 2e-4. He initialization as in torchvision.
    decay = l2_decay(weight_decay)
    defaults = {
        "kernel_initializer": "he_uniform",
        "kernel_regularizer": decay,
        "activation": "relu",
    }
    return {"conv": defaults | conv}


def _squeezenet(
    input_shape: Sequence[int | None],
    conv_defs: Sequence[Any],
    scope: Scope,
    *,
    inputs: Any = None,
    num_classes: int | None,
    depth_multiplier: float = 1.0,
    min_depth: int = 1,
    dropout_keep_prob: float = 0.5,
    bypass: str | None = None,
    prediction_fn: Any = "softmax",
    arg_scope: Scope | None = None,
    relu_logits: bool = True,
    spatial_squeeze: bool = True,
    name: str,
) -> keras.Model:
    check_multiplier(depth_multiplier, min_depth)
    if bypass not in (None, "simple", "complex"):
        raise ValueError(f"bypass must be None, 'simple' or 'complex', got {bypass!r}.")
    if bypass:
        conv_defs = tuple(
            replace(record, bypass=bypass) if isinstance(record, Fire) else record
            for record in conv_defs
        )
    with scopes(scope, arg_scope):
        image = image_input(input_shape, inputs)
        net, end_points = build_body(
            image,
            conv_defs,
            width=lambda depth: max(int(depth * depth_multiplier), min_depth),
            names=_names(conv_defs),
        )
        if not num_classes:
            return finish(image, layers.global_pool(net, "global_pool"), name)
        check_num_classes(num_classes)
        net = layers.dropout(net, dropout_keep_prob, "Dropout_1b")
        net = _class_maps(net, num_classes, relu_logits)
        net = layers.global_pool(net, "global_pool")
        net = add_predictions(net, end_points, num_classes, spatial_squeeze, prediction_fn)
    return finish(image, net, name)


def _class_maps(net: Any, num_classes: int, relu: bool) -> Any:
    """The last convolution: a map a class."""
    # The authors' start. With a bias of 0 half of the classes would begin below the ReLU on all
    # images and stay there; what all of them have in common softmax does not see.
    start = {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.01),
        "bias_initializer": "ones",
    }
    return layers.conv(
        net,
        num_classes,
        activation="relu" if relu else "linear",
        normalizer=False,
        use_bias=True,
        name="conv10",
        end_point="conv10",
        **(start if relu else {}),
    )


@takes_weights
@keywords_of(_squeezenet, without=("relu_logits",))
def squeezenet1_0(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    num_classes: int | None = 1000,
    bypass: str | None = None,
    conv_defs: Sequence[Any] | None = None,
    name: str = "SqueezeNet1_0",
    **kwargs: Any,
) -> keras.Model:
    """SqueezeNet 1.0, (B, H, W, C) → (B, num_classes). No batch norm; ReLU on the class maps.

    Args:
        input_shape: (height, width, channels), at least 21×21; height and width may be None.
        num_classes: 0 or None: no classifier; the pooled features (B, 1, 1, C) are returned.
        bypass: None; "simple": a residual around each fire module whose depths agree (3, 5, 7, 9);
            "complex": around the others as well, through a 1×1 convolution. The paper's section 6.
        conv_defs: the table; default `SQUEEZENET1_0_DEFS`.
        name: of the model.
        weights: as in `slimnets.load_weights`; None: freshly initialized.

    The other arguments: `slimnets.network.classifier`; depth_multiplier and min_depth:
    max(int(depth · depth_multiplier), min_depth) channels.

    Raises:
        ValueError, TypeError: an argument out of range; the message says what is allowed.
    """
    return _squeezenet(
        input_shape,
        SQUEEZENET1_0_DEFS if conv_defs is None else conv_defs,
        _scope(2e-4, normalizer=False, padding="valid"),
        num_classes=num_classes,
        bypass=bypass,
        name=name,
        **kwargs,
    )


@takes_weights
@keywords_of(_squeezenet, without=("relu_logits",))
def squeezenet1_1(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    num_classes: int | None = 1000,
    bypass: str | None = None,
    conv_defs: Sequence[Any] | None = None,
    name: str = "SqueezeNet1_1",
    **kwargs: Any,
) -> keras.Model:
    """SqueezeNet 1.1: as `squeezenet1_0`, with `SQUEEZENET1_1_DEFS` (349 M multiply-adds)."""
    table = SQUEEZENET1_1_DEFS if conv_defs is None else conv_defs
    return squeezenet1_0(
        input_shape,
        num_classes=num_classes,
        bypass=bypass,
        conv_defs=table,
        name=name,
        **kwargs,
    )


@takes_weights
@keywords_of(_squeezenet, without=("relu_logits",))
def squeezenet_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int | None = 100,
    dropout_keep_prob: float = 1.0,
    conv_defs: Sequence[Any] | None = None,
    name: str = "SqueezeNetCifar",
    **kwargs: Any,
) -> keras.Model:
    """SqueezeNet for 32×32 images: biases and batch norm after each convolution, simple bypass.

    Keywords as `squeezenet1_0`; defaults: `SQUEEZENET_CIFAR_DEFS`, no dropout, no ReLU on the
    class maps. 781,156 trainable parameters, 53,280,768 MACs at 32×32.
    """
    scope = merge(_scope(5e-4, use_bias=True), {"batch_norm": {"momentum": 0.9, "epsilon": 1e-5}})
    return _squeezenet(
        input_shape,
        SQUEEZENET_CIFAR_DEFS if conv_defs is None else conv_defs,
        scope,
        num_classes=num_classes,
        relu_logits=False,
        dropout_keep_prob=dropout_keep_prob,
        name=name,
        **kwargs,
    )


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    if "fire2.squeeze" not in units:
        return None
    names = {layer.name for layer in model.layers}
    if "fire2.squeeze.bn" in names:
        return Variant("squeezenet_cifar", {}, classes)
    bypass = "complex" if "fire2.bypass" in units else "simple" if "fire3.concat" in names else None
    number = 0 if convolution(model, "conv1").kernel_size == (7, 7) else 1
    return Variant(f"squeezenet1_{number}", {"bypass": bypass} if bypass else {}, classes)


def _variant_of_torchvision(shapes: Shapes, classes: int) -> Variant:
    seven = shapes["features.0.weight"][-1] == 7
    return Variant("squeezenet1_0" if seven else "squeezenet1_1", {}, classes)


def _torchvision_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
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


_CIFAR_UNITS = {
    r"conv1": r"stem.{0,1}",
    r"(fire\d+\.squeeze)": r"\1.{0,1}",
    r"(fire\d+)\.expand([13]x[13])": r"\1.expand_\2.{0,1}",
    r"conv10": r"conv10",
}
_ROWS = (
    # name                  builder           options input     params     multiply-adds  top-1
    Row("squeezenet1_0",    squeezenet1_0,    {}, IMAGENET, 1_248_424, 818_924_576,   58.1),
    Row("squeezenet1_1",    squeezenet1_1,    {}, IMAGENET, 1_235_496, 349_151_936,   58.2),
    Row("squeezenet_cifar", squeezenet_cifar, {},     CIFAR100, 787_108,   53_280_768),
)  # fmt: skip

FAMILY = register(
    Family(
        name="squeezenet",
        paper="1602.07360",
        licence="BSD-3-Clause",  # torchvision's
        rows=_ROWS,
        styles={"squeezenet": TORCHVISION, "squeezenetcifar": SMALL_PICTURES},
        variant=_variant_of_model,
        classifier="conv10",
        shape_options=("depth_multiplier", "bypass"),
        sources=(
            torchvision("squeezenet1_0", "squeezenet1_0-b66bff10", 58.092, 80.420),
            torchvision("squeezenet1_1", "squeezenet1_1-b8a52dc0", 58.178, 80.624),
        ),
        state_dicts=(
            StateDictNaming(
                networks=("squeezenet1_0", "squeezenet1_1"),
                origin="torchvision",
                signature=("features.0.weight", "features.3.squeeze.weight"),
                name_units=_torchvision_units,
                variant=_variant_of_torchvision,
                classifier="classifier.1",
                lacks=("bypass",),
            ),
            StateDictNaming(
                networks=("squeezenet_cifar",),
                origin="the PyTorch CIFAR form",
                signature=("stem.0.weight", "fire2.squeeze.0.weight"),
                name_units=lambda units, model: rename(_CIFAR_UNITS, units),
                variant=lambda shapes, classes: Variant("squeezenet_cifar", {}, classes),
                classifier="conv10",
            ),
        ),
    )
)
