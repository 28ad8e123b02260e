"""Checkpoints of TF-Slim and of what is built on it.

Layouts are as ours, names as the families say (`CheckpointNaming`).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from slimnets.weights.families import families, is_classifier
from slimnets.weights.matching import Entry, check_matches_model
from slimnets.weights.namings import CheckpointNaming, Shapes
from slimnets.weights.units import (
    LOGITS,
    blocks,
    layer_names,
    rename,
    units_of,
    weighted_layers,
)
from slimnets.weights.variants import Variant

EPSILON = 1e-3

_AVERAGE = "/ExponentialMovingAverage"
_BLOCK = re.compile(r"expanded_conv(_\d+)?/")
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
    r"|/\w+_quant/"
)


_DETECTOR = re.compile(r"\w+/((Conv2d|layer)_\d+\w*_\d+_Conv2d_\d+_\d+x\d+\w*|(fpn|FPN)\w*)/")


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

    Of a training's folder the one that its file `checkpoint` names, which is the latest; the log
    lists the others. Of several without that file the one in `ema/`, as some archives have it.

    Raises:
        ValueError: a folder where it is not clear which; all are listed.
    """
    path = Path(path)
    if path.is_dir():
        return _latest(path)
    prefix = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name)
    return path.with_name(prefix) if path.with_name(f"{prefix}.index").is_file() else None


def _latest(folder: Path) -> Path | None:
    inside = sorted(folder.glob("*.index")) or sorted(folder.rglob("*.index"))
    averages = [p for p in inside if "ema" in p.relative_to(folder).parts]
    found = [p.with_suffix("") for p in averages or inside]
    named = {_named_by(parent) for parent in {prefix.parent for prefix in found}} - {None}
    chosen = found if len(found) == 1 else [p for p in found if p in named]
    others = ", ".join(p.name for p in found if p not in chosen)
    if found and len(chosen) != 1:
        raise ValueError(
            f"{folder} holds {len(found)} checkpoints, and no file `checkpoint` names one of them "
            f"as the latest: give the prefix of one of {', '.join(str(p) for p in found)}."
        )
    if others:
        logging.info("%s: took %s, the latest; there are also %s.", folder, chosen[0].name, others)
    return chosen[0] if chosen else None


def _named_by(folder: Path) -> Path | None:
    """The checkpoint that a training's file `checkpoint` says is the latest."""
    try:
        text = (folder / "checkpoint").read_text("utf-8")
    except (OSError, ValueError):
        return None
    match = re.search(r'^model_checkpoint_path:\s*"([^"]+)"', text, re.MULTILINE)
    # Often a path of the machine that trained: the file lies beside this one all the same.
    return folder / re.split(r"[/\\]", match[1])[-1] if match else None


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
    return {name: StoredTensor(reader, name, tuple(shapes[name])) for name in sorted(shapes)}


def find_naming(names: Iterable[str]) -> CheckpointNaming | None:
    """The naming that these variables have, perhaps below another scope (a detector's)."""
    scopes = {part for name in names for part in name.split("/")[:-1]}
    return next((naming for naming in _namings() if naming.scope in scopes), None)


def find_naming_on_backbone(names: Iterable[str]) -> CheckpointNaming | None:
    """The naming of a network on a backbone that these variables have, backbone and all."""
    scopes = {s for name in names for s in accumulate(name.split("/")[:-1], "{}/{}".format)}
    around = [family.checkpoint_on for family in families() if family.checkpoint_on]
    known = (naming(backbone) for naming in around for backbone in _namings())
    return next((naming for naming in known if scopes.issuperset(naming.signature)), None)


def _namings() -> list[CheckpointNaming]:
    return [naming for family in families() for naming in family.checkpoints]


def example() -> str:
    """The name of a variable, for a message."""
    return f"{_namings()[0].scope}/Conv2d_0/weights"


