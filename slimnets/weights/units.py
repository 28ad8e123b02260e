"""The weighted parts of a network of ours, as other libraries' names are given to them.

A *unit* is a convolution and what normalizes it: `layer_3.expand` stands for the layers
`layer_3.expand.conv` and `layer_3.expand.bn`. Formats name units by templates: in
`features.2.{0,1}` the convolution is `features.2.0` and its batch norm `features.2.1`; a template
without braces is a convolution alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

LOGITS = "Logits.Conv2d_1c_1x1"


def weighted_layers(model: Any) -> list[Any]:
    """The layers that have weights, in building order."""
    return [layer for layer in model.layers if layer.weights]


def units_of(model: Any) -> list[str]:
    """The units of a model of ours, in building order."""
    return list(dict.fromkeys(layer.name.rpartition(".")[0] for layer in weighted_layers(model)))


def convolution(model: Any, unit: str) -> Any:
    """The unit's convolution layer."""
    return model.get_layer(f"{unit}.conv")


def blocks(units: Sequence[str]) -> dict[int, list[str]]:
    """The parts of numbered layers (layer_1, …); a plain convolution has the one part ""."""
    parts: dict[int, list[str]] = {}
    for unit in units:
        if match := re.fullmatch(r"layer_(\d+)(?:\.(.+))?", unit):
            parts.setdefault(int(match[1]), []).append(match[2] or "")
    return parts


def block_outputs(model: Any, units: Sequence[str]) -> list[int]:
    """The output widths of its inverted residuals, in order: what their projections have."""
    return [
        convolution(model, f"layer_{number}.project").filters
        for number, parts in blocks(units).items()
        if "project" in parts
    ]


def rename(rules: Mapping[str, str], units: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(unit, template) by regular expressions that match whole units."""
    for unit in units:
        for pattern, template in rules.items():
            if match := re.fullmatch(pattern, unit):
                yield unit, match.expand(template)
                break


def layer_names(templates: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Our layers' names → the other library's, from (unit, template) pairs."""
    names = {}
    for unit, template in templates:
        braces = re.fullmatch(r"(.*)\{(.*),(.*)\}", template)
        if braces:
            names[f"{unit}.conv"] = braces[1] + braces[2]
            names[f"{unit}.bn"] = braces[1] + braces[3]
        else:
            names[f"{unit}.conv"] = template
    return names
