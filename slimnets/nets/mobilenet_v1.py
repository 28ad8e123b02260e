"""MobileNetV1: depthwise-separable convolutions, and two numbers that trade size for accuracy.

Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications" (arXiv 1704.04861). Facts of the construction: TF-Slim `nets/mobilenet_v1.py`.

Parameters and multiply-adds of `mobilenet_v1` with 1000 classes, all confirmed by the tests:

    depth_multiplier  parameters  224          192          160          128
    1.0               4,253,864   568,740,352  418,121,728  290,675,200  186,400,768
    0.75              2,601,976   325,400,448  239,273,472  166,396,800  106,770,432
    0.5               1,342,536   149,497,088  109,970,432   76,524,800   49,160,192
    0.25                475,544    41,030,272   30,212,608   21,059,200   13,570,048
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any

import keras

from slimnets.arg_scope import Scope
from slimnets.builder import EndPoints, build_body, check_multiplier
from slimnets.conv_defs import Conv, DepthSepConv
from slimnets.network import classifier, scopes, takes_weights

# Table 1 of the paper.
MOBILENET_V1_DEFS = (
    #            kernel stride depth
    Conv(        3,     2,     32),
    DepthSepConv(3,     1,     64),
    DepthSepConv(3,     2,     128),
    DepthSepConv(3,     1,     128),
    DepthSepConv(3,     2,     256),
    DepthSepConv(3,     1,     256),
    DepthSepConv(3,     2,     512),
    DepthSepConv(3,     1,     512),
    DepthSepConv(3,     1,     512),
    DepthSepConv(3,     1,     512),
    DepthSepConv(3,     1,     512),
    DepthSepConv(3,     1,     512),
    DepthSepConv(3,     2,     1024),
    DepthSepConv(3,     1,     1024),
)  # fmt: skip

# Table 4: the same body with full convolutions (4866 M multiply-adds, 29.3 M parameters).
MOBILENET_V1_FULL_CONV_DEFS = tuple(
    Conv(record.kernel, record.stride, record.depth) for record in MOBILENET_V1_DEFS
)

# Table 5: without the five 14×14×512 layers (307 M multiply-adds, 2.9 M parameters).
MOBILENET_V1_SHALLOW_DEFS = MOBILENET_V1_DEFS[:7] + MOBILENET_V1_DEFS[12:]

# For 32×32 images: the stem keeps the resolution, pointwise convolutions have a bias.
MOBILENET_V1_CIFAR_DEFS = (
    Conv(3, 1, 32),
    *(DepthSepConv(3, record.stride, record.depth, True) for record in MOBILENET_V1_DEFS[1:]),
)


def mobilenet_v1_arg_scope(
    is_training: bool | None = True,
    weight_decay: float = 4e-5,
    stddev: float = 0.09,
    regularize_depthwise: bool = False,
    batch_norm_decay: float = 0.9997,
    batch_norm_epsilon: float = 0.001,
) -> Scope:
    """MobileNetV1's defaults, as TF-Slim's function of this name.

    Args:
        is_training: False freezes batch norm (inference statistics, no updates) and leaves
            dropout out; True and None leave both to Keras's `training` argument.
        weight_decay: λ in λ·Σw²/2, over standard convolutions (pointwise and logits too).
            Keras's L2(x) is x·Σw², so the regularizer is L2(λ/2).
        stddev: of the truncated normal that weights start from.
        regularize_depthwise: decay depthwise weights as well.
        batch_norm_decay: momentum of the moving statistics. The default is made for hundreds
            of thousands of steps: in a short training use 0.9 to 0.99.
        batch_norm_epsilon: added to the variance.
    """
    decay = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
    convolution = {
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=stddev),
        "kernel_regularizer": decay,
        "activation": "relu6",
    }
    return {
        "conv": convolution,
        "depthwise": convolution | {"kernel_regularizer": decay if regularize_depthwise else None},
        "batch_norm": {
            "momentum": batch_norm_decay,
            "epsilon": batch_norm_epsilon,
            "center": True,
            "scale": True,
            "trainable": is_training is not False,
        },
        "dropout": {"enabled": is_training is not False},
    }


def mobilenet_v1_base(
    inputs: Any,
    final_endpoint: str = "Conv2d_13_pointwise",
    min_depth: int = 8,
    depth_multiplier: float = 1.0,
    conv_defs: Sequence[Conv | DepthSepConv] | None = None,
    output_stride: int | None = None,
    use_explicit_padding: bool = False,
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV1 up to `final_endpoint`.

    Args:
        inputs: keras tensor (B, H, W, C); H and W may be None.
        final_endpoint: `Conv2d_0`, or `Conv2d_i_depthwise` or `Conv2d_i_pointwise` for i in
            1…13. With `conv_defs` of one's own and this default: the table's end.
        min_depth: no layer gets fewer channels.
        depth_multiplier: α > 0 on every depth: max(int(depth · α), min_depth) channels.
        conv_defs: the table; default `MOBILENET_V1_DEFS`.
        output_stride: None, 8, 16 or 32: past it, strides become dilation.
        use_explicit_padding: fixed padding in place of SAME.

    Returns:
        The last tensor and the end points, in building order.

    Raises:
        ValueError: a value out of range; an unknown record or end point.
        TypeError: depth_multiplier is not a number.
    """
    check_multiplier(depth_multiplier, min_depth)
    if conv_defs is not None and final_endpoint == "Conv2d_13_pointwise":
        final_endpoint = None
    with scopes(mobilenet_v1_arg_scope(), None):
        return build_body(
            inputs,
            MOBILENET_V1_DEFS if conv_defs is None else conv_defs,
            width=lambda depth: max(int(depth * depth_multiplier), min_depth),
            names=(f"Conv2d_{i}" for i in count()),
            output_stride=output_stride,
            use_explicit_padding=use_explicit_padding,
            final_endpoint=final_endpoint,
        )


