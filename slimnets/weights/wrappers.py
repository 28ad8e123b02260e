"""Where in a training checkpoint the weights are.

A checkpoint is a dict of whatever a training wanted back: weights, often a second copy of them that
is an average over the training (EMA), an optimizer's state, counters, arguments. Here it is data
already, with `Placeholder` for every object; what a tensor is, the caller says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slimnets.weights.restricted_pickle import Placeholder

# The averaged copy first: it is what the published accuracies are measured with.
_AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema")
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params")
_WRAPPERS += ("weights", "module", "shadow")
_MAX_DEPTH = 4
_MAX_TENSORS, _MAX_LAYERS = 100_000, 100


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, and where in the checkpoint they were."""

    tensors: dict[str, Any]
    path: tuple[str, ...]

    @property
    def average(self) -> str:
        """The path, if it is an averaged copy; else ""."""
        return "/".join(self.path) if any(key in _AVERAGES for key in self.path) else ""


def find_state_dict(checkpoint: Any, is_tensor: Callable[[Any], bool]) -> StateDict:
    """The weights of a checkpoint, the averaged ones where there are such.

    Plain numbers beside tensors are given along; other objects are left out, unless they are
    called as a layer's tensor is.

    Raises:
        ValueError: there are none, or something that is no tensor is called like one.
    """
    found = _Search(is_tensor).find(checkpoint, ())
    if found is None:
        raise ValueError(
            "no state dict found: expected a dict of tensors, by itself or under one of "
            f"{', '.join((*_AVERAGES, *_WRAPPERS))}" + _what_is_there(checkpoint)
        )
    numbers_too = {
        name: value
        for name, value in found.tensors.items()
        if is_tensor(value) or isinstance(value, int | float)
    }
    # `epoch` or `args` beside tensors is a training's; `classifier.1.weight` would be missed.
    bad = [n for n in found.tensors if n not in numbers_too and "." in n and "_extra_" not in n]
    if bad:
        raise ValueError(f"entries that are not tensors: {', '.join(bad[:20])}.")
    return StateDict(numbers_too, found.path)


def architecture(checkpoint: Any) -> str:
    """What the training calls its network, as timm's and torchvision's do; "" where it does not."""
    called = checkpoint.get("arch") if isinstance(checkpoint, Mapping) else None
    return called if isinstance(called, str) else ""


@dataclass(frozen=True)
class _Search:
    is_tensor: Callable[[Any], bool]
    seen: set[int] = field(default_factory=set)  # a damaged file can hold a dict in itself

    def find(self, node: Any, path: tuple[str, ...]) -> StateDict | None:
        items = _items(node)
        if items is None or id(node) in self.seen or len(path) > _MAX_DEPTH:
            return None
        self.seen.add(id(node))
        if average := self.first(items, _AVERAGES, path):
            # One of the trained weights alone does without batch norm's statistics.
            whole = self.first(items, _WRAPPERS, path)
            if whole and set(average.tensors) < set(whole.tensors):
                return StateDict(whole.tensors | average.tensors, average.path)
            return average
        return self.first(items, _WRAPPERS, path) or self.here(node, items, path)

    def first(self, items: Mapping, keys: Iterable[str], path: tuple[str, ...]) -> StateDict | None:
        found = (self.find(items[key], (*path, key)) for key in keys if key in items)
        return next((state for state in found if state), None)

    def here(self, node: Any, items: Mapping, path: tuple[str, ...]) -> StateDict | None:
        tensors = _module_tensors(node) if isinstance(node, Placeholder) else {}
        for found in (tensors, items):
            if any(self.is_tensor(value) for value in found.values()):
                return StateDict({str(name): value for name, value in found.items()}, path)
        # Under a name of its own: the one dict whose tensors are called as layers' are.
        others = [key for key, value in items.items() if self.has_layers(value)]
        return self.find(items[others[0]], (*path, str(others[0]))) if len(others) == 1 else None

    def has_layers(self, value: Any) -> bool:
        items = _items(value) or {}
        return any(self.is_tensor(v) and str(k).endswith(".weight") for k, v in items.items())


def _items(node: Any) -> Mapping[Any, Any] | None:
    if isinstance(node, Placeholder):
        return node.items or (node.state if isinstance(node.state, Mapping) else {})
    return node if isinstance(node, Mapping) else None


def _module_tensors(module: Placeholder) -> dict[str, Any]:
    """The state dict of a whole `torch.nn.Module`, from its attributes."""
    found: dict[str, Any] = {}
    modules = deque([("", module)])
    while modules:
        prefix, part = modules.popleft()
        state = part.state if isinstance(part.state, Mapping) else {}
        for kind in ("_parameters", "_buffers"):
            tensors = (_items(state.get(kind)) or {}).items()
            found |= {f"{prefix}{name}": tensor for name, tensor in tensors if tensor is not None}
        children = (_items(state.get("_modules")) or {}).items()
        modules.extend(
            (f"{prefix}{name}.", c) for name, c in children if isinstance(c, Placeholder)
        )
        # A damaged file can hold a module inside itself.
        if len(found) + len(modules) > _MAX_TENSORS or prefix.count(".") > _MAX_LAYERS:
            raise ValueError("damaged: modules inside modules without end.")
    return found


def _what_is_there(checkpoint: Any) -> str:
    if isinstance(checkpoint, Placeholder):
        return (
            f"; it holds one object, refused {checkpoint}: in PyTorch, save the weights alone, "
            "torch.save(model.state_dict(), path)."
        )
    items: Iterable[Any] = checkpoint.items() if isinstance(checkpoint, Mapping) else ()
    names = [
        f"{str(key)[:40]}{f' (refused {value})' if isinstance(value, Placeholder) else ''}"
        for key, value in items
    ]
    return f"; it holds {', '.join(names[:10])}." if names else "."
