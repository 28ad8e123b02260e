"""MobileNetV2: inverted residuals with linear bottlenecks.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv 1801.04381).
Facts of the construction: TF-Slim `nets/mobilenet/mobilenet_v2.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras

from slimnets.arg_scope import Scope
from slimnets.builder import EndPoints, build_body, check_multiplier
from slimnets.conv_defs import Conv, Factor, InvertedResidual, make_divisible
from slimnets.network import classifier, image_input, scopes, takes_weights


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


def training_scope(
    is_training: bool | None = True,
    weight_decay: float = 4e-5,
    stddev: float = 0.09,
    dropout_keep_prob: float = 0.8,
    bn_decay: float = 0.997,
    bn_epsilon: float = 0.001,
    activation: str = "relu6",
) -> Scope:
    """The defaults of MobileNetV2 and V3. Source: TF-Slim `mobilenet.py`, `training_scope`.

    Args:
        is_training: False freezes batch norm and leaves dropout out; True and None leave both
            to Keras's `training` argument.
        weight_decay: λ in λ·Σw²/2 over standard convolutions; depthwise ones have no decay.
        stddev: of the truncated normal that weights start from; negative: He's scaling by
            fan-in instead.
        dropout_keep_prob: share of the pooled features kept in training.
        bn_decay, bn_epsilon: momentum and epsilon of batch norm.
        activation: Keras name, where a table does not say.
    """
    start = keras.initializers.TruncatedNormal(stddev=stddev) if stddev >= 0 else "he_normal"
    convolution = {"kernel_initializer": start, "activation": activation}
    decay = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
    return {
        "conv": convolution | {"kernel_regularizer": decay},
        "depthwise": convolution,
        "batch_norm": {
            "momentum": bn_decay,
            "epsilon": bn_epsilon,
            "trainable": is_training is not False,
        },
        "dropout": {"keep_prob": dropout_keep_prob, "enabled": is_training is not False},
    }


def mobilenet_v2_base(
    inputs: Any,
    final_endpoint: str | None = None,
    min_depth: int = 8,
    depth_multiplier: float = 1.0,
    conv_defs: Sequence[Any] | None = None,
    output_stride: int | None = None,
    use_explicit_padding: bool = False,
    shrink_last: bool = False,
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV2 up to `final_endpoint`.

    Args:
        inputs: keras tensor (B, H, W, C); H and W may be None.
        final_endpoint: `layer_1` (stem) … `layer_19` (last convolution), or a block's
            `layer_i/expansion_output`, `layer_i/depthwise_output`, `layer_i/output`. None: all.
        min_depth: no layer gets fewer channels.
        depth_multiplier: α > 0 on every depth, rounded to a multiple of 8.
        conv_defs: the table; default `MOBILENET_V2_DEFS`.
        output_stride: None, 8, 16 or 32: past it, strides become dilation.
        use_explicit_padding: fixed padding, as in PyTorch, in place of SAME.
        shrink_last: α < 1 also narrows the last convolution (1280), which it otherwise leaves.

    Returns:
        The last tensor and the end points, in building order.

    Raises:
        ValueError: a value out of range; an unknown record or end point.
        TypeError: depth_multiplier is not a number.
    """
    check_multiplier(depth_multiplier, min_depth)

    def width(depth: int) -> int:
        return make_divisible(depth * depth_multiplier, min_value=min_depth)

    table = list(MOBILENET_V2_DEFS if conv_defs is None else conv_defs)
    if shrink_last and isinstance(table[-1], Conv):
        table[-1] = Conv(table[-1].kernel, table[-1].stride, table[-1].depth)
    with scopes(training_scope(), None):
        return build_body(
            inputs,
            table,
            width=width,
            output_stride=output_stride,
            use_explicit_padding=use_explicit_padding,
            final_endpoint=final_endpoint,
        )


@takes_weights
def mobilenet_v2(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    inputs: Any = None,
    num_classes: int | None = 1000,
    depth_multiplier: float = 1.0,
    min_depth: int = 8,
    dropout_keep_prob: float | None = None,
    conv_defs: Sequence[Any] | None = None,
    output_stride: int | None = None,
    use_explicit_padding: bool = False,
    shrink_last: bool = False,
    spatial_squeeze: bool = True,
    global_pool: bool = True,
    prediction_fn: Any = "softmax",
    arg_scope: Scope | None = None,
    name: str = "MobilenetV2",
) -> keras.Model:
    """MobileNetV2, (B, H, W, C) → (B, num_classes).

    Args:
        input_shape: (height, width, channels); height and width may be None.
        inputs: a keras tensor to build on, in place of `input_shape`.
        num_classes: 0 or None: no classifier; the pooled features (B, 1, 1, C) are returned.
        depth_multiplier, min_depth, conv_defs, output_stride, use_explicit_padding,
            shrink_last: as `mobilenet_v2_base`.
        dropout_keep_prob: share of the pooled features kept in training; None: the scope's 0.8.
        spatial_squeeze: drop height and width of the logits; False keeps (B, h, w, classes).
        global_pool: False leaves the map unpooled, for dense prediction (with
            spatial_squeeze=False).
        prediction_fn: Keras activation (name or callable) on the logits; None returns logits.
        weights: as in `slimnets.load_weights`; None: freshly initialized.
        arg_scope: default arguments for this call (`training_scope(...)`).
        name: of the model; the default is TF-Slim's variable scope.

    Raises:
        ValueError, TypeError: an argument out of range; the message says what is allowed.
    """
    return classifier(
        input_shape,
        partial(
            mobilenet_v2_base,
            min_depth=min_depth,
            depth_multiplier=depth_multiplier,
            conv_defs=conv_defs,
            output_stride=output_stride,
            use_explicit_padding=use_explicit_padding,
            shrink_last=shrink_last,
        ),
        training_scope(),
        inputs=inputs,
        num_classes=num_classes,
        global_pool=global_pool,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        prediction_fn=prediction_fn,
        arg_scope=arg_scope,
        name=name,
    )


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
