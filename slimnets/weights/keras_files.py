"""Keras's `.keras`, `.weights.h5` and `.h5` files, read by layer name and without building a model.

Keras keeps a layer's variables in `layers/<class>_<n>/vars/<i>`, with the layer's name in the
attribute `name` of `vars`; a `.keras` file is a zip archive with that as `model.weights.h5`, and
the model's configuration as `config.json`, which is read as plain data.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimnets.weights import keras_h5, keras_unnamed
from slimnets.weights.families import families, is_classifier
from slimnets.weights.file_kinds import is_hdf5
from slimnets.weights.matching import Entry
from slimnets.weights.units import weighted_layers
from tflite.files.keras_archive import check_weights_file, open_keras_archive, plain_item

# What reading a damaged file can end in.
_DAMAGE = (OSError, LookupError, TypeError, AttributeError, ValueError, RuntimeError)


@dataclass(frozen=True)
class WeightFile:
    """The variables as h5py datasets by `layer/index`, and what is known of the layers by name.

    `older`: of Keras's older layout, `layer/variable` in the model's order. `described`: class and
    configuration of each layer of a whole model in that layout.
    """

    tensors: Mapping[str, Any]
    layers: Mapping[str, Mapping[str, Any]]
    older: bool = False
    described: Sequence[tuple[str, Mapping[str, Any]]] = ()


@contextmanager
def open_file(path: Path) -> Iterator[WeightFile]:
    """The file's content, as long as the context is open.

    Raises:
        ValueError: not a weight file of Keras 3, or one whose data lie in other files.
    """
    with ExitStack() as stack:
        if not is_hdf5(path) and (path.suffix == ".keras" or zipfile.is_zipfile(path)):
            config, file = open_keras_archive(path, compressed=False)
            stack.enter_context(file)
            layers = _layers(config, path)
        else:
            file, layers = stack.enter_context(_open_hdf5(path)), {}
        check_weights_file(file, path)
        try:
            older = keras_h5.is_older_layout(file)
            variables = dict(keras_h5.variables(file) if older else _variables(file, path))
            described = keras_h5.layers(file) if older else ()
        except _DAMAGE as error:
            raise ValueError(f"{path} is not a readable weight file of Keras: {error}") from error
        if older:
            layers = {config["name"]: config for _, config in described if "name" in config}
        yield WeightFile(variables, layers, older, described)


def _open_hdf5(path: Path) -> Any:
    import h5py

    try:
        return h5py.File(path, "r")
    except _DAMAGE as error:
        raise ValueError(f"{path} is not a readable weight file of Keras 3: {error}") from error


def _layers(config: Any, path: Path) -> dict[str, Mapping[str, Any]]:
    """The configurations of a `.keras` file's layers by name."""
    try:
        layers = {layer["config"]["name"]: layer["config"] for layer in config["config"]["layers"]}
    except _DAMAGE as error:
        raise ValueError(
            f"{path}: its config.json does not list layers, as that of a functional model does "
            f"({type(error).__name__}: {error})."
        ) from error
    for name, layer in layers.items():
        strides = layer.get("strides")
        steps = strides if isinstance(strides, list) else [strides or 1]
        if not isinstance(name, str) or not steps or not all(isinstance(n, int) for n in steps):
            raise ValueError(
                f"{path}: its layer {name!r:.80} has the impossible strides {strides!r:.80}."
            )
    return layers


def _variables(file: Any, path: Path) -> Iterator[tuple[str, Any]]:
    import h5py

    def inside(group: Any, key: str, kind: type) -> Any:
        item = plain_item(group, key, path)
        if not isinstance(item, kind):
            raise ValueError(f"refused {item.name}, which is not a {kind.__name__.lower()}")
        return item

    if "layers" not in file:
        raise ValueError("it holds no layers")
    layers = inside(file, "layers", h5py.Group)
    for key in layers:
        layer = inside(layers, key, h5py.Group)
        if "layers" in layer:  # a model inside the model
            yield from _variables(layer, path)
        if "vars" not in layer:
            continue
        variables = inside(layer, "vars", h5py.Group)
        name = str(variables.attrs.get("name", key))
        for index in variables:
            yield f"{name}/{index}", inside(variables, index, h5py.Dataset)


def entries(model: Any, file: WeightFile) -> list[Entry]:
    """What `model` takes from a file of the same network."""
    return [
        Entry(
            f"{layer.name}/{variable.name if file.older else index}",
            tuple(variable.shape),
            variable,
            np.asarray,
            is_classifier(layer),
        )
        for layer in weighted_layers(model)
        for index, variable in enumerate(layer.weights)
    ]


def is_of_network(file: WeightFile, model: Any) -> bool:
    """Whether layers in the file are called as the model's."""
    return any(entry.name in file.tensors for entry in entries(model, file))


def classes(file: WeightFile) -> int:
    """How many classes the network in the file tells apart; 0 without a classifier."""
    bias = "bias" if file.older else "1"
    for family in families():
        name = f"{family.classifier}.conv/{bias}"
        if name in file.tensors:
            return file.tensors[name].shape[-1] // family.per_class
    return 0


def network_on_backbone(file: WeightFile) -> str | None:
    """The detector or segmenter that the file is of, if it is of one."""
    layers = {name.rpartition("/")[0] for name in file.tensors}
    own = (family for family in families() if family.on_backbone)
    return next((family.name for family in own if f"{family.classifier}.conv" in layers), None)


def epsilons(file: WeightFile, model: Any) -> dict[str, float]:
    """The batch norms' epsilons in the file, where it tells them."""
    names = {layer.name for layer in weighted_layers(model)}
    known = {name: config for name, config in file.layers.items() if name in names}
    found = {name: config.get("epsilon") for name, config in known.items()}
    return {name: epsilon for name, epsilon in found.items() if epsilon is not None}


def requirements(file: WeightFile) -> dict[str, Any]:
    """The keywords with which a network of ours is built as the file's model, where it tells."""
    if file.older and keras_unnamed.is_unnamed(file.tensors):
        return keras_unnamed.requirements(file.described)
    explicit = any(name.endswith(".pad") for name in file.layers)
    return {"use_explicit_padding": True} if explicit else {}


def check_built_alike(model: Any, file: WeightFile, path: str | os.PathLike) -> None:
    """Raise a ValueError where the same weights would be another function than the file's model."""
    for layer in model.layers:
        theirs, ours = file.layers.get(layer.name), layer.get_config()
        if theirs is None:
            continue
        if _pads(theirs) != _pads(ours) and theirs.get("strides") == list(ours["strides"]):
            raise ValueError(
                f"layer {layer.name} of {path} has the padding {_pads(theirs)!r:.80}, that of "
                f"model {model.name!r} {_pads(ours)!r}: build the model with "
                f"use_explicit_padding={_pads(theirs) != 'same'}."
            )
        if "." not in layer.name and theirs.get("activation") != ours.get("activation"):
            raise ValueError(
                f"layer {layer.name} of {path} has the activation "
                f"{theirs.get('activation')!r:.80}, that of model {model.name!r} "
                f"{ours.get('activation')!r}: build the model alike."
            )


def _pads(config: Mapping[str, Any]) -> str | None:
    """The padding where it makes a difference: at a stride."""
    strides = config.get("strides") or 1
    largest = max(strides) if isinstance(strides, list | tuple) else strides
    return config.get("padding") if largest > 1 else None
