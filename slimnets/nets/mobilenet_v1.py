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

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope
from slimnets.builder import EndPoints, Site, block
from slimnets.conv_defs import Conv, KernelRecord
from slimnets.network import Body, body_keywords, classifier, keywords_of, scopes, takes_weights
from slimnets.scopes import l2_decay
from slimnets.weights.families import CIFAR100, IMAGENET, Family, Row, register
from slimnets.weights.keras_applications import width as keras_width
from slimnets.weights.namings import CheckpointNaming, KerasNaming, Shapes, StateDictNaming
from slimnets.weights.sources import (
    INCEPTION,
    SMALL_PICTURES,
    TIMM_HALF,
    TIMM_PLAIN,
    WeightSource,
    tf_slim_by_size,
    timm,
)
from slimnets.weights.state_dicts import width as torch_width
from slimnets.weights.tf_slim import width as slim_width
from slimnets.weights.timm_names import ORIGIN, PADS, places
from slimnets.weights.units import LOGITS, convolution, rename
from slimnets.weights.variants import Variant, min_depth, multiplier


@dataclass(frozen=True, slots=True)
class DepthSepConv(KernelRecord):
    """Depthwise k×k (with the stride), then pointwise 1×1 to `depth`, each with BN and activation.

    Source: MobileNetV1, section 3.1 (arXiv 1704.04861).
    """

    kernel: int
    stride: int
    depth: int
    pointwise_bias: bool = False


@block(DepthSepConv)
def _depthwise_separable(x: Any, record: DepthSepConv, site: Site) -> Iterator[tuple[str, Any]]:
    name = f"{site.name}_depthwise"
    x = layers.depthwise(
        x, record.kernel, stride=site.stride, rate=site.rate, name=name, end_point=name
    )
    yield name, x
    name = f"{site.name}_pointwise"
    bias = True if record.pointwise_bias else None
    yield name, layers.conv(x, site.width(record.depth), use_bias=bias, name=name, end_point=name)


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
    decay = l2_decay(weight_decay)
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


def _channels(depth: float, min_depth: int) -> int:
    return max(int(depth), min_depth)


def _names(conv_defs: Sequence[Any]) -> Iterator[str]:
    return (f"Conv2d_{i}" for i in count())


_BODY = Body(MOBILENET_V1_DEFS, mobilenet_v1_arg_scope, _channels, _names)


