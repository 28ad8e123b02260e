"""DeepLabV3: segmentation by atrous spatial pyramid pooling, on any MobileNet.

Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation" (arXiv
1706.05587); Sandler et al. 2018, section 6.3 (1801.04381). Facts of the construction: torchvision
`models/segmentation/deeplabv3.py`; for the form without atrous branches, DeepLab of
tensorflow/models, `model.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope
from slimnets.arguments import check_arguments
from slimnets.backbones import (
    backbone_options,
    build_backbone,
    class_map,
    dilation_complaint,
    head_scope,
    split_weights,
    torchvision_units,
)
from slimnets.network import check_num_classes, scopes
from slimnets.scopes import training_scope
from slimnets.weights.families import SEGMENT, Family, Row, register
from slimnets.weights.loading import load_for_building
from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.sources import WHOLE_PICTURES, torchvision_segmenter
from slimnets.weights.variants import Variant

FILTERS = 256
ATROUS_RATES = (12, 24, 36)


def deeplab_v3(
    backbone: str = "mobilenet_v3_large",
    *,
    num_classes: int = 21,
    input_shape: Sequence[int] = (512, 512, 3),
    atrous_rates: Sequence[int] | None = ATROUS_RATES,
    output_stride: int = 16,
    bounded_activation: bool = False,
    resize: bool = True,
    weights: Any = None,
    arg_scope: Scope | None = None,
    name: str = "DeepLabV3",
    **of_backbone: Any,
) -> keras.Model:
    """DeepLabV3, (B, H, W, C) → class scores (B, H, W, num_classes), logits.

    Args:
        backbone: a network of the catalogue.
        num_classes: with the background, where there is one.
        atrous_rates: of the pyramid's 3×3 convolutions, in torchvision's form: on the backbone's
            last map, a 3×3 convolution after the pyramid, PyTorch's padding and dilation. None:
            TensorFlow's form for phones, on the last block's map: a 1×1 convolution and the whole
            map's mean, no more; SAME.
        output_stride: of the backbone's map, 16 or 8 (four times the work; twice the rates).
        bounded_activation: ReLU6 for ReLU in the head, for int8.
        resize: False leaves the scores at `output_stride`.
        weights: a segmenter's (another num_classes keeps everything but the classifier; an
            auxiliary one is passed over), or classification weights, as the backbone takes them.
        arg_scope: default arguments for this call.
        of_backbone: keywords of the backbone.

    Raises:
        ValueError, TypeError: an argument out of range; an input whose size is not known.
    """
    check_arguments({"num_classes": num_classes, "name": name})
    check_num_classes(num_classes)
    _check_rates(atrous_rates, output_stride)
    whole, classifier, options = split_weights(weights, "deeplab_v3", backbone)
    mobile = atrous_rates is None
    if classifier is None:
        options = {"use_explicit_padding": not mobile, **options}
    options |= {"output_stride": output_stride, "atrous": "tensorflow" if mobile else "torchvision"}
    body = build_backbone(
        backbone,
        input_shape,
        weights=classifier,
        arg_scope=arg_scope,
        **{**options, **of_backbone},
    )
    endings = ("/output", "_pointwise") if mobile else ()
    x = body.output(body.at(output_stride, *endings)[-1])
    activation = "relu6" if bounded_activation else "relu"
    with scopes(training_scope(bn_epsilon=1e-5, activation=activation), head_scope(arg_scope)):
        x = _mobile_pyramid(x) if mobile else _pyramid(x, atrous_rates)
        x = layers.conv(
            x,
            num_classes,
            name="head.logits",
            activation="linear",
            normalizer=False,
            use_bias=True,
        )
        x = class_map(x, input_shape[:2] if resize else None)
    model = body.finish(x, name)
    if whole is not None:
        load_for_building(model, whole)
    return model


def _check_rates(atrous_rates: Any, output_stride: Any) -> None:
    if output_stride not in (8, 16):
        raise ValueError(f"output_stride must be 16 or 8 here, got {output_stride!r:.80}.")
    if atrous_rates is None:
        return
    listed = list(atrous_rates) if isinstance(atrous_rates, list | tuple) else []
    whole = all(isinstance(r, Integral) and not isinstance(r, bool) and r > 0 for r in listed)
    if not listed or not whole:
        raise ValueError(
            f"atrous_rates must be None or integers above 0, such as {ATROUS_RATES}, got "
            f"{atrous_rates!r:.80}."
        )


def _pooled(x: Any) -> Any:
    """What the whole map says, at each of its places."""
    pooled = layers.conv(layers.global_pool(x, "head.pool"), FILTERS, name="head.pooled")
    return keras.layers.UpSampling2D(x.shape[1:3], name="head.spread")(pooled)


def _pyramid(x: Any, rates: Sequence[int]) -> Any:
    branches = [layers.conv(x, FILTERS, name="head.aspp_0")]
    for number, rate in enumerate(rates, start=1):
        branches.append(layers.conv(x, FILTERS, 3, rate=rate, name=f"head.aspp_{number}"))
    x = keras.layers.Concatenate(name="head.concat")([*branches, _pooled(x)])
    x = layers.conv(x, FILTERS, name="head.project")
    x = layers.dropout(x, 0.5, "head")
    return layers.conv(x, FILTERS, 3, name="head.conv")


def _mobile_pyramid(x: Any) -> Any:
    branches = [_pooled(x), layers.conv(x, FILTERS, name="head.aspp_0")]
    x = keras.layers.Concatenate(name="head.concat")(branches)
    x = layers.conv(x, FILTERS, name="head.project")
    return layers.dropout(x, 0.9, "head")


# What a model or a state dict of this family is.


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    if "head.logits" not in units:
        return None
    options = backbone_options(model)
    if options is None:
        return None
    if (rates := _rates(model)) != ATROUS_RATES:
        options["atrous_rates"] = rates
    return Variant("deeplab_v3", options, classes)


def _rates(model: Any) -> tuple[int, ...] | None:
    names = [layer.name for layer in model.layers]
    branches = (f"head.aspp_{number}.conv" for number in range(1, len(names)))
    found = tuple(model.get_layer(b).dilation_rate[0] for b in branches if b in names)
    return found or None


def _complaint(model: Any) -> str | None:
    if (rates := _rates(model)) != ATROUS_RATES:
        return f"atrous_rates are {rates}; build the model with atrous_rates={ATROUS_RATES}."
    return dilation_complaint(model)


def _variant_of_torchvision(shapes: Shapes, classes: int) -> Variant:
    return Variant("deeplab_v3", {}, classes)


def _torchvision_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    for unit, index, rest in torchvision_units(units, model):
        yield unit, f"backbone.{index}.{rest}"
    for number in range(4):
        yield f"head.aspp_{number}", f"classifier.0.convs.{number}.{{0,1}}"
    yield "head.pooled", "classifier.0.convs.4.{1,2}"
    yield "head.project", "classifier.0.project.{0,1}"
    yield "head.conv", "classifier.{1,2}"
    yield "head.logits", "classifier.4"


_REQUIRES = {"use_explicit_padding": True}
_FILE = "deeplabv3_mobilenet_v3_large-fc3c493d"

FAMILY = register(
    Family(
        name="deeplab_v3",
        paper="1706.05587",
        rows=(Row("deeplab_v3", deeplab_v3, {}, (512, 21), 11_053_461, 9_825_968_000),),
        styles={"deeplabv3": WHOLE_PICTURES},
        variant=_variant_of_model,
        classifier="head.logits",
        task=SEGMENT,
        head_layers=("head.", "logits"),
        shape_options=("backbone", "depth_multiplier", "atrous_rates", "minimalistic"),
        sources=(torchvision_segmenter("deeplab_v3", _FILE, _REQUIRES),),
        state_dicts=(
            StateDictNaming(
                networks=("deeplab_v3",),
                origin="torchvision's DeepLabV3",
                signature=("backbone.0.0.weight", "classifier.0.convs.0.0.weight"),
                name_units=_torchvision_units,
                variant=_variant_of_torchvision,
                classifier="classifier.4",
                ignored=("aux_classifier.",),
                epsilon=1e-3,
                epsilons={"head.": 1e-5},
                requires=_REQUIRES,
                lacks=("backbone", "depth_multiplier", "atrous_rates", "reduced_tail"),
                complaint=_complaint,
            ),
        ),
    )
)
