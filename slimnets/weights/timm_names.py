"""timm's names for networks of numbered layers: a stem, `blocks.STAGE.INDEX`, a head.

The stages, as many blocks as each has, are a family's to tell. Source: timm
`models/_efficientnet_blocks.py`, `models/_efficientnet_builder.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.units import blocks

ORIGIN = "timm"
PADS: Mapping[str, Any] = MappingProxyType({"use_explicit_padding": True})

_PLAIN = {"": "{conv,bn1}"}
_FUSED = {"expand": "{conv_exp,bn1}", "project": "{conv_pwl,bn2}"}
_SEPARABLE = {"depthwise": "{conv_dw,bn1}", "project": "{conv_pw,bn2}"}
_INVERTED = {
    "expand": "{conv_pw,bn1}",
    "depthwise": "{conv_dw,bn2}",
    "project": "{conv_pwl,bn3}",
}
_EXCITE = {"squeeze_excite.reduce": "se.conv_reduce", "squeeze_excite.expand": "se.conv_expand"}

# timm's ports of TensorFlow's weights; what they need else is as with its own.
_PORT = "tf_"
_PORT_EPSILON = 1e-3


def places(stages: Sequence[int]) -> list[str]:
    """`blocks.STAGE.INDEX` of each block in turn."""
    return [f"blocks.{stage}.{i}" for stage, count in enumerate(stages) for i in range(count)]


def layer_units(units: Sequence[str], stages: Sequence[int]) -> Iterator[tuple[str, str]]:
    """(unit, template) of the layers `layer_1` (the stem), `layer_2` … (blocks), and the head's."""
    names = places(stages)
    for number, parts in blocks(units).items():
        stem, block = number == 1, names[number - 2] if number - 2 < len(names) else ""
        for part in parts:
            unit = f"layer_{number}.{part}" if part else f"layer_{number}"
            if stem or not block:
                yield unit, "{conv_stem,bn1}" if stem else "{conv_head,bn2}"
            else:
                yield unit, f"{block}.{_inner(parts)[part]}"


def _inner(parts: Sequence[str]) -> dict[str, str]:
    if parts == [""]:
        return _PLAIN
    if "depthwise" not in parts:
        return _FUSED
    return (_INVERTED if "expand" in parts else _SEPARABLE) | _EXCITE


def block_widths(shapes: Shapes, stages: Sequence[int]) -> list[int]:
    """Output channels of the blocks.

    Raises:
        StopIteration: a block is not there.
    """
    last = ("conv_pwl", "conv_pw", "conv")
    return [
        next(shapes[name][0] for part in last if (name := f"{place}.{part}.weight") in shapes)
        for place in places(stages)
    ]


def as_called(naming: StateDictNaming, name: str) -> StateDictNaming:
    """The naming for weights that timm calls `name`: those of TensorFlow pad and normalize as it.

    The tensors' names are the same, so that only the name of the whole can tell.
    """
    if naming.origin != ORIGIN or not name.startswith(_PORT):
        return naming
    return replace(
        naming,
        origin=f"{ORIGIN} (tf_…)",
        epsilon=_PORT_EPSILON,
        pads_same=True,
        requires={key: v for key, v in naming.requires.items() if key not in PADS},
    )
