"""LR-ASPP: segmentation with a gated 1×1 head and one skip connection, on any MobileNet.

Howard et al. 2019, "Searching for MobileNetV3", section 6.4 (arXiv 1905.02244). Facts of the
construction: torchvision `models/segmentation/lraspp.py`; for the paper's form, DeepLab of
tensorflow/models, `model.py` and `core/feature_extractor.py` (`mobilenet_v3_{large,small}_seg`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope
from slimnets.arguments import check_arguments
from slimnets.backbones import (
    Backbone,
    backbone_options,
    build_backbone,
    class_map,
    dilation_complaint,
    head_scope,
    split_weights,
    takes_option,
    torchvision_units,
)
from slimnets.network import check_num_classes, scopes
from slimnets.scopes import training_scope
from slimnets.weights.families import SEGMENT, Family, Row, register
from slimnets.weights.loading import load_for_building
from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.sources import WHOLE_PICTURES, torchvision_segmenter
from slimnets.weights.variants import Variant

FILTERS = 128


def lraspp(
    backbone: str = "mobilenet_v3_large",
    *,
    num_classes: int = 21,
    input_shape: Sequence[int] = (512, 512, 3),
    style: str = "torchvision",
    output_stride: int = 16,
    resize: bool = True,
    weights: Any = None,
    arg_scope: Scope | None = None,
    name: str = "LRASPP",
    **of_backbone: Any,
) -> keras.Model:
    """LR-ASPP, (B, H, W, C) → class scores (B, H, W, num_classes), logits.

    Args:
        backbone: a network of the catalogue; its last map and one at 1/8 are used.
        num_classes: with the background, where there is one.
        style: "torchvision" (one gate for the whole map, without bias; the first block's output at
            1/8; the full tail; PyTorch's padding and dilation) or "paper" (gates of 49×49 windows
            at strides 16 and 20 cells, with bias and h-sigmoid; the last depthwise output at 1/8;
            MobileNetV3's tail reduced; SAME).
        output_stride: of the last map: 8, 16 or 32.
        resize: False leaves the scores at 1/8, as Coral needs it.
        weights: a segmenter's (another num_classes keeps everything but the classifiers), or
            classification weights, as the backbone takes them.
        arg_scope: default arguments for this call.
        of_backbone: keywords of the backbone. Without weights, `style` decides
            use_explicit_padding and MobileNetV3's `reduced_tail`.

    Both resize by half-pixel centres; TensorFlow's DeepLab aligns corners, so that its
    checkpoints' scores differ by less than a cell.

    Raises:
        ValueError, TypeError: an argument out of range; an input whose size is not known.
    """
    check_arguments({"num_classes": num_classes, "name": name})
    check_num_classes(num_classes)
    if style not in ("torchvision", "paper"):
        raise ValueError(f"style must be 'torchvision' or 'paper', got {style!r:.80}.")
    whole, classifier, options = split_weights(weights, "lraspp", backbone)
    paper = style == "paper"
    if classifier is None:
        options = {"use_explicit_padding": not paper, **options}
        if paper and takes_option(backbone, "reduced_tail"):
            options["reduced_tail"] = "segmentation"
    options |= {"output_stride": output_stride, "atrous": "tensorflow" if paper else "torchvision"}
    body = build_backbone(
        backbone,
        input_shape,
        weights=classifier,
        arg_scope=arg_scope,
        **{**options, **of_backbone},
    )
    high = body.output(body.at(output_stride)[-1])
    low = body.output(_skip(body, paper))
    with scopes(training_scope(bn_epsilon=1e-5, activation="relu"), head_scope(arg_scope)):
        x = layers.conv(high, FILTERS, name="head.project")
        x = keras.layers.Multiply(name="head.multiply")([x, _gate(high, paper)])
        x = layers.resize(x, low.shape[1:3], "head.upsample")
        scores = [_classify(low, num_classes, "low"), _classify(x, num_classes, "high")]
        x = keras.layers.Add(name="head.add")(scores)
        x = class_map(x, input_shape[:2] if resize else None)
    model = body.finish(x, name)
    if whole is not None:
        load_for_building(model, whole)
    return model


def _skip(body: Backbone, paper: bool) -> str:
    """The end point at 1/8 that goes past the deeper layers."""
    if not paper:
        return body.at(8, "/output", "_pointwise")[0]
    try:
        return body.at(8, "/depthwise_output", "_depthwise")[-1]
    except ValueError:  # fused blocks have no depthwise convolution
        return body.at(8, "/output")[-1]


def _gate(x: Any, paper: bool) -> Any:
    """How much of each filter there is, 0 to 1, for the whole map or for windows of it."""
    height, width = x.shape[1:3]
    if paper:
        window = (min(49, height), min(49, width))
        gate = keras.layers.AveragePooling2D(window, (16, 20), "valid", name="head.pool")(x)
    else:
        gate = layers.global_pool(x, "head.pool")
    gate = layers.conv(
        gate,
        FILTERS,
        name="head.gate",
        activation="hard_sigmoid" if paper else "sigmoid",
        normalizer=False,
        use_bias=paper,
    )
    # One gate goes for the whole map as it is.
    return gate if gate.shape[1:3] == (1, 1) else layers.resize(gate, (height, width), "head.gates")


def _classify(x: Any, num_classes: int, name: str) -> Any:
    return layers.conv(
        x, num_classes, name=f"head.{name}", activation="linear", normalizer=False, use_bias=True
    )


# What a model or a state dict of this family is.


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    if "head.low" not in units:
        return None
    options = backbone_options(model)
    if options is None:
        return None
    if model.get_layer("head.gate.conv").use_bias:
        options = {"style": "paper", **options}
    return Variant("lraspp", options, classes)


def _variant_of_torchvision(shapes: Shapes, classes: int) -> Variant:
    return Variant("lraspp", {}, classes)


def _torchvision_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    for unit, index, rest in torchvision_units(units, model):
        yield unit, f"backbone.{index}.{rest}"
    yield "head.project", "classifier.cbr.{0,1}"
    yield "head.gate", "classifier.scale.1"
    yield "head.low", "classifier.low_classifier"
    yield "head.high", "classifier.high_classifier"


_REQUIRES = {"use_explicit_padding": True}

FAMILY = register(
    Family(
        name="lraspp",
        paper="1905.02244",
        rows=(Row("lraspp", lraspp, {}, (512, 21), 3_246_194, 1_974_665_088),),
        styles={"lraspp": WHOLE_PICTURES},
        variant=_variant_of_model,
        classifier="head.high",
        before_classifier=("head.low",),
        task=SEGMENT,
        head_layers=("head.", "logits"),
        shape_options=("backbone", "depth_multiplier", "style", "reduced_tail", "minimalistic"),
        sources=(torchvision_segmenter("lraspp", "lraspp_mobilenet_v3_large-d234d4ea", _REQUIRES),),
        state_dicts=(
            StateDictNaming(
                networks=("lraspp",),
                origin="torchvision's LR-ASPP",
                signature=("backbone.0.0.weight", "classifier.cbr.0.weight"),
                name_units=_torchvision_units,
                variant=_variant_of_torchvision,
                classifier="classifier.high_classifier",
                classifiers=("classifier.low_classifier",),
                epsilon=1e-3,
                epsilons={"head.": 1e-5},
                requires=_REQUIRES,
                lacks=("backbone", "depth_multiplier", "style", "reduced_tail", "minimalistic"),
                complaint=dilation_complaint,
            ),
        ),
    )
)
