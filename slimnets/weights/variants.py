"""Which network a model or a set of tensors is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slimnets.conv_defs import make_divisible

_MULTIPLIERS = (0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


@dataclass(frozen=True)
class Variant:
    """A network of the catalogue with the options that decide its shapes.

    `options` leaves out what is as the network's function has it by itself; `classes` is 0 without
    a classifier.
    """

    network: str
    options: dict[str, Any] = field(default_factory=dict)
    classes: int = 0

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        classes = f" with {self.classes} classes" if self.classes else ""
        return f"{self.network}{f'({options})' if options else ''}{classes}"


def multiplier(
    width: int, base: int, rounding: Callable[[float], int] = make_divisible
) -> dict[str, float]:
    """The depth multiplier that makes `width` of `base`, as an option; none where it is 1."""
    known = [alpha for alpha in _MULTIPLIERS if rounding(base * alpha) == width]
    alpha = known[0] if known else round(width / base, 3)
    return {} if alpha == 1 else {"depth_multiplier": alpha}


def min_depth(narrowest: int, usual: int) -> dict[str, int]:
    """What keeps the narrowest layer wider than its usual width, as an option."""
    return {"min_depth": narrowest} if narrowest > usual else {}


def by_depths(
    depths_of: Mapping[str, Sequence[int]], outputs: Sequence[int], classes: int
) -> Variant | None:
    """Of networks with these depths of blocks, the one whose blocks have these output widths.

    Where a narrower or wider one has the shapes of another at 1, it is the latter.
    """
    found = []
    for name, depths in depths_of.items():
        if len(depths) == len(outputs):
            options = multiplier(outputs[-1], depths[-1])
            alpha = options.get("depth_multiplier", 1.0)
            if [*outputs] == [make_divisible(depth * alpha) for depth in depths]:
                found.append(Variant(name, options, classes))
    return min(found, key=lambda variant: len(variant.options), default=None)
