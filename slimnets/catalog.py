"""Names → networks, with their published figures, weights and preprocessing.

What is known of a network stands in its family's file in `slimnets/nets`; here it is collected.
Parameters and multiply-adds, and the accuracies on ImageNet (top-1 and 8-bit top-1, %), are the
papers' and the reference implementations' figures; the tests hold the builders to them.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from slimnets import nets  # noqa: F401  makes the families known
from slimnets.weights import (
    export_safetensors,
    export_torch,
    load_weights,
    source_requirements,
)
from slimnets.weights.families import Family, all_sources, families, sources_for
from slimnets.weights.remembered import (
    fitting_sources,
    images_of,
    preprocessing_of,
    same_pixels,
    style_of_name,
)
from tflite.hints import did_you_mean
from tflite.images import Preprocessing

__all__ = [
    "CATALOG",
    "ModelInfo",
    "check_alike",
    "create_model",
    "export_safetensors",
    "export_torch",
    "for_size",
    "list_models",
    "load_weights",
    "model_info",
    "preprocessing",
    "source_requirements",
]


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network without building it.

    Attributes:
        name: what `create_model` takes.
        task: "classify", "detect" or "segment".
        builder: name of the function in `slimnets` that it calls, with `options`.
        size: default input height and width in pixels.
        classes: default number of classes.
        params, macs: total parameters, and multiply-adds for one image at `size`.
        top1, top1_int8: published accuracy in %, or None.
        paper: arXiv number.
        licence: of the code and of the references' published weights.
    """

    name: str
    task: str
    builder: str
    options: Mapping[str, Any] = field(hash=False)
    size: int
    classes: int
    params: int
    macs: int
    top1: float | None
    top1_int8: float | None
    paper: str
    licence: str = "Apache-2.0"

    @property
    def weight_sources(self) -> tuple[str, ...]:
        """Names of published weights for it, as `weights=` takes them.

        Of a classifier "imagenet" is the first; of a detector or segmenter it is that of its
        backbone.
        """
        found = sources_for(self.builder, self.options, self.size)
        return tuple(source.name for source in found)

    @property
    def estimated_bytes(self) -> dict[str, int]:
        """About how large its float16 and int8 .tflite files are, by precision.

        Two bytes a parameter; one, and a tenth for scales and 32-bit biases. Within 15 % of files
        that were made (`slimnets models NAME --convert`); the smallest networks' are larger.
        """
        return {"float16": 2 * self.params, "int8": round(1.1 * self.params)}


def _infos(family: Family) -> dict[str, ModelInfo]:
    return {
        row.name: ModelInfo(
            row.name,
            family.task,
            row.builder.__name__,
            MappingProxyType(row.options),
            *row.default,
            row.params,
            row.macs,
            row.top1,
            row.top1_int8,
            family.paper,
            family.licence,
        )
        for row in family.rows
    }


CATALOG: Mapping[str, ModelInfo] = MappingProxyType(
    {name: info for family in families() for name, info in _infos(family).items()}
)
_BUILDERS = {name: build for family in families() for name, build in family.builders.items()}


def list_models(pattern: str = "*", pretrained: bool | None = None) -> list[str]:
    """Names of the catalogue that match a shell pattern, in its order.

    Args:
        pattern: of the whole name, such as "mobilenet_v3*"; capitals count.
        pretrained: True: only those with published weights; False: only those without.

    Raises:
        TypeError: an argument of the wrong type.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be text, such as 'mobilenet*', got {pattern!r:.80}.")
    if pretrained not in (None, True, False):
        raise TypeError(f"pretrained must be True, False or None, got {pretrained!r:.80}.")
    return [
        name
        for name, info in CATALOG.items()
        if fnmatch.fnmatchcase(name, pattern) and pretrained in (None, bool(info.weight_sources))
    ]


def model_info(name: str) -> ModelInfo:
    """What is known of a network of the catalogue.

    Raises:
        ValueError: an unknown name; the nearest is named.
        TypeError: no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"a network is told by its name, got {name!r:.80}.")
    if name not in CATALOG:
        raise ValueError(
            f"Unknown network {name!r}.{did_you_mean(name, CATALOG)} list_models() lists all "
            f"{len(CATALOG)}."
        )
    return CATALOG[name]


