"""TF-Slim checkpoints: names of `nets/mobilenet_v1.py` and `nets/mobilenet/`, layouts as ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimnets.weights import variants
from slimnets.weights.matching import Entry, check_matches_model
from slimnets.weights.units import (
    LOGITS,
    blocks,
    is_classifier,
    layer_names,
    rename,
    units_of,
    weighted_layers,
)
from slimnets.weights.variants import Variant, multiplier

EPSILON = 1e-3

_SCOPE = re.compile(r"(MobilenetV[123]|MobilenetEdgeTPU)/")
_BLOCK = re.compile(r"/expanded_conv(_\d+)?/")
_AVERAGE = "/ExponentialMovingAverage"
_V1_UNITS = {
    r"(Conv2d_\d+(_depthwise|_pointwise)?)": r"\1",
    re.escape(LOGITS): r"Logits/Conv2d_1c_1x1",
}
_INVERTED_UNITS = {
    r"layer_\d+": r"Conv",
    r"layer_(\d+)\.(expand|depthwise|project)": r"block_\1/\2",
    r"layer_(\d+)\.squeeze_excite\.reduce": r"block_\1/squeeze_excite/Conv",
    r"layer_(\d+)\.squeeze_excite\.expand": r"block_\1/squeeze_excite/Conv_1",
    r"Conv_2": r"Conv_2",
    re.escape(LOGITS): r"Logits/Conv2d_1c_1x1",
}
# What training leaves in a checkpoint beside weights: counters, optimizer slots, the moments of
# zero-debiased averages and the ranges of quantization-aware training.
_TRAINING_STATE = re.compile(
    r"(^|/)(global_step|beta[12]_power|save_counter|loss_scale|good_steps)$"
    r"|/(RMSProp|Momentum|Adam|Adagrad|Ftrl)(_\d+)?$"
    r"|/(biased|local_step)$"
    r"|/(act|weights|conv|input|add|mul)_quant/"
)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a checkpoint, read when numpy asks for it."""

    reader: Any
    name: str
    shape: tuple[int, ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        try:
            return np.asarray(self.reader.get_tensor(self.name), dtype)
        except Exception as error:  # IndexError, RuntimeError or one of TensorFlow's own
            raise ValueError(f"the checkpoint is damaged: {self.name}: {error}") from error


def checkpoint_prefix(path: str | os.PathLike) -> Path | None:
    """The prefix that `path` tells (itself, one of its files, or a folder), or None.

    In a folder with several checkpoints, as MobileNetV3's archives have, the one in `ema/` counts.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.rglob("*.index"))
        found = [p for p in found if "ema" in p.relative_to(path).parts] or found
        return found[0].with_suffix("") if len(found) == 1 else None
    prefix = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name)
    return path.with_name(prefix) if path.with_name(f"{prefix}.index").is_file() else None


def read_checkpoint(prefix: str | os.PathLike) -> dict[str, StoredTensor]:
    """The variables of a TensorFlow checkpoint by name; values are read when they are used.

    Raises:
        ValueError: the files are damaged or incomplete.
    """
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(os.fspath(prefix))
        shapes = reader.get_variable_to_shape_map()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise ValueError(f"{prefix}: not a readable TensorFlow checkpoint: {error}") from error
    return {name: StoredTensor(reader, name, tuple(shape)) for name, shape in shapes.items()}


def is_tf_slim(names: Sequence[str]) -> bool:
    """Whether these are the variable names of a TF-Slim network."""
    return any(_SCOPE.match(name) for name in names)


def prefer_averages(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The weights alone: each as its exponential moving average where there is one."""
    return {
        name: tensors.get(name + _AVERAGE, tensor)
        for name, tensor in tensors.items()
        if not name.endswith(_AVERAGE) and not _TRAINING_STATE.search(name)
    }


def is_classifier_name(name: str) -> bool:
    """Whether a variable belongs to what follows the pool: absent without classes."""
    return bool(re.search(r"/(Logits|Conv_2)/", name))


def entries(model: Any, tensors: Mapping[str, Any]) -> list[Entry]:
    """What `model` takes from a checkpoint whose variables are `tensors`.

    Raises:
        ValueError: the model is another network.
    """
    scope = next(match[1] for name in tensors if (match := _SCOPE.match(name)))
    names = layer_names(_name_units(scope, units_of(model)))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_matches_model(names, model, f"{looks_like(shapes)} of TF-Slim")
    return [
        Entry(
            f"{names[layer.name]}/{_variable_name(layer, variable)}",
            tuple(variable.shape),
            variable,
            np.asarray,
            is_classifier(layer),
        )
        for layer in weighted_layers(model)
        for variable in layer.weights
    ]


def _variable_name(layer: Any, variable: Any) -> str:
    depthwise = type(layer).__name__ == "DepthwiseConv2D"
    convolution = {"kernel": "depthwise_weights" if depthwise else "weights", "bias": "biases"}
    return convolution.get(variable.name, variable.name)


def _name_units(scope: str, units: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(unit, template) for the units that this scope has."""
    rules = _V1_UNITS if scope == "MobilenetV1" else _INVERTED_UNITS
    plain = [f"layer_{number}" for number, parts in blocks(units).items() if parts == [""]]
    for unit, name in rename(rules, units):
        if match := re.fullmatch(r"block_(\d+)/(.*)", name):
            number = int(match[1]) - 2
            name = f"expanded_conv{f'_{number}' if number else ''}/{match[2]}"
        elif unit in plain:
            number = plain.index(unit)
            name = f"Conv_{number}" if number else "Conv"
        yield unit, f"{scope}/{name}{{,/BatchNorm}}"


def looks_like(shapes: Mapping[str, tuple[int, ...]]) -> Variant | None:
    """The network that variables of these shapes belong to, if its landmarks are there."""
    scope = next((match[1] for name in shapes if (match := _SCOPE.match(name))), None)

    def width(layer: str) -> int:
        return shapes[f"{scope}/{layer}/weights"][-1]

    classes = shapes.get(f"{scope}/Logits/Conv2d_1c_1x1/biases", (0,))[0]
    blocks_there = len({match[0] for name in shapes if (match := _BLOCK.search(name))})
    try:
        if scope == "MobilenetV1":
            return variants.mobilenet_v1(width("Conv2d_13_pointwise"), classes)
        if scope == "MobilenetV2":
            last = f"expanded_conv_{blocks_there - 1}/project"
            return variants.mobilenet_v2(width(last), width("Conv_1"), classes)
        if scope == "MobilenetV3":
            excites = any("squeeze_excite" in name for name in shapes)
            return variants.mobilenet_v3(
                blocks_there,
                lambda index: width(f"expanded_conv{f'_{index}' if index else ''}/project"),
                excites,
                classes,
            )
        if scope == "MobilenetEdgeTPU":
            return variants.Variant("mobilenet_edgetpu", multiplier(width("Conv"), 32), classes)
    except KeyError:
        # A part of a network, or one of the user's own table: its scope is all there is to say.
        return variants.Variant(str(scope), {}, classes)
    return None
