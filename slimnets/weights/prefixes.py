"""What wraps a network puts a name of its own before every tensor's: taken off again.

`torch.compile` writes `_orig_mod.`, DataParallel and AveragedModel `module.`, Lightning and others
`model.`, `backbone.`, `net.`, `encoder.`, in any combination. Which one it is needs no list: it is
what stands before the tensors that a network of a known naming must have.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

_AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged?)($|[._])")


def by_signatures(names: Collection[str], signatures: Iterable[Collection[str]]) -> str | None:
    """The prefix under which all names of some signature are; None: there is none.

    Of several networks in one mapping the averaged copy counts.

    Raises:
        ValueError: several, and none or more than one of them is an average.
    """
    present = set(names)
    found: dict[str, None] = {}
    for first, *others in signatures:
        for name in names:
            prefix = name.removesuffix(first)
            ends = name.endswith(first) and (not prefix or prefix.endswith("."))
            if ends and all(prefix + other in present for other in others):
                found[prefix] = None
    averaged = [prefix for prefix in found if is_average(prefix)]
    chosen = averaged if len(found) > 1 and averaged else [*found]
    if len(chosen) > 1:
        raise ValueError(
            f"these names are of {len(chosen)} networks, below "
            f"{', '.join(repr(prefix) for prefix in chosen)}: give the arrays of one of them."
        )
    return chosen[0] if chosen else None


def by_overlap(names: Iterable[str], expected: Collection[str]) -> str | None:
    """The prefix before most of the expected names; None: none of them is there."""
    votes: Counter[str] = Counter()
    for name in names:
        starts = [0, *(match.end() for match in re.finditer(r"\.", name))]
        votes.update(name[:start] for start in starts if name[start:] in expected)
    return votes.most_common(1)[0][0] if votes else None


def is_average(prefix: str) -> bool:
    """Whether a prefix tells of weights that are an average over the training."""
    return _AVERAGED.search(prefix) is not None


def without(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors without a prefix, and without what a training counts beside them.

    A name that has but the first parts of the prefix (`model.fc.weight` beside
    `model.backbone.conv.weight`) loses those. Beside an averaged copy, its origin is left out.

    Raises:
        ValueError: two tensors would have one name.
    """
    parts = prefix.split(".")[:-1]
    starts = ["".join(f"{part}." for part in parts[:count]) for count in range(len(parts), 0, -1)]
    found: dict[str, Any] = {}
    for name, tensor in tensors.items():
        start = next((start for start in starts if name.startswith(start)), "")
        short = name.removeprefix(start)
        if tuple(getattr(tensor, "shape", (0,))) == () and "." not in short:  # n_averaged, epoch, …
            continue
        if is_average(prefix) and start != prefix:
            continue
        if short in found:
            raise ValueError(f"two tensors of the source are called {short!r}: one is {name!r}.")
        found[short] = tensor
    return found
