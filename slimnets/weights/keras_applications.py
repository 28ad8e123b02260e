"""`keras.applications` models, as far as the families know them (`KerasNaming`).

Their layouts are ours. At stride 2 they pad ((0, 1), (0, 1)) and convolve VALID, which is SAME for
maps of even height and width; those with `odd_as_same` pad an odd map as SAME does.
"""

from __future__ import annotations

import re
from collections.abc import Collection
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
    if find_naming(found) is None:
        *titles, last = (naming.title for naming in _namings())
        raise ValueError(
            f"model {source.name!r} is none of keras.applications' {', '.join(titles)} and "
            f"{last}, the ones whose weights can be taken."
        )
    return found


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
