"""What images the weights of a model learned from, for as long as this process has the model.

Published weights differ in it though they fit one network. A file of ours has its description
beside it; a model in memory has this, and else its name, which tells the family.
"""

from __future__ import annotations

import re
from typing import Any
from weakref import WeakKeyDictionary

from slimnets.weights.families import families
from slimnets.weights.sources import INCEPTION, TORCHVISION
from tflite.images import Preprocessing

_KNOWN: WeakKeyDictionary[Any, Preprocessing] = WeakKeyDictionary()


def remember(model: Any, preprocessing: Preprocessing | None) -> None:
    """Note it for a model whose weights were just loaded; None: the source did not say."""
    if preprocessing is None:
        _KNOWN.pop(model, None)
    else:
        _KNOWN[model] = preprocessing


def preprocessing_of(model: Any) -> Preprocessing | None:
    """What was noted; None: nothing."""
    try:
        return _KNOWN.get(model)
    except TypeError:  # what only looks like a model cannot be referred to weakly
        return None


def images_of(model: Any) -> Preprocessing:
    """What was noted, else what networks of the model's name expect.

    Raises:
        ValueError: no family is known by its name.
    """
    known = preprocessing_of(model)
    if known is not None:
        return known
    style = style_of_name(model.name)
    return TORCHVISION if style == INCEPTION and _has_fixed_padding(model) else style


def _has_fixed_padding(model: Any) -> bool:
    return any(
        type(layer).__name__ == "ZeroPadding2D" and layer.name.endswith(".pad")
        for layer in model.layers
    )


def style_of_name(name: str) -> Preprocessing:
    """What networks expect whose name begins so; ValueError where no family is known by it."""
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    styles = {known: style for family in families() for known, style in family.styles.items()}
    matches = [known for known in styles if key.startswith(known)]
    if not matches:
        raise ValueError(
            f"no preprocessing is known for {name!r}; known are names that begin with "
            f"{', '.join(styles)}. For another network build slimnets.preprocessing.Preprocessing."
        )
    return styles[max(matches, key=len)]
