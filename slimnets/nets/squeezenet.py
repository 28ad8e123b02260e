"""SqueezeNet 1.0 and 1.1: AlexNet's accuracy out of 1.2 million parameters.

Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size" (arXiv 1602.07360). Padding, ceil mode and the 1.1 table: torchvision `squeezenet.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import keras

from slimnets import layers
from slimnets.arg_scope import Scope, merge
from slimnets.builder import Site, block, build_body, check_multiplier
from slimnets.conv_defs import Conv, Fire, MaxPool
from slimnets.network import (
    add_predictions,
    check_num_classes,
    finish,
    image_input,
    scopes,
    takes_weights,
)

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
    decay = keras.regularizers.L2(weight_decay / 2)
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
        net = layers.conv(
            net,
            num_classes,
            activation="relu" if relu_logits else "linear",
            normalizer=False,
            use_bias=True,
            name="conv10",
            end_point="conv10",
        )
        net = layers.global_pool(net, "global_pool")
        net = add_predictions(net, end_points, num_classes, spatial_squeeze, prediction_fn)
    return finish(image, net, name)


@takes_weights
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
        **kwargs: `inputs`, `depth_multiplier`, `min_depth`, `dropout_keep_prob` (0.5),
            `spatial_squeeze`, `prediction_fn`, `weights`, `arg_scope` as in `mobilenet_v2`.

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
def squeezenet_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int | None = 100,
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
        name=name,
        **{"dropout_keep_prob": 1.0, **kwargs},
    )
