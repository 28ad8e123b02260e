"""SSDLite: single-shot detection with depthwise-separable heads, on any MobileNet.

Sandler et al. 2018, section 6.2 (arXiv 1801.04381); Howard et al. 2019, section 6.3 (1905.02244).
Facts of the construction: torchvision `models/detection/ssdlite.py`; TF Object Detection API
`models/ssd_mobilenet_v{2,3}_feature_extractor.py` and the configs `ssdlite_mobilenet_*`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope, merge
from slimnets.arguments import check_arguments
from slimnets.backbones import (
    Backbone,
    backbone_options,
    build_backbone,
    open_options,
    options_of_backbone,
    split_weights,
    takes_option,
    torchvision_units,
)
from slimnets.dense.anchors import MAPS, STYLES, anchors_per_cell
from slimnets.network import check_num_classes, scopes
from slimnets.scopes import training_scope
from slimnets.weights.families import DETECT, Family, Row, register
from slimnets.weights.loading import load_for_building
from slimnets.weights.namings import CheckpointNaming, Shapes, StateDictNaming
from slimnets.weights.sources import INCEPTION, WeightSource
from slimnets.weights.tf_slim import below_scope
from slimnets.weights.tf_slim import width as slim_width
from slimnets.weights.units import convolution
from slimnets.weights.variants import Variant

# Depths of the blocks after the backbone, each at half the resolution of the one before.
EXTRA_DEPTHS = (512, 256, 256, 128)
# The score that RetinaNet-like training starts with, a hundredth: sigmoid(-4.6).
_RARE = -4.6


def ssdlite(
    backbone: str = "mobilenet_v3_large",
    *,
    num_classes: int = 90,
    input_shape: Sequence[int] = (320, 320, 3),
    style: str = "torchvision",
    weights: Any = None,
    arg_scope: Scope | None = None,
    name: str = "SSDLite",
    **of_backbone: Any,
) -> keras.Model:
    """SSDLite, (B, H, W, C) → {"scores": (B, anchors, 1 + num_classes), "boxes": (B, anchors, 4)}.

    Raw heads: scores are logits with the background first, boxes are codes (dy, dx, dh, dw)
    relative to `slimnets.anchors(model)`; `slimnets.detect` decodes. At 320×320 there are 3,234
    anchors in torchvision's form, 2,034 in TensorFlow's.

    Args:
        backbone: a network of the catalogue; its last map at 1/16 and its last one are used, and
            four blocks follow.
        num_classes: without the background.
        style: "torchvision" (softmax scores; 6 anchors a cell; zero padding as PyTorch) or
            "tensorflow", the Object Detection API's (sigmoid scores, which begin at 0.01; 3 anchors
            a cell of the first map; SAME).
        weights: a detector's, torchvision's or a checkpoint of the Object Detection API (another
            num_classes keeps everything but the score heads), or classification weights, as the
            backbone takes them, "imagenet" for example. The API's need its style and their
            backbone; of the latter they decide the widths where the caller does not.
        arg_scope: default arguments for this call.
        of_backbone: keywords of the backbone (depth_multiplier, minimalistic, …). MobileNetV3 gets
            `reduced_tail=True`, but for classification weights, which are of the full one. Without
            weights, `style` decides use_explicit_padding.

    Raises:
        ValueError, TypeError: an argument out of range; an input whose size is not known.
    """
    check_arguments({"num_classes": num_classes, "name": name})
    check_num_classes(num_classes)
    if style not in STYLES:
        raise ValueError(f"style must be {' or '.join(map(repr, STYLES))}, got {style!r:.80}.")
    whole, classifier, required = split_weights(weights, "ssdlite", backbone)
    options = open_options(backbone, required)
    if classifier is None:
        options = {"use_explicit_padding": style == "torchvision", **options}
        if takes_option(backbone, "reduced_tail"):
            options["reduced_tail"] = True
    published = {"batch_norm": {"momentum": 0.97, "epsilon": 1e-3}}
    scope = merge(published, arg_scope or {})
    body = build_backbone(
        backbone,
        input_shape,
        weights=classifier,
        arg_scope=scope,
        **{**options, **of_backbone},
    )
    padding = {"padding": body.padding}
    with scopes(_scope(), merge({"conv": padding, "depthwise": padding}, scope)):
        maps = _maps(body)
        cell = anchors_per_cell(style)
        outputs = {
            kind: _head(kind, maps, [count * each for count in cell], each)
            for kind, each in (("scores", 1 + num_classes), ("boxes", 4))
        }
    model = body.finish(outputs, name)
    if style == "tensorflow":
        for k in range(MAPS):
            bias = model.get_layer(f"scores_{k}.predict.conv").bias
            bias.assign(keras.ops.full(bias.shape, _RARE))
    if whole is not None:
        load_for_building(model, whole)
    return model


def _scope() -> Scope:
    start = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.03)}
    return merge(training_scope(), {"conv": start, "depthwise": start})


def _maps(body: Backbone) -> list[Any]:
    """The six maps: the last at 1/16, the backbone's last, and those of the blocks after it."""
    x = body.output(body.at(32)[-1])
    maps = [body.output(body.at(16)[-1]), x]
    for number, depth in enumerate(EXTRA_DEPTHS, start=1):
        depth, name = max(16, int(depth * body.depth_multiplier)), f"extra_{number}"
        x = layers.conv(x, depth // 2, name=f"{name}.reduce")
        x = layers.depthwise(x, 3, stride=2, name=f"{name}.depthwise")
        x = layers.conv(x, depth, name=f"{name}.expand", end_point=name)
        maps.append(x)
    return maps


def _head(kind: str, maps: Sequence[Any], depths: Sequence[int], each: int) -> Any:
    """Of every map `each` numbers an anchor, all maps one after another."""
    found = []
    for k, (x, depth) in enumerate(zip(maps, depths, strict=True)):
        x = layers.depthwise(x, 3, name=f"{kind}_{k}.depthwise")
        x = layers.conv(
            x,
            depth,
            name=f"{kind}_{k}.predict",
            activation="linear",
            normalizer=False,
            use_bias=True,
        )
        # float32 from here on, also in mixed precision: what follows needs the range.
        found.append(keras.layers.Reshape((-1, each), name=f"{kind}_{k}", dtype="float32")(x))
    return keras.layers.Concatenate(axis=1, name=kind, dtype="float32")(found)


# What a model or a state dict of this family is.


def _variant_of_model(model: Any, units: Sequence[str], classes: int) -> Variant | None:
    if "scores_1.predict" not in units:
        return None
    options = backbone_options(model)
    if options is None:
        return None
    return _variant(options, model.get_layer("boxes_0.predict.conv").filters, classes)


def _variant(options: dict[str, Any], first_boxes: int, classes: int) -> Variant:
    """From the backbone and the width of what tells boxes of the first map."""
    # The default backbone's tail is reduced here by itself, and elsewhere when asked for.
    if "backbone" not in options and not options.pop("reduced_tail", False):
        options["reduced_tail"] = False
    if first_boxes == 4 * anchors_per_cell("tensorflow")[0]:
        options["style"] = "tensorflow"
    return Variant("ssdlite", options, classes - 1)


_BACKBONE = "backbone.features"
_SCORES, _BOXES = (f"head.{kind}_head.module_list" for kind in ("classification", "regression"))


def _variant_of_torchvision(shapes: Shapes, classes: int) -> Variant:
    width = shapes[f"{_BACKBONE}.1.3.0.weight"][0]
    return Variant("ssdlite", {} if width == 480 else {"reduced_tail": False}, classes - 1)


def _torchvision_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    """The backbone is cut in two inside of its block 13, which is so no `block` any more."""
    for unit, index, rest in torchvision_units(units, model):
        if index < 13:
            yield unit, f"{_BACKBONE}.0.{index}.{rest}"
        elif index > 13:
            yield unit, f"{_BACKBONE}.1.{index - 13}.{rest}"
        elif rest.startswith("block.0."):
            yield unit, f"{_BACKBONE}.0.13.{rest.removeprefix('block.0.')}"
        else:
            yield unit, f"{_BACKBONE}.1.0.{rest.removeprefix('block.')}"
    for number in range(len(EXTRA_DEPTHS)):
        for part, place in (("reduce", 0), ("depthwise", 1), ("expand", 2)):
            yield f"extra_{number + 1}.{part}", f"backbone.extra.{number}.{place}.{{0,1}}"
    for kind, prefix in (("scores", _SCORES), ("boxes", _BOXES)):
        for k in range(MAPS):
            yield f"{kind}_{k}.depthwise", f"{prefix}.{k}.0.{{0,1}}"
            yield f"{kind}_{k}.predict", f"{prefix}.{k}.1"


def _box_orders(model: Any) -> Mapping[str, tuple[None, Sequence[int]]]:
    """torchvision's codes are (dx, dy, dw, dh), ours (dy, dx, dh, dw)."""
    orders = {}
    for k, count in enumerate(anchors_per_cell("torchvision")):
        order = [4 * anchor + i for anchor in range(count) for i in (1, 0, 3, 2)]
        orders[f"boxes_{k}.predict"] = (None, order)
    return orders


_EXTRACTOR = "FeatureExtractor"
_TF_HEADS = {"scores": "ClassPredictor", "boxes": "BoxEncodingPredictor"}


def _object_detection_naming(backbone: CheckpointNaming) -> CheckpointNaming:
    """The Object Detection API's, whose feature extractor is `backbone`.

    Sources: `models/feature_map_generators.py`, multi_resolution_feature_maps;
    `predictors/convolutional_box_predictor.py`; `predictors/heads/{box,class}_head.py`.
    """
    extractor = f"{_EXTRACTOR}/{backbone.scope}"

    def name_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
        for unit, name in backbone.name_units(units, model):
            yield unit, f"{extractor}/{name}"
        last = [unit for unit in units if not unit.startswith(FAMILY.head_layers)][-1]
        extras = [n for n in range(1, 1 + len(EXTRA_DEPTHS)) if f"extra_{n}.expand" in units]
        for number in extras:
            reduced, depth = (
                convolution(model, f"extra_{number}.{part}").filters
                for part in ("reduce", "expand")
            )
            # Numbered as the maps are.
            first = f"{extractor}/{last}_1_Conv2d_{number + 1}_1x1_{reduced}"
            second = f"{extractor}/{last}_2_Conv2d_{number + 1}_3x3_s2_{depth}"
            yield f"extra_{number}.reduce", first
            yield f"extra_{number}.depthwise", f"{second}_depthwise"
            yield f"extra_{number}.expand", second
        for kind, name in _TF_HEADS.items():
            for k in range(MAPS):
                yield f"{kind}_{k}.depthwise", f"BoxPredictor_{k}/{name}_depthwise"
                yield f"{kind}_{k}.predict", f"BoxPredictor_{k}/{name}"

    def variant(shapes: Shapes, classes: int) -> Variant:
        body = backbone.variant(below_scope(shapes, f"{extractor}/"), 0)
        first_boxes = slim_width(shapes, "BoxPredictor_0/BoxEncodingPredictor")
        return _variant(options_of_backbone(body), first_boxes, classes)

    # The second map's is the one that tells the classes.
    order = (*(k for k in range(MAPS) if k != 1), 1)
    return CheckpointNaming(
        scope="",
        name_units=name_units,
        variant=variant,
        classifier=tuple(f"BoxPredictor_{k}/ClassPredictor" for k in order),
        per_class=6,
        network="ssdlite",
        signature=(extractor, *(f"BoxPredictor_{k}/ClassPredictor_depthwise" for k in order)),
        origin="TensorFlow's Object Detection API",
    )


_COCO = "ssdlite320_mobilenet_v3_large_coco-a79551df"
# The whole picture, squeezed to the input's size.
PICTURES = dataclasses.replace(INCEPTION, size=(320, 320), crop_fraction=1.0)

FAMILY = register(
    Family(
        name="ssdlite",
        paper="1801.04381",
        rows=(Row("ssdlite", ssdlite, {}, (320, 90), 3_473_004, 583_171_904),),
        styles={"ssdlite": PICTURES},
        variant=_variant_of_model,
        classifier="scores_1.predict",
        before_classifier=tuple(f"scores_{k}.predict" for k in range(MAPS) if k != 1),
        per_class=6,
        task=DETECT,
        head_layers=("extra_", "scores", "boxes"),
        shape_options=("backbone", "depth_multiplier", "style", "reduced_tail", "minimalistic"),
        sources=(
            WeightSource(
                name=_COCO,
                network="ssdlite",
                url=f"https://download.pytorch.org/models/{_COCO}.pth",
                sha256="a79551df",
                format="torchvision",
                classes=91,
                preprocessing=PICTURES,
                top1=None,
                requires={"use_explicit_padding": True},
            ),
        ),
        checkpoint_on=_object_detection_naming,
        state_dicts=(
            StateDictNaming(
                networks=("ssdlite",),
                origin="torchvision's SSDLite",
                signature=(f"{_BACKBONE}.0.0.0.weight", f"{_SCORES}.0.1.weight"),
                name_units=_torchvision_units,
                variant=_variant_of_torchvision,
                classifier=f"{_SCORES}.1.1",
                classifiers=tuple(f"{_SCORES}.{k}.1" for k in range(MAPS) if k != 1),
                per_class=6,
                epsilon=1e-3,
                requires={"use_explicit_padding": True},
                lacks=("backbone", "depth_multiplier", "style", "minimalistic"),
                channel_orders=_box_orders,
            ),
        ),
    )
)