def prefer_averages(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The weights alone: each as its exponential moving average where there is one."""
    return {
        name: tensors.get(name + _AVERAGE, tensor)
        for name, tensor in tensors.items()
        if not name.endswith(_AVERAGE) and not _TRAINING_STATE.search(name)
    }


class Variables(NamedTuple):
    """A checkpoint's variables below a network's own scope, and what of them is no weight of it."""

    tensors: dict[str, Any]
    beside: tuple[str, ...] = ()


def network_variables(naming: CheckpointNaming, tensors: Mapping[str, Any]) -> Variables:
    """The weights of a network, also of one inside a detector.

    The Object Detection API keeps the network below `FeatureExtractor/`, its own layers on top in
    the same scope (`…/Conv2d_13_pointwise_1_Conv2d_2_1x1_256`, `…/layer_19_2_Conv2d_…`), and what
    detects in other scopes. A naming without a scope is of all of that.
    """
    wanted = prefer_averages(tensors)
    if not naming.scope:
        return Variables(wanted)
    inside = re.compile(rf"(.*?/)?(?={re.escape(naming.scope)}/)")
    outer = Counter(m[1] for name in wanted if (m := inside.match(name)) and m[1]).most_common(1)
    if not outer or any(name.startswith(f"{naming.scope}/") for name in wanted):
        return Variables(wanted)
    prefix = outer[0][0]
    found, beside = {}, []
    for name, tensor in wanted.items():
        short = name.removeprefix(prefix)
        if not name.startswith(f"{prefix}{naming.scope}/") or _DETECTOR.match(short):
            beside.append(name)
        else:
            found[short] = tensor
    return Variables(found, tuple(beside))


def check_names_layers(tensors: Mapping[str, Any], prefix: Path) -> None:
    """Raise a ValueError for a checkpoint of objects, whose variables have no names of layers."""
    if any(name.endswith("/.ATTRIBUTES/VARIABLE_VALUE") for name in tensors):
        raise ValueError(
            f"{prefix} is a checkpoint of TensorFlow 2, which numbers a model's layers and does "
            "not name them: in the program that wrote it, save the model as .keras or .weights.h5."
        )


def entries(model: Any, naming: CheckpointNaming, shapes: Shapes) -> list[Entry]:
    """What `model` takes from a checkpoint of this naming.

    Raises:
        ValueError: the model is another network.
    """
    names = layer_names(
        (unit, naming.full_name(name) + "{,/BatchNorm}")
        for unit, name in naming.name_units(units_of(model), model)
    )
    check_matches_model(names, model, f"{looks_like(naming, shapes)} of {naming.origin}")
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


def inverted_units(units: Sequence[str], model: Any) -> Iterator[tuple[str, str]]:
    """TF-Slim's names for numbered layers: `Conv`, `expanded_conv`, `expanded_conv_1`, …."""
    plain = [f"layer_{number}" for number, parts in blocks(units).items() if parts == [""]]
    for unit, name in rename(_INVERTED_UNITS, units):
        if match := re.fullmatch(r"block_(\d+)/(.*)", name):
            number = int(match[1]) - 2
            name = f"expanded_conv{f'_{number}' if number else ''}/{match[2]}"
        elif unit in plain:
            number = plain.index(unit)
            name = f"Conv_{number}" if number else "Conv"
        yield unit, name


def block_widths(shapes: Shapes) -> list[int]:
    """Output channels of the blocks that `inverted_units` names, from the shapes below the scope.

    Raises:
        KeyError: a block has no projection.
    """
    count = len({match[0] for name in shapes if (match := _BLOCK.match(name))})
    names = (f"expanded_conv{f'_{index}' if index else ''}" for index in range(count))
    return [width(shapes, f"{name}/project") for name in names]


def width(shapes: Shapes, layer: str) -> int:
    """Output channels of a convolution; KeyError if it is not there."""
    return shapes[f"{layer}/weights"][-1]


def looks_like(naming: CheckpointNaming, shapes: Shapes) -> Variant:
    """The network that variables of these shapes belong to, as far as its landmarks are there."""
    below = below_scope(shapes, naming.full_name(""))
    number = classes(naming, shapes)
    try:
        return naming.variant(below, number)
    except (KeyError, IndexError):
        # A part of a network, or one of the user's own table: its scope is all there is to say.
        return Variant(naming.network or naming.scope, {}, number)


def below_scope(shapes: Shapes, scope: str) -> dict[str, tuple[int, ...]]:
    """The variables whose names begin with `scope`, without it."""
    return {n.removeprefix(scope): shape for n, shape in shapes.items() if n.startswith(scope)}


def classes(naming: CheckpointNaming, shapes: Shapes) -> int:
    """How many classes variables of these shapes tell apart; 0 without a classifier."""
    biases = shapes.get(naming.full_name(f"{naming.classifier[-1]}/biases"), ())
    return (*biases, 0)[0] // naming.per_class
