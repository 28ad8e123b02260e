"""A classification network as what detectors and segmenters stand on.

Its end points are found by their stride, not by name, so that any network of the catalogue whose
maps shrink to 1/32 will do.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope, merge
from slimnets.arguments import check_input_shape
from slimnets.network import end_points, finish
from slimnets.weights import remembered
from slimnets.weights.families import backbone_of, families
from slimnets.weights.requirements import source_network, source_requirements
from slimnets.weights.variants import Variant
from tflite.hints import did_you_mean
from tflite.images import Preprocessing

DEFAULT_BACKBONE = "mobilenet_v3_large"


@dataclass(frozen=True)
class Backbone:
    """A body without classifier.

    Attributes:
        model: from images to pooled features; its end points are what is built on.
        strides: end point → how many times smaller than the image it is.
        padding: of its strided convolutions, "fixed" or "same".
        depth_multiplier: of its widths.
        images: that its weights were made with; None: it has none.
    """

    model: keras.Model
    strides: Mapping[str, int]
    padding: str
    depth_multiplier: float = 1.0
    images: Preprocessing | None = None

    def output(self, name: str) -> Any:
        """The end point of this name."""
        return end_points(self.model)[name]

    def at(self, stride: int, *endings: str) -> list[str]:
        """The end points of this stride whose names end so, in building order.

        Raises:
            ValueError: there is none.
        """
        found = [
            name
            for name, its in self.strides.items()
            if its == stride and name.endswith(endings or "")
        ]
        if not found:
            wanted = f" called …{' or …'.join(endings)}" if endings else ""
            raise ValueError(
                f"{self.model.name} has no map of 1/{stride} of its input{wanted}, which this "
                "network is built on; choose a MobileNet as backbone."
            )
        return found

    def finish(self, outputs: Any, name: str) -> keras.Model:
        """The model from images to `outputs`, which takes images as the backbone's weights do.

        Where none were loaded, `slimnets.preprocessing` goes by the model's name.
        """
        model = finish(self.model.input, outputs, name)
        if self.images is not None:
            remembered.remember(model, self.images.whole())
        return model


def build_backbone(
    name: str, input_shape: Sequence[int], *, weights: Any = None, **options: Any
) -> Backbone:
    """Build the network `name` of the catalogue as a backbone.

    Args:
        name: such as "mobilenet_v2" or "mobilenet_v3_small_075".
        input_shape: (height, width, channels), all known.
        weights: classification weights, as every network takes them; they decide the padding where
            `options` do not.
        options: the network's own (depth_multiplier, output_stride, arg_scope, …).

    Raises:
        ValueError: an unknown name, with the nearest one; an unknown size.
        TypeError: an option that the network does not take.
    """
    check_fixed_size(input_shape)
    builder, known = _find(name)
    options = {**known, **options}
    model = builder(tuple(input_shape), num_classes=0, global_pool=True, weights=weights, **options)
    heights = {key: tensor.shape[1] for key, tensor in end_points(model).items()}
    heights.pop("global_pool")
    fixed = any(layer.name.endswith(".pad") for layer in model.layers)
    strides = dict(_strides(heights, input_shape[0]))
    images = remembered.images_of(model) if weights is not None else None
    alpha = options.get("depth_multiplier", 1.0)
    return Backbone(model, strides, "fixed" if fixed else "same", alpha, images)


def _strides(heights: Mapping[str, int], height: int) -> Iterator[tuple[str, int]]:
    """By halvings on the way, for the ratios of 161, 81, 41, 21 and 11 do not say it."""
    stride = 1
    for key, this in heights.items():
        while height > this:
            height, stride = -(-height // 2), 2 * stride
        yield key, stride


def takes_option(name: str, option: str) -> bool:
    """Whether the network `name` of the catalogue has this keyword."""
    return option in inspect.signature(_find(name)[0]).parameters


def open_options(name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the keywords that the network `name` takes, and its name does not decide."""
    known = _find(name)[1]
    return {k: v for k, v in wanted.items() if takes_option(name, k) and k not in known}


