"""Seeded ways to spoil bytes and trees of objects."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

HOSTILE_INTEGERS = (-(2**31), -2, -1, 0, 1, 2, 3, 7, 255, 2**16, 10**6, 2**30, 2**31 - 1)
HOSTILE_FLOATS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-45, 3e38, 1e-9)


def spoil_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flipped, overwritten, shortened, lengthened or doubled."""
    spoiled = bytearray(data)
    place = int(rng.integers(len(data)))
    # Where the structure is, rather than the bulk: at both ends.
    if rng.random() < 0.5:
        place = int(rng.integers(min(4096, len(data)))) * int(rng.choice((-1, 1))) % len(data)
    match int(rng.integers(6)):
        case 0:
            return data[:place]
        case 1 | 2:
            for _ in range(int(rng.integers(1, 4))):
                spoiled[(place + int(rng.integers(64))) % len(data)] ^= 1 << int(rng.integers(8))
        case 3:
            length = int(rng.integers(1, 64))
            spoiled[place : place + length] = bytes([int(rng.choice((0, 255)))]) * length
        case 4:
            del spoiled[place : place + int(rng.integers(1, 16))]
        case 5:
            spoiled[place:place] = rng.bytes(int(rng.integers(1, 16)))
    return bytes(spoiled)


def spoil_tree(root: Any, rng: np.random.Generator) -> str:
    """Changes one field somewhere in a tree of `…T` objects; says which."""
    # Large lists of equal things would otherwise take all the edits.
    kinds: dict[str, list[Any]] = {}
    for node in _nodes(root):
        kinds.setdefault(type(node).__name__, []).append(node)
    node = _pick(kinds[_pick(sorted(kinds), rng)], rng)
    field = _pick(sorted(vars(node)), rng)
    value = getattr(node, field)
    setattr(node, field, hostile_value(value, rng))
    return f"{type(node).__name__}.{field}: {_brief(value)} → {_brief(getattr(node, field))}"


def hostile_value(value: Any, rng: np.random.Generator) -> Any:
    """Something that could stand in a value's place."""
    match value:
        case bool():
            return not value
        case int():
            return _pick((*HOSTILE_INTEGERS, value + 1, value - 1, -value), rng)
        case float():
            return _pick(HOSTILE_FLOATS, rng)
        case np.ndarray() if value.dtype.kind == "f":
            return _spoil_array(value, HOSTILE_FLOATS, rng)
        case np.ndarray() if len(value) < 4096:
            return _spoil_array(value, HOSTILE_INTEGERS, rng)
        case list() if value and isinstance(value[0], int):
            return _spoil_array(np.asarray(value, np.int32), HOSTILE_INTEGERS, rng).tolist()
        case list() if value:
            return _pick(([], value[::-1], value[:-1], value * 2, value[1:] + value[:1]), rng)
        case bytes():
            return _pick((b"", b"\xff\xfe", value * 100, None), rng)
        case None:
            return _pick((None, np.asarray([1], np.int32)), rng)
    return None


def _spoil_array(values: np.ndarray, hostile: tuple, rng: np.random.Generator) -> Any:
    changed = values.copy()
    match int(rng.integers(6)):
        case 0:
            return None
        case 1:
            return changed[:-1]
        case 2:
            return np.concatenate([changed, changed[:1]])
        case 3:
            return changed[::-1].copy()
    if len(changed):
        limits = np.iinfo(values.dtype) if values.dtype.kind in "iu" else None
        value = _pick(hostile, rng)
        changed[int(rng.integers(len(changed)))] = (
            value if limits is None else min(max(value, limits.min), limits.max)
        )
    return changed


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)
    elif type(value).__name__.endswith("T") and hasattr(value, "__dict__"):
        if vars(value):
            yield value
        for item in vars(value).values():
            yield from _nodes(item)


def _pick(choices: Any, rng: np.random.Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _brief(value: Any) -> str:
    return repr(value)[:60]
