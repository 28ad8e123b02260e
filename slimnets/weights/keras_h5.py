"""Keras's older HDF5 layout: `model.save("x.h5")`, and the weights that keras.applications ships.

A group a layer, in the order of `layer_names`, each with its data sets' paths as `weight_names`:
`Conv1/Conv1/kernel:0`. A whole model has them below `model_weights`. A model inside a model is one
layer with all its weights. Its description is the attribute `model_config`, JSON. Nothing else is
looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tflite.files.keras_archive import check_config


def is_older_layout(file: Any) -> bool:
    """Whether an open HDF5 file is of this layout."""
    return "model_weights" in file or "layer_names" in file.attrs or "layer_names0" in file.attrs


def variables(file: Any) -> Iterator[tuple[str, Any]]:
    """(layer/variable, data set), in the model's order.

    Raises:
        ValueError: the file is damaged, or some data lie in another file.
    """
    root = _inside(file, "model_weights") if "model_weights" in file else file
    for layer in _names(root, "layer_names"):
        group = _inside(root, layer)
        names = _names(group, "weight_names")
        # A layer's weights share one beginning; those of a model inside begin with its layers'.
        nested = len({name.rpartition("/")[0] for name in names}) > 1
        for name in names:
            owner, _, variable = name.rpartition("/")
            variable = variable.partition(":")[0]
            yield f"{owner if nested else layer}/{variable}", _inside(group, name)


def layers(file: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """(class, configuration) of a whole model's layers, in its order; empty of weights alone.

    Raises:
        ValueError, LookupError, TypeError: the description is damaged.
    """
    text = file.attrs.get("model_config")
    if text is None:
        return []
    config = json.loads(text)
    check_config(config)
    return [_checked(layer["class_name"], layer["config"]) for layer in config["config"]["layers"]]


def _checked(kind: Any, config: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(kind, str) or not isinstance(config, dict):
        raise ValueError("its description of a layer is none")
    for key in ("kernel_size", "strides", "dilation_rate"):
        sizes = config.get(key, 1)
        sizes = sizes if isinstance(sizes, list) and sizes else [sizes]
        if not all(isinstance(size, int) for size in sizes):
            raise ValueError(f"a layer has the {key} {config[key]!r:.80}")
    if not isinstance(config.get("epsilon", 1e-3), float | int):
        raise ValueError(f"a layer has the epsilon {config['epsilon']!r:.80}")
    return kind, config


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names, which Keras cuts into several attributes where it is long."""
    if attribute in group.attrs:
        found = [*group.attrs[attribute]]
    else:
        found, part = [], 0
        while f"{attribute}{part}" in group.attrs:
            found += [*group.attrs[f"{attribute}{part}"]]
            part += 1
    return [name.decode() if isinstance(name, bytes) else str(name) for name in found]


def _inside(group: Any, path: str) -> Any:
    import h5py

    for key in filter(None, path.split("/")):
        # A link to another file would read whatever it names.
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ValueError(f"refused {key!r}, which is missing or a link to elsewhere")
        group = group[key]
    if isinstance(group, h5py.Dataset) and (group.external or group.is_virtual):
        raise ValueError(f"refused {group.name}, whose data lie in another file")
    return group