@body_keywords
def mobilenet_v1_base(
    inputs: Any, final_endpoint: str | None = "Conv2d_13_pointwise", *args: Any, **kwargs: Any
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV1 up to `final_endpoint`.

    A layer gets max(int(depth · depth_multiplier), min_depth) channels. Arguments, result and
    errors: `slimnets.network.Body.build`.

    Args:
        final_endpoint: `Conv2d_0`, or `Conv2d_i_depthwise` or `Conv2d_i_pointwise` for i in
            1…13. With `conv_defs` of one's own and this default: the table's end.
    """
    if final_endpoint == "Conv2d_13_pointwise":
        final_endpoint = None
    return _BODY.build(inputs, final_endpoint, *args, **kwargs)


@takes_weights
@keywords_of(mobilenet_v1_base, classifier)
def mobilenet_v1(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    dropout_keep_prob: float | None = 0.999,
    global_pool: bool = False,
    name: str = "MobilenetV1",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV1, (B, H, W, C) → (B, num_classes).

    Args:
        global_pool: False: a 7×7 window with stride 2 (smaller where the map is), so that an
            input larger than 224 gives a map of predictions. True: pool any map to 1×1.
        weights: as in `slimnets.load_weights`; None: freshly initialized.
        arg_scope: default arguments for this call (`mobilenet_v1_arg_scope(...)`).
        name: of the model; the default is TF-Slim's variable scope.

    The other arguments and the errors: `slimnets.network.classifier` and `mobilenet_v1_base`.
    """
    return classifier(
        input_shape,
        mobilenet_v1_base,
        mobilenet_v1_arg_scope(),
        global_pool=global_pool,
        local_pool=_window_pool,
        dropout_keep_prob=dropout_keep_prob,
        name=name,
        **kwargs,
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


# What a state dict or a model of this family is, told from its widths.


def _variant(
    last_width: int, classes: int, network: str = "mobilenet_v1", stem: int = 0
) -> Variant:
    """From the widths of the last pointwise convolution and of the stem."""
    options: dict[str, Any] = dict(multiplier(last_width, 1024, int))
    usual = max(int(32 * options.get("depth_multiplier", 1.0)), 8)
    return Variant(network, options | min_depth(stem, usual), classes)


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    if "Conv2d_0" not in units:
        return None
    biased = convolution(model, "Conv2d_1_pointwise").use_bias
    last_width = convolution(model, "Conv2d_13_pointwise").filters
    stem = convolution(model, "Conv2d_0").filters
    return _variant(last_width, classes, "mobilenet_v1_cifar" if biased else "mobilenet_v1", stem)


def _variant_of_checkpoint(shapes: Shapes, classes: int) -> Variant:
    stem = slim_width(shapes, "Conv2d_0")
    return _variant(slim_width(shapes, "Conv2d_13_pointwise"), classes, stem=stem)


def _variant_of_keras(shapes: Shapes, classes: int) -> Variant:
    return _variant(keras_width(shapes, "conv_pw_13"), classes)


def _variant_of_port(shapes: Shapes, classes: int) -> Variant:
    return _variant(torch_width(shapes, "model.13.3"), classes)


def _variant_of_timm(shapes: Shapes, classes: int) -> Variant:
    return _variant(torch_width(shapes, "blocks.4.1.conv_pw"), classes)


def _variant_of_cifar(shapes: Shapes, classes: int) -> Variant:
    return _variant(torch_width(shapes, "conv4.1.pointwise.0"), classes, "mobilenet_v1_cifar")


# Its layers' names elsewhere.
_SLIM_UNITS = {
    r"(Conv2d_\d+(_depthwise|_pointwise)?)": r"\1",
    re.escape(LOGITS): r"Logits/Conv2d_1c_1x1",
}
_KERAS_UNITS = {
    r"Conv2d_0": r"{conv1,conv1_bn}",
    r"Conv2d_(\d+)_depthwise": r"conv_dw_\1{,_bn}",
    r"Conv2d_(\d+)_pointwise": r"conv_pw_\1{,_bn}",
    re.escape(LOGITS): r"conv_preds",
}
_PORT_UNITS = {
    r"Conv2d_0": r"model.0.{0,1}",
    r"Conv2d_(\d+)_depthwise": r"model.\1.{0,1}",
    r"Conv2d_(\d+)_pointwise": r"model.\1.{3,4}",
    re.escape(LOGITS): r"fc",
}


_TIMM_PLACES = places((1, 2, 2, 6, 2))
_TIMM_PARTS = {"depthwise": "{conv_dw,bn1}", "pointwise": "{conv_pw,bn2}"}


def _timm_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    for unit in units:
        if unit == LOGITS:
            yield unit, "classifier"
        elif unit == "Conv2d_0":
            yield unit, "{conv_stem,bn1}"
        elif match := re.fullmatch(r"Conv2d_(\d+)_(\w+)", unit):
            place = dict(enumerate(_TIMM_PLACES, 1)).get(int(match[1]))
            if place and match[2] in _TIMM_PARTS:
                yield unit, f"{place}.{_TIMM_PARTS[match[2]]}"


def _cifar_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
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
            place = f"conv{stage}.{index}" if stage else f"stem.{index}"
            yield unit, f"{place}.{part}.{{0,1}}"


_URL = "http://download.tensorflow.org/models/mobilenet_v1_2018_02_22"
_SIZES = (224, 192, 160, 128)
# Depth multiplier: (top-1, top-5) at each resolution. Source: TF-Slim's `mobilenet_v1.md`.
_ACCURACY = {
    1.0: ((70.9, 89.9), (70.0, 89.2), (68.0, 87.7), (65.2, 85.8)),
    0.75: ((68.4, 88.2), (67.2, 87.3), (65.3, 86.0), (62.1, 83.9)),
    0.5: ((63.3, 84.9), (61.7, 83.6), (59.1, 81.9), (56.3, 79.4)),
    0.25: ((49.8, 74.2), (47.7, 72.3), (45.5, 70.3), (41.5, 66.3)),
}
_ROWS = (
    # name                    builder             options                     input     params     multiply-adds  top-1 int8
    Row("mobilenet_v1",       mobilenet_v1,       {},                         IMAGENET, 4_253_864, 568_740_352,   70.9, 69.7),
    Row("mobilenet_v1_125",   mobilenet_v1,       {"depth_multiplier": 1.25}, IMAGENET, 6_298_200, 879_516_800,   76.9),
    Row("mobilenet_v1_075",   mobilenet_v1,       {"depth_multiplier": 0.75}, IMAGENET, 2_601_976, 325_400_448,   68.4, 67.9),
    Row("mobilenet_v1_050",   mobilenet_v1,       {"depth_multiplier": 0.5},  IMAGENET, 1_342_536, 149_497_088,   63.3, 62.2),
    Row("mobilenet_v1_025",   mobilenet_v1,       {"depth_multiplier": 0.25}, IMAGENET, 475_544,   41_030_272,    49.8, 48.2),
    Row("mobilenet_v1_cifar", mobilenet_v1_cifar, {},                         CIFAR100, 3_337_316, 46_446_592),
)  # fmt: skip

# timm pools the whole map, whatever its size.
_TIMM = {"global_pool": True}
_PLAIN_RELU = {"conv": {"activation": "relu"}, "depthwise": {"activation": "relu"}}
# MLPerf Tiny's visual wake words: no person, person. Its images only become 0 … 1.
_VWW = WeightSource(
    name="vww_96",
    network="mobilenet_v1",
    url="https://github.com/mlcommons/tiny/raw/master/benchmark/training/visual_wake_words/"
    "trained_models/vww_96.h5",
    sha256="af9111d50e6e85b2f2123345e0316ef1c384865ebf6b06340ddac7e66017450f",
    format="keras",
    classes=2,
    preprocessing=replace(TIMM_PLAIN, size=(96, 96), crop_fraction=1.0, keep_aspect_ratio=False),
    top1=None,
    options={"depth_multiplier": 0.25},
    requires={"arg_scope": _PLAIN_RELU},
)

FAMILY = register(
    Family(
        name="mobilenet_v1",
        paper="1704.04861",
        rows=_ROWS,
        # keras.applications calls it "mobilenet_1.00_224".
        styles={"mobilenet": INCEPTION, "mobilenetv1cifar": SMALL_PICTURES},
        variant=_variant_of_model,
        sources=(
            timm(
                "mobilenet_v1",
                "mobilenetv1_100.ra4_e3600_r224_in1k",
                75.388,
                92.310,
                TIMM_HALF,
                requires=_TIMM,
            ),
            timm(
                "mobilenet_v1",
                "mobilenetv1_125.ra4_e3600_r224_in1k",
                76.920,
                93.232,
                TIMM_HALF,
                crop=0.9,
                requires=_TIMM,
                depth_multiplier=1.25,
            ),
            *tf_slim_by_size("mobilenet_v1", _URL, _SIZES, _ACCURACY),
            _VWW,
        ),
        checkpoints=(
            CheckpointNaming(
                scope="MobilenetV1",
                name_units=lambda units, model: rename(_SLIM_UNITS, units),
                variant=_variant_of_checkpoint,
            ),
        ),
        keras_models=(
            KerasNaming(
                title="MobileNet",
                pattern=r"conv_(dw|pw)_\d+(_bn)?/",
                name_units=lambda units: rename(_KERAS_UNITS, units),
                variant=_variant_of_keras,
                classifier=("conv_preds",),
                odd_as_same=False,
            ),
        ),
        state_dicts=(
            StateDictNaming(
                networks=("mobilenet_v1",),
                origin="the PyTorch port",
                signature=("model.0.0.weight", "model.1.3.weight"),
                name_units=lambda units, model: rename(_PORT_UNITS, units),
                variant=_variant_of_port,
                classifier="fc",
                dense=("fc",),
                requires={"use_explicit_padding": True, "arg_scope": _PLAIN_RELU},
            ),
            StateDictNaming(
                networks=("mobilenet_v1",),
                origin=ORIGIN,
                signature=("conv_stem.weight", "blocks.3.5.conv_pw.weight"),
                absent=("blocks.3.5.conv_pwl.weight", "conv_head.weight"),
                name_units=_timm_units,
                variant=_variant_of_timm,
                classifier="classifier",
                dense=("classifier",),
                requires={**PADS, **_TIMM},
            ),
            StateDictNaming(
                networks=("mobilenet_v1_cifar",),
                origin="the PyTorch CIFAR form",
                signature=("stem.0.conv.weight", "stem.1.depthwise.0.weight"),
                name_units=_cifar_units,
                variant=_variant_of_cifar,
                classifier="fc",
                dense=("fc",),
            ),
        ),
    )
)
