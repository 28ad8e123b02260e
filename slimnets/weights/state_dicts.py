"""PyTorch state dicts to and from our models.

The names are the families' (`StateDictNaming`). Layouts: convolution (out, in/groups, kh, kw) for
our (kh, kw, in/groups, out); depthwise (C, 1, kh, kw) for (kh, kw, C, 1); dense (out, in) for our
1×1 convolution (1, 1, in, out).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from slimnets.weights.families import families, is_classifier, of_model
from slimnets.weights.matching import Entry, check_matches_model
from slimnets.weights.namings import Shapes, StateDictNaming
from slimnets.weights.prefixes import by_overlap, by_signatures, without
from slimnets.weights.safetensors_files import write_safetensors
from slimnets.weights.units import layer_names, units_of, weighted_layers
from slimnets.weights.variants import Variant

_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_COUNTER = "num_batches_tracked"


class _Layout(NamedTuple):
    """A tensor between the state dict's form and ours; each undoes the other, bit for bit."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray]


_VECTOR = _Layout(lambda a: a, lambda a: a)
_CONV = _Layout(lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
_DEPTHWISE = _Layout(lambda a: a.transpose(2, 3, 0, 1), lambda a: a.transpose(2, 3, 0, 1))
_DENSE = _Layout(lambda a: a.T[np.newaxis, np.newaxis], lambda a: a[0, 0].T)


def _reordered(layout: _Layout, orders: Sequence[tuple[int, Sequence[int]]]) -> _Layout:
    """`layout`, then channel i of each (axis, order) is the reference's channel order[i]."""

    def to_ours(array: np.ndarray) -> np.ndarray:
        array = layout.to_ours(array)
        for axis, order in orders:
            array = np.take(array, order, axis)
        return array

    def to_theirs(array: np.ndarray) -> np.ndarray:
        for axis, order in orders:
            array = np.take(array, np.argsort(order), axis)
        return layout.to_theirs(array)

    return _Layout(to_ours, to_theirs) if orders else layout


def _tensors(
    model: Any, naming: StateDictNaming, prefixes: Mapping[str, str]
) -> Iterator[tuple[str, Any, Any, _Layout]]:
    """(name, layer, variable, layout) of every tensor of the state dict but the counters."""
    orders = naming.channel_orders(model)
    for layer in weighted_layers(model):
        prefix, kind = prefixes[layer.name], type(layer).__name__
        inputs, outputs = orders.get(layer.name.rpartition(".")[0], (None, None))
        for variable in layer.weights:
            name, layout = variable.name, _VECTOR
            axes = [(-1, outputs)]
            if kind == "BatchNormalization":
                name = _BATCH_NORM[variable.name]
            elif variable.name == "kernel" and kind == "DepthwiseConv2D":
                name, layout, axes = "weight", _DEPTHWISE, [(-2, outputs)]
            elif variable.name == "kernel":
                name, layout = "weight", _DENSE if prefix in naming.dense else _CONV
                axes = [(-2, inputs), (-1, outputs)]
            layout = _reordered(layout, [(axis, o) for axis, o in axes if o is not None])
            yield f"{prefix}.{name}", layer, variable, layout


def _namings() -> list[StateDictNaming]:
    return [naming for family in families() for naming in family.state_dicts]


def find_naming(names: Iterable[str]) -> StateDictNaming | None:
    """The naming that a state dict's names follow."""
    present = set(names)
    return next(
        (
            naming
            for naming in _namings()
            if present.issuperset(naming.signature) and present.isdisjoint(naming.absent)
        ),
        None,
    )


def unprefixed(tensors: Mapping[str, Any], model: Any = None) -> tuple[Mapping[str, Any], str]:
    """The tensors under the names of a known naming, and what wrappers had put before these.

    As they are, where no naming is recognised, not even by the names that `model` has in its own.

    Raises:
        ValueError: they are of several networks.
    """
    names = [name for name in tensors if isinstance(name, str)]
    prefix = by_signatures(names, [naming.signature for naming in _namings()])
    if prefix is None and model is not None:
        prefix = by_overlap(names, _names_of_model(model))
    if prefix is None or len(names) < len(tensors):
        return tensors, ""
    return without(tensors, prefix), prefix


def _names_of_model(model: Any) -> set[str]:
    return {
        name
        for naming in namings_of_model(model)
        for name, *_ in _tensors(
            model, naming, layer_names(naming.name_units(units_of(model), model))
        )
    }


def width(shapes: Shapes, prefix: str) -> int:
    """Output channels of a convolution; KeyError if it is not there."""
    return shapes[f"{prefix}.weight"][0]


def looks_like(naming: StateDictNaming, shapes: Shapes) -> Variant | None:
    """The network that a state dict of these shapes belongs to, if its landmarks are there."""
    try:
        return naming.variant(shapes, classes(naming, shapes))
    except (KeyError, StopIteration, IndexError):
        return None


def classes(naming: StateDictNaming, shapes: Shapes) -> int:
    """How many classes tensors of these shapes tell apart; 0 without a classifier."""
    return (*shapes.get(f"{naming.classifier}.bias", ()), 0)[0] // naming.per_class


def origins() -> str:
    """Whose names are known, for a message."""
    return ", ".join(dict.fromkeys(naming.origin for naming in _namings()))


def entries(model: Any, naming: StateDictNaming, shapes: Shapes) -> list[Entry]:
    """What `model` takes from a state dict of this naming.

    Raises:
        ValueError: the model is another network.
    """
    prefixes = layer_names(naming.name_units(units_of(model), model))
    source = f"{looks_like(naming, shapes) or 'a network'} of {naming.origin}"
    check_matches_model(prefixes, model, source)
    result = []
    for name, layer, variable, layout in _tensors(model, naming, prefixes):
        # A view of one zero: only its shape is wanted.
        shape = layout.to_theirs(np.broadcast_to(np.float32(0), tuple(variable.shape))).shape
        result.append(Entry(name, shape, variable, layout.to_ours, is_classifier(layer)))
    return result


def is_counter(name: str) -> bool:
    """Whether a tensor is a batch norm's counter of batches: known, and not needed."""
    return name.rpartition(".")[2] == _COUNTER


def export_torch(model: Any, names: str | None = None) -> dict[str, np.ndarray]:
    """The weights of `model` as the state dict of its PyTorch reference.

    `net.load_state_dict({k: torch.from_numpy(v) for k, v in exported.items()})` takes it strictly:
    batch norms' counters are there, as 0. Importing it again gives the same bits.

    Where the batch norms' epsilon is not the reference's, the difference goes into the variances,
    so that the function stays the same, up to rounding.

    Args:
        names: whose names, where there are several references ("torchvision", "timm"); None: the
            first of them.

    Raises:
        TypeError: `model` is no Keras model.
        ValueError: PyTorch has no reference of this network, or none with these names, or the model
            pads or activates differently.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}.")
    naming = _naming_for_export(model, names)
    prefixes = layer_names(naming.name_units(units_of(model), model))
    exported = {}
    for name, layer, variable, layout in _tensors(model, naming, prefixes):
        array = layout.to_theirs(variable.numpy())
        if variable.name == "moving_variance":
            excess = layer.epsilon - naming.epsilon_of(layer.name)
            if excess:
                array = (array.astype(np.float64) + excess).astype(array.dtype)
        exported[name] = np.ascontiguousarray(array)
        if variable.name == "moving_variance":
            exported[f"{prefixes[layer.name]}.{_COUNTER}"] = np.array(0, np.int64)
    return exported


def _naming_for_export(model: Any, names: str | None) -> StateDictNaming:
    found = namings_of_model(model)
    if not found:
        known = dict.fromkeys(network for naming in _namings() for network in naming.networks)
        raise ValueError(
            f"model {model.name!r} ({of_model(model) or 'a table of its own'}) has no counterpart "
            f"in PyTorch; those of {', '.join(known)} are known."
        )
    chosen = [naming for naming in found if names in (None, naming.origin)]
    if not chosen:
        origins = " or ".join(repr(naming.origin) for naming in found)
        raise ValueError(f"names must be None or {origins} for this network, got {names!r:.80}.")
    for naming in chosen:
        with suppress(ValueError):
            check_built_alike(naming, model)
            return naming
    check_built_alike(chosen[0], model)
    return chosen[0]


def export_safetensors(model: Any, path: str | os.PathLike, names: str | None = None) -> None:
    """Write what `export_torch` gives as a `.safetensors` file, whole or not at all.

    Raises:
        as `export_torch`; OSError where `path` cannot be written.
    """
    write_safetensors(path, export_torch(model, names))


def check_built_alike(naming: StateDictNaming, model: Any) -> None:
    """Raise a ValueError where the same weights would be another function than the reference's."""
    same, fixed = padding_of(model)
    if same and not naming.pads_same:
        raise ValueError(
            f"model {model.name!r} pads by TensorFlow's SAME at stride 2 ({same[0]}, …), and "
            f"{naming.origin} pads both sides alike: build the model with "
            "use_explicit_padding=True."
        )
    if fixed and naming.pads_same:
        raise ValueError(
            f"model {model.name!r} pads both sides alike ({fixed[0]}, …), and {naming.origin} by "
            "TensorFlow's SAME: build the model without use_explicit_padding=True."
        )
    if complaint := naming.complaint(model):
        raise ValueError(f"model {model.name!r} is not {naming.origin}: {complaint}")
    scope = naming.requires.get("arg_scope")
    if scope and any(_is_relu6(layer) for layer in model.layers):
        raise ValueError(
            f"model {model.name!r} has ReLU6 activations, and {naming.origin} plain ReLU: build "
            f"the model with arg_scope={scope!r}."
        )


def padding_of(model: Any) -> tuple[list[str], list[str]]:
    """The layers at stride 2 that pad by SAME, and those that pad both sides alike before one."""
    same = [
        layer.name
        for layer in weighted_layers(model)
        if getattr(layer, "padding", "valid") == "same" and max(layer.strides) > 1
    ]
    fixed = [
        layer.name
        for layer in model.layers
        if type(layer).__name__ == "ZeroPadding2D" and layer.name.endswith(".pad")
    ]
    return same, fixed


def _is_relu6(layer: Any) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") == "relu6"


def naming_by_overlap(model: Any, names: Iterable[str]) -> StateDictNaming | None:
    """The naming of `model` that has most of these names, if any: for a state dict with gaps."""
    given = {name.rpartition(".")[0] for name in names}

    def shared(naming: StateDictNaming) -> int:
        prefixes = layer_names(naming.name_units(units_of(model), model)).values()
        return len(given.intersection(prefixes))

    best = max(namings_of_model(model), key=shared, default=None)
    return best if best is not None and shared(best) else None


def namings_of_model(model: Any) -> list[StateDictNaming]:
    """The namings in which `model` can be exported; none, where PyTorch has no reference of it."""
    variant = of_model(model)
    if variant is None:
        return []
    return [
        naming
        for naming in _namings()
        if variant.network in naming.networks and not set(naming.lacks) & set(variant.options)
    ]