def backbone_options(model: Any) -> dict[str, Any] | None:
    """The keywords that say what a detector or segmenter stands on; None: on nothing known."""
    found = backbone_of(model)
    return None if found is None else options_of_backbone(found)


def options_of_backbone(found: Variant) -> dict[str, Any]:
    """The keywords of a detector or segmenter that stands on this network."""
    named = {} if found.network == DEFAULT_BACKBONE else {"backbone": found.network}
    return {**named, **found.options}


def torchvision_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, int, str]]:
    """What torchvision calls the parts of MobileNetV3-Large: (unit, i, rest) of `features.i.rest`.

    Its detectors and segmenters have them under other names.
    """
    namings = (naming for family in families() for naming in family.state_dicts)
    v3 = next(naming for naming in namings if "mobilenet_v3_large" in naming.networks)
    for unit, template in v3.name_units(units, model):
        match = re.fullmatch(r"features\.(\d+)\.(.*)", template)
        if match:
            yield unit, int(match[1]), match[2]


def head_scope(own: Scope | None) -> Scope:
    """A segmenter's head under the scope of the call: batch norm's momentum as in PyTorch."""
    return merge({"batch_norm": {"momentum": 0.9}}, own or {})


def class_map(x: Any, size: Sequence[int] | None) -> Any:
    """A segmenter's last layer: logits of `size` (height, width), or as they are; float32."""
    if size is not None:
        x = layers.resize(x, size, "head.resize")
    return keras.layers.Identity(name="logits", dtype="float32")(x)


def dilation_complaint(model: Any) -> str | None:
    """Why torchvision's weights are of another function than this MobileNetV3-Large, if so.

    Where a block gives up its stride, torchvision dilates that block too.
    """
    for name in ("layer_8.depthwise.conv", "layer_14.depthwise.conv"):
        layer = model.get_layer(name)
        if max(layer.strides) == max(layer.dilation_rate) == 1:
            return (
                f"{name} has neither stride nor dilation; build the model with "
                "atrous='torchvision'."
            )
    return None


def split_weights(weights: Any, network: str, backbone: str) -> tuple[Any, Any, dict[str, Any]]:
    """(weights for the whole, weights for the backbone, keywords that the former require).

    Weights of a detector or segmenter are told by the names in them; all others are the backbone's.
    """
    if weights is None:
        return None, None, {}
    _find(backbone)
    if source_network(weights) == network:
        return weights, None, source_requirements(weights, network)
    return None, weights, {}


def required_options(
    weights: Any, network: str, backbone: str, input_shape: Sequence[int]
) -> dict[str, Any]:
    """The keywords with which a detector or segmenter is built alike without its `weights`."""
    whole, classifier, required = split_weights(weights, network, backbone)
    if whole is not None or classifier is None:
        return required
    builder, known = _find(backbone)
    needed = source_requirements(
        classifier, builder.__name__, **{"input_shape": tuple(input_shape), **known}
    )
    options = {"use_explicit_padding": needed.get("use_explicit_padding", False)}
    if takes_option(backbone, "reduced_tail"):
        options["reduced_tail"] = False
    return options


def check_fixed_size(input_shape: Sequence[int]) -> None:
    """Raise a ValueError unless height and width are known."""
    check_input_shape(input_shape)
    if None in tuple(input_shape):
        raise ValueError(
            f"input_shape must have a known height and width here, got {tuple(input_shape)}: boxes "
            "and maps are laid out for them. Weights fit any size: build the model again for "
            "another one."
        )


def _find(name: str) -> tuple[Callable[..., keras.Model], Mapping[str, Any]]:
    """The builder of a row of the catalogue, and its options."""
    rows = {row.name: row for f in families() if not f.on_backbone for row in f.rows}
    if not isinstance(name, str) or name not in rows:
        raise ValueError(
            f"backbone must be a network of the catalogue, such as 'mobilenet_v2', got "
            f"{name!r:.80}.{did_you_mean(name, rows)}"
        )
    return rows[name].builder, rows[name].options
