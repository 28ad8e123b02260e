"""`keras.applications` models: MobileNet, MobileNetV2, MobileNetV3Large and MobileNetV3Small.

Their layouts are ours. At stride 2 they pad ((0, 1), (0, 1)) and convolve VALID, which is SAME for
maps of even height and width; V2 and V3 pad an odd map as SAME does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from slimnets.weights import variants
from slimnets.weights.matching import Entry, check_matches_model
from slimnets.weights.units import (
    LOGITS,
    blocks,
    is_classifier,
    layer_names,
    rename,
    units_of,
    weighted_layers,
)
from slimnets.weights.variants import Variant

EPSILON = 1e-3

Shapes = Mapping[str, tuple[int, ...]]

_CLASSIFIERS = ("conv_preds", "predictions", "logits")
# MobileNetV2 ends in a dense layer, where ours is a 1×1 convolution.
_DENSE_KERNEL = "predictions/kernel"
_V1_UNITS = {
    r"Conv2d_0": r"{conv1,conv1_bn}",
    r"Conv2d_(\d+)_depthwise": r"conv_dw_\1{,_bn}",
    r"Conv2d_(\d+)_pointwise": r"conv_pw_\1{,_bn}",
    re.escape(LOGITS): r"conv_preds",
}


def _v2_units(units: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, parts in blocks(units).items():
        prefix = f"block_{number - 2}_" if number > 2 else "expanded_conv_"
        for part in parts:
            if part:
                yield f"layer_{number}.{part}", f"{prefix}{part}{{,_BN}}"
            else:
                yield f"layer_{number}", "{Conv1,bn_Conv1}" if number == 1 else "Conv_1{,_bn}"
    yield LOGITS, "predictions"


def _v3_units(units: Sequence[str]) -> Iterator[tuple[str, str]]:
    excite = {
        "squeeze_excite.reduce": "squeeze_excite_conv",
        "squeeze_excite.expand": "squeeze_excite_conv_1",
    }
    for number, parts in blocks(units).items():
        prefix = f"expanded_conv_{number - 2}_" if number > 2 else "expanded_conv_"
        for part in parts:
            if part:
                yield f"layer_{number}.{part}", prefix + excite.get(part, f"{part}{{,_bn}}")
            else:
                yield f"layer_{number}", "conv{,_bn}" if number == 1 else "conv_1{,_bn}"
    yield "Conv_2", "conv_2"
    yield LOGITS, "logits"


def find_family(names: Collection[str]) -> str | None:
    """The family that weights of these names, `layer/variable`, belong to."""
    patterns = {
        "MobileNet": r"conv_(dw|pw)_\d+(_bn)?/",
        "MobileNetV2": r"block_\d+_(expand|depthwise|project)(_BN)?/",
        "MobileNetV3": r"expanded_conv_\d+_(expand|depthwise|project|squeeze_excite)",
    }
    found = (f for f, pattern in patterns.items() if any(re.match(pattern, n) for n in names))
    return next(found, None)


def tensors(source: Any) -> dict[str, np.ndarray]:
    """The weights of a model by `layer/variable`.

    Raises:
        ValueError: it is none of the models whose weights can be taken.
    """
    found = {
        f"{layer.name}/{variable.name}": variable.numpy()
        for layer in weighted_layers(source)
        for variable in layer.weights
    }
    if find_family(found) is None:
        raise ValueError(
            f"model {source.name!r} is none of keras.applications' MobileNet, MobileNetV2 and "
            "MobileNetV3, the ones whose weights can be taken."
        )
    return found


def is_classifier_name(name: str) -> bool:
    """Whether a weight belongs to what follows the pool: absent without classes."""
    return name.partition("/")[0] in (*_CLASSIFIERS, "conv_2")


def entries(model: Any, shapes: Shapes) -> list[Entry]:
    """What `model` takes from weights of these names and shapes.

    Raises:
        ValueError: the model is another network.
    """
    family, units = find_family(shapes), units_of(model)
    if family == "MobileNet":
        names = layer_names(rename(_V1_UNITS, units))
    else:
        names = layer_names((_v2_units if family == "MobileNetV2" else _v3_units)(units))
    check_matches_model(names, model, f"{looks_like(shapes)} of keras.applications")
    result = []
    for layer in weighted_layers(model):
        for variable in layer.weights:
            name, shape = f"{names[layer.name]}/{variable.name}", tuple(variable.shape)
            if name == _DENSE_KERNEL:
                result.append(Entry(name, shape[2:], variable, _as_convolution, True))
            else:
                result.append(Entry(name, shape, variable, np.asarray, is_classifier(layer)))
    return result


def _as_convolution(dense: np.ndarray) -> np.ndarray:
    return dense[np.newaxis, np.newaxis]


def looks_like(shapes: Shapes) -> Variant | None:
    """The network that weights of these shapes belong to, if its landmarks are there."""

    def width(layer: str) -> int:
        return shapes[f"{layer}/kernel"][-1]

    family = find_family(shapes)
    biases = [shapes[f"{name}/bias"][0] for name in _CLASSIFIERS if f"{name}/bias" in shapes]
    classes = biases[0] if biases else 0
    try:
        if family == "MobileNet":
            return variants.mobilenet_v1(width("conv_pw_13"), classes)
        if family == "MobileNetV2":
            return variants.mobilenet_v2(width("block_16_project"), width("Conv_1"), classes)
        count = sum(name.endswith("_project/kernel") for name in shapes)
        excites = any("squeeze_excite" in name for name in shapes)
        return variants.mobilenet_v3(
            count, lambda index: width(f"expanded_conv_{index}_project"), excites, classes
        )
    except KeyError:
        return None


def check_built_alike(model: Any, family: str) -> None:
    """Raise a ValueError where our padding at stride 2 is not keras.applications'."""
    for layer in weighted_layers(model):
        if max(getattr(layer, "strides", (1, 1))) == 1:
            continue
        if layer.padding != "same":
            raise ValueError(
                f"model {model.name!r} has explicit padding, and keras.applications pads as SAME: "
                "build it with use_explicit_padding=False."
            )
        size = layer.input.shape[1:3]
        if family == "MobileNet" and any(n is not None and n % 2 for n in size):
            raise ValueError(
                f"model {model.name!r} halves a map of {size[0]}×{size[1]} in {layer.name}, where "
                "keras.applications' MobileNet pads unlike SAME: build it for an input whose "
                "height and width are multiples of 32."
            )