def published_accuracies() -> dict[str, list[tuple[float, float]]]:
    """Family → (million multiply-adds, ImageNet's top-1 in %) of its networks that have both."""
    found = {
        family.name: [
            (row.macs / 1e6, row.top1)
            for row in family.rows
            if row.top1 is not None and row.default[1] >= 1000
        ]
        for family in families()
    }
    return {name: points for name, points in found.items() if points}


def create_model(name: str, **kwargs: Any) -> Any:
    """Build a network of the catalogue; `kwargs` go to its builder, over the name's own options.

    Raises:
        ValueError: an unknown name, with the nearest one; whatever the builder raises.
        TypeError: an argument that the builder does not take.
    """
    info = model_info(name)
    return _BUILDERS[info.builder](**{**info.options, **kwargs})


# Below this input size photographs are used whole: CIFAR, MNIST and the like are cut to their
# object already, and a network for them has no pixel to spare.
_SMALL_INPUT = 96


def preprocessing(name_or_model: Any) -> Preprocessing:
    """The preprocessing a network expects.

    Args:
        name_or_model: a network's name ("mobilenet_v1", "MobilenetV1", "mobilenet_v2_140"), the
            name of published weights ("mobilenet_v2-b0353104"), or a Keras model: with published
            weights just loaded, what they learned from counts, else its name tells the family; its
            input shape tells the size.

    Returns:
        The weights' own `Preprocessing` where they are known, else the family's: TF-Slim's [-1, 1]
        for MobileNets, but torchvision's mean and std for one with fixed padding, which is how
        PyTorch's weights need it built, or what all published weights with the model's table,
        padding and epsilon were given. For a model with a known input size, `size` is that size;
        and with inputs smaller than 96 pixels the whole image is used (crop_fraction 1). A grey
        model gets grey images.

    Raises:
        ValueError: no family is known by this name, or images do not come in the model's channels.
        TypeError: neither a name nor a model.
    """
    if isinstance(name_or_model, str):
        published = {source.name: source.preprocessing for source in all_sources()}
        return published.get(name_or_model) or style_of_name(name_or_model)
    shape = getattr(name_or_model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise TypeError(
            "preprocessing takes a network's name or a Keras model with one image input "
            f"(batch, height, width, channels), got {type(name_or_model).__name__}"
            f"{'' if shape is None else f' with input shape {shape}'}."
        )
    style = images_of(name_or_model)
    if shape[3] is not None:
        style = style.for_channels(shape[3])
    return style if None in shape[1:3] else for_size(style, shape[1:3])


def check_alike(model: Any, title: Any, advice: str) -> None:
    """Raise unless all published weights that a model may have were given the same images.

    Padding, epsilon and table tell weights apart, but not all: timm's MobileNetV3-Large is there
    for 0…1, -1…1 and ImageNet's mean and deviation. Where the weights were just loaded by their
    name, that counts.

    Args:
        model: a Keras model.
        title: what to call it.
        advice: what to do, before the names of those weights.

    Raises:
        ValueError: they differ.
    """
    if preprocessing_of(model) is not None:
        return
    fitting = fitting_sources(model)
    kinds = [source.preprocessing for source in fitting]
    if all(same_pixels(kinds[0], other) for other in kinds[1:]):
        return
    listed = ", ".join(f"{source.name} ({_pixels(source.preprocessing)})" for source in fitting)
    raise ValueError(
        f"{title} does not say how it takes images, and weights that fit it differ in that. "
        f"{advice} those it has or began with: {listed}."
    )


def _pixels(style: Preprocessing) -> str:
    return "{:.3g}…{:.3g}".format(*style.range)


def for_size(style: Preprocessing, size: Sequence[int]) -> Preprocessing:
    """`style` at another input size; small inputs take the whole image (see `preprocessing`)."""
    height, width = size
    crop = 1.0 if min(height, width) < _SMALL_INPUT else style.crop_fraction
    return dataclasses.replace(style, size=(height, width), crop_fraction=crop)
