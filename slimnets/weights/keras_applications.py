"""`keras.applications` models, as far as the families know them (`KerasNaming`).

Their layouts are ours. At stride 2 they pad ((0, 1), (0, 1)) and convolve VALID, which is SAME for
maps of even height and width; those with `odd_as_same` pad an odd map as SAME does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from slimnets.weights.families import families, is_classifier
from slimnets.weights.matching import Entry, check_matches_model
from slimnets.weights.namings import KerasNaming, Shapes
from slimnets.weights.units import layer_names, units_of, weighted_layers
from slimnets.weights.variants import Variant

EPSILON = 1e-3


def _namings() -> list[KerasNaming]:
    return [naming for family in families() for naming in family.keras_models]


def find_naming(names: Collection[str]) -> KerasNaming | None:
    """The naming of weights of these names, `layer/variable`."""
    namings = (n for n in _namings() if any(re.match(n.pattern, name) for name in names))
    return next(namings, None)


_STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")


def named(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Weights by the present names of their layers and variables, `layer/variable`.

    `.keras` and `.weights.h5` number a layer's variables; Keras 2 put `:0` after them and called
    MobileNetV3's layers `expanded_conv/depthwise/BatchNorm`; a model inside a model comes with its
    own name in front.
    """
    slashed = any(name.startswith("expanded_conv/") for name in tensors)
    counts = Counter(name.rpartition("/")[0] for name in tensors)
    found = {}
    for name, tensor in tensors.items():
        layer, _, variable = name.partition(":")[0].rpartition("/")
        if variable.isdecimal():
            kinds = _STATISTICS if counts[layer] == len(_STATISTICS) else ("kernel", "bias")
            variable = kinds[int(variable)] if int(variable) < len(kinds) else variable
        if slashed:
            layer = layer.replace("BatchNorm", "bn").replace("/", "_").lower()
        variable = "kernel" if variable == "depthwise_kernel" else variable
        short = f"{layer.rpartition('/')[2]}/{variable}"
        found[name if short in found else short] = (
            tensor  # the second of two networks stays unknown
        )
    return found


def in_order(model: Any, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of a file by the names that `model`'s counterpart has, in the order of both.

    keras.applications reads its own files so, since their layers were called otherwise once. As
    they are, where the model has no counterpart or some shape before the classifier is another.
    """
    for naming in _namings():
        try:
            expected = entries(model, naming, {})
        except ValueError:
            continue  # the model is another network
        features = [entry for entry in expected if not entry.classifier]
        alike = [
            e.shape == tuple(t.shape) for e, t in zip(features, tensors.values(), strict=False)
        ]
        if len(alike) < len(features) or not all(alike):
            continue
        head = [f"{layer}/{part}" for layer in naming.classifier for part in ("kernel", "bias")]
        rest = [*tensors][len(features) :]
        names = [entry.name for entry in features] + (head if len(head) == len(rest) else rest)
        return dict(zip(names, tensors.values(), strict=True))
    return dict(tensors)


def is_head_name(naming: KerasNaming, features: Collection[str], name: str) -> bool:
    """Whether a weight follows the `features`: the classifier, or layers of the user's own."""
    known = name in features or re.match(naming.pattern, name)
    return naming.is_classifier_name(name) or not known


def tensors(source: Any) -> dict[str, np.ndarray]:
    """The weights of a model by `layer/variable`.

    Raises:
        ValueError: it is none of the models whose weights can be taken.
    """
    found = {
        f"{layer.name}/{variable.name}": variable.numpy()
        for layer in _leaves(source)
        for variable in layer.weights
    }
    if find_naming(found) is None:
        *titles, last = (naming.title for naming in _namings())
        raise ValueError(
            f"model {source.name!r} is none of keras.applications' {', '.join(titles)} and "
            f"{last}, the ones whose weights can be taken."
        )
    return found


def _leaves(model: Any) -> Iterator[Any]:
    """The layers with weights, also those of models inside."""
    for layer in weighted_layers(model):
        yield from _leaves(layer) if hasattr(layer, "layers") else (layer,)


def entries(model: Any, naming: KerasNaming, shapes: Shapes) -> list[Entry]:
    """What `model` takes from weights of this naming.

    Raises:
        ValueError: the model is another network.
    """
    names = layer_names(naming.name_units(units_of(model)))
    check_matches_model(names, model, f"{looks_like(naming, shapes)} of keras.applications")
    result = []
    for layer in weighted_layers(model):
        for variable in layer.weights:
            name, shape = f"{names[layer.name]}/{variable.name}", tuple(variable.shape)
            if variable.name == "kernel" and names[layer.name] in naming.dense:
                result.append(Entry(name, shape[2:], variable, _as_convolution, True))
            else:
                result.append(Entry(name, shape, variable, np.asarray, is_classifier(layer)))
    return result


def _as_convolution(dense: np.ndarray) -> np.ndarray:
    return dense[np.newaxis, np.newaxis]


def width(shapes: Shapes, layer: str) -> int:
    """Output channels of a convolution; KeyError if it is not there."""
    return shapes[f"{layer}/kernel"][-1]


def looks_like(naming: KerasNaming, shapes: Shapes) -> Variant | None:
    """The network that weights of these shapes belong to, if its landmarks are there."""
    try:
        return naming.variant(shapes, classes(naming, shapes))
    except (KeyError, IndexError):
        return None


def classes(naming: KerasNaming, shapes: Shapes) -> int:
    """How many classes weights of these shapes tell apart; 0 without a classifier."""
    return (*shapes.get(f"{naming.classifier[-1]}/bias", ()), 0)[0]


def check_built_alike(model: Any, naming: KerasNaming) -> None:
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
        if not naming.odd_as_same and any(n is not None and n % 2 for n in size):
            raise ValueError(
                f"model {model.name!r} halves a map of {size[0]}×{size[1]} in {layer.name}, where "
                f"keras.applications' {naming.title} pads unlike SAME: build it for an input whose "
                "height and width are multiples of 32."
            )