@takes_weights
def mobilenet_v1(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    inputs: Any = None,
    num_classes: int | None = 1000,
    depth_multiplier: float = 1.0,
    min_depth: int = 8,
    dropout_keep_prob: float = 0.999,
    conv_defs: Sequence[Conv | DepthSepConv] | None = None,
    output_stride: int | None = None,
    use_explicit_padding: bool = False,
    spatial_squeeze: bool = True,
    global_pool: bool = False,
    prediction_fn: Any = "softmax",
    arg_scope: Scope | None = None,
    name: str = "MobilenetV1",
) -> keras.Model:
    """MobileNetV1, (B, H, W, C) → (B, num_classes).

    Args:
        input_shape: (height, width, channels); height and width may be None.
        inputs: a keras tensor to build on, in place of `input_shape`.
        num_classes: 0 or None: no classifier; the pooled features (B, 1, 1, C) are returned.
        depth_multiplier, min_depth, conv_defs, output_stride, use_explicit_padding: as
            `mobilenet_v1_base`.
        dropout_keep_prob: share of the pooled features kept in training, in (0, 1].
        spatial_squeeze: drop height and width of the logits; False keeps (B, h, w, classes).
        global_pool: False: a 7×7 window with stride 2 (smaller where the map is), so that an
            input larger than 224 gives a map of predictions. True: pool any map to 1×1.
        prediction_fn: Keras activation (name or callable) on the logits; None returns logits.
        weights: as in `slimnets.load_weights`; None: freshly initialized.
        arg_scope: default arguments for this call (`mobilenet_v1_arg_scope(...)`).
        name: of the model; the default is TF-Slim's variable scope.

    Raises:
        ValueError, TypeError: an argument out of range; the message says what is allowed.
    """
    return classifier(
        input_shape,
        partial(
            mobilenet_v1_base,
            min_depth=min_depth,
            depth_multiplier=depth_multiplier,
            conv_defs=conv_defs,
            output_stride=output_stride,
            use_explicit_padding=use_explicit_padding,
        ),
        mobilenet_v1_arg_scope(),
        inputs=inputs,
        num_classes=num_classes,
        global_pool=global_pool,
        local_pool=_window_pool,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        prediction_fn=prediction_fn,
        arg_scope=arg_scope,
        name=name,
    )


def _window_pool(x: Any) -> Any:
    """TF-Slim's head: 7×7, stride 2 (its avg_pool2d's default), VALID."""
    window = tuple(min(7, n) if n else 7 for n in x.shape[1:3])
    return keras.layers.AveragePooling2D(window, strides=2, padding="valid", name="AvgPool_1a")(x)


def mobilenet_v1_075(input_shape: Sequence[int | None] = (224, 224, 3), **kwargs) -> keras.Model:
    """`mobilenet_v1` at depth_multiplier 0.75."""
    return mobilenet_v1(input_shape, depth_multiplier=0.75, **kwargs)


def mobilenet_v1_050(input_shape: Sequence[int | None] = (224, 224, 3), **kwargs) -> keras.Model:
    """`mobilenet_v1` at depth_multiplier 0.5."""
    return mobilenet_v1(input_shape, depth_multiplier=0.5, **kwargs)


def mobilenet_v1_025(input_shape: Sequence[int | None] = (224, 224, 3), **kwargs) -> keras.Model:
    """`mobilenet_v1` at depth_multiplier 0.25."""
    return mobilenet_v1(input_shape, depth_multiplier=0.25, **kwargs)


@takes_weights
def mobilenet_v1_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int | None = 100,
    arg_scope: Scope | None = None,
    name: str = "MobilenetV1Cifar",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV1 for 32×32 images: stem without stride, plain ReLU, pointwise biases.

    Same keywords as `mobilenet_v1`; defaults: `MOBILENET_V1_CIFAR_DEFS`, fixed padding, global
    pooling, no dropout, batch norm as in PyTorch (momentum 0.9, epsilon 1e-5), weight decay
    5e-4. MACs at 32×32, α=1: 46,446,592; trainable parameters 3,315,428.
    """
    defaults = {
        "conv_defs": MOBILENET_V1_CIFAR_DEFS,
        "min_depth": 1,
        "dropout_keep_prob": 1.0,
        "use_explicit_padding": True,
        "global_pool": True,
    }
    with scopes(_pytorch_scope(weight_decay=5e-4), arg_scope):
        return mobilenet_v1(input_shape, num_classes=num_classes, name=name, **(defaults | kwargs))


def _pytorch_scope(weight_decay: float) -> Scope:
    """What PyTorch's ports share: plain ReLU, and its defaults for batch norm."""
    scope = dict(
        mobilenet_v1_arg_scope(
            weight_decay=weight_decay, batch_norm_decay=0.9, batch_norm_epsilon=1e-5
        )
    )
    relu = {"activation": "relu"}
    return scope | {"conv": scope["conv"] | relu, "depthwise": scope["depthwise"] | relu}
