"""What images the weights of a model learned from, for as long as this process has the model.

Published weights differ in it though they fit one network. A file of ours has its description
beside it; a model in memory has this, and else its name, which tells the family.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from slimnets.weights.families import families, of_model, sources_for
from slimnets.weights.plain_pixels import takes_pixels
from slimnets.weights.sources import INCEPTION, TORCHVISION, WeightSource
from slimnets.weights.state_dicts import padding_of
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
    """What was noted, else what networks of the model's name and padding expect.

    Of a network whose published weights all want other images than that, it is theirs; of a model
    that scales pixels itself, plain ones.

    Raises:
        ValueError: no family is known by its name.
    """
    known = preprocessing_of(model)
    if known is not None:
        return known
    if takes_pixels(model):
        return plain_pixels(_style_or_none(model.name) or Preprocessing(crop_fraction=1.0))
    style = style_of_name(model.name)
    if style == INCEPTION and any(padding_of(model)[1]):
        style = TORCHVISION
    fitting = [source.preprocessing for source in fitting_sources(model)]
    if fitting and not any(same_pixels(style, found) for found in fitting):
        return fitting[0]
    return style


def _style_or_none(name: str) -> Preprocessing | None:
    try:
        return style_of_name(name)
    except ValueError:
        return None


def plain_pixels(style: Preprocessing) -> Preprocessing:
    """The same pictures, their pixels left in 0..255."""
    zeros, ones = (0.0,) * style.channels, (1.0,) * style.channels
    return replace(style, mean=zeros, std=ones, value_range=(0.0, 255.0))


def fitting_sources(model: Any) -> list[WeightSource]:
    """The published ImageNet weights that a model may have: of its table, padding and epsilon."""
    network = of_model(model)
    same, fixed = padding_of(model)
    epsilons = {layer.epsilon for layer in model.layers if hasattr(layer, "epsilon")}
    return [
        source
        for source in (sources_for(network.network, network.options) if network else ())
        if source.of_imagenet
        and (not (same or fixed) or source.pads_same == bool(same))
        and (not epsilons or source.epsilon in epsilons)
    ]


def same_pixels(one: Preprocessing, other: Preprocessing) -> bool:
    """Whether pixels become the same numbers, but for a hundredth of their range."""
    return one.channels == other.channels and np.allclose(_ends(one), _ends(other), atol=0.02)


def _ends(style: Preprocessing) -> np.ndarray:
    """(2, channels): what pixel 0 and pixel 255 become."""
    low_high = np.array(style.value_range)[:, None]
    return (low_high - np.array(style.mean)) / np.array(style.std)


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
