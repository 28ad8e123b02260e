"""Whole `.h5` models whose layers have Keras's own names (`conv2d_7`): read by their order.

Such names tell nothing, so the description in the file must: what each layer does is compared with
what ours does, step by step. MLPerf Tiny's `vww_96.h5` is of this kind.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from slimnets.weights.families import is_classifier
from slimnets.weights.matching import Entry
from slimnets.weights.units import weighted_layers

_OWN_NAME = re.compile(r"(conv2d|depthwise_conv2d|batch_normalization|dense)(_\d+)?")
_SILENT = ("InputLayer", "Dropout", "SpatialDropout2D", "Flatten", "Reshape", "Identity")
_CONVOLUTIONS = {"Conv2D": "convolution", "DepthwiseConv2D": "depthwise convolution"}
_POOLS = ("AveragePooling2D", "GlobalAveragePooling2D")
_PLAIN_RELU = {"conv": {"activation": "relu"}, "depthwise": {"activation": "relu"}}

Layers = Sequence[tuple[str, Mapping[str, Any]]]  # class and configuration


def is_unnamed(tensors: Iterable[str]) -> bool:
    """Whether all weights, `layer/variable`, are of layers that nobody named."""
    layers = {name.rpartition("/")[0] for name in tensors}
    return bool(layers) and all(_OWN_NAME.fullmatch(layer) for layer in layers)


def match(model: Any, tensors: Mapping[str, Any]) -> tuple[list[Entry], dict[str, Any]]:
    """What `model` takes, and the tensors to take it from: layer for layer, in the order of both.

    A convolution's bias before a batch normalization, where ours has none, goes into the mean that
    this subtracts: the same function.
    """
    theirs = _by_layer(tensors)
    ours = weighted_layers(model)
    following = [*theirs.values()][1:]
    for layer, variables, after in zip(ours, theirs.values(), following, strict=False):
        biased = any(variable.name == "bias" for variable in layer.weights)
        if "bias" in variables and "moving_mean" in after and not biased:
            after["moving_mean"] = np.asarray(after["moving_mean"]) - variables.pop("bias")
    entries = []
    names = itertools.chain(theirs, (f"layer {n}" for n in itertools.count(len(theirs) + 1)))
    for name, layer in zip(names, ours, strict=False):
        for variable in layer.weights:
            shape = tuple(variable.shape)
            given = theirs.get(name, {}).get(variable.name)
            dense = variable.name == "kernel" and given is not None and len(given.shape) == 2
            entries.append(
                Entry(
                    f"{name}/{variable.name}",
                    shape[2:] if dense else shape,
                    variable,
                    _as_convolution if dense else np.asarray,
                    is_classifier(layer),
                )
            )
    return entries, {f"{n}/{kind}": t for n, group in theirs.items() for kind, t in group.items()}


def classifier(tensors: Mapping[str, Any]) -> tuple[str, int]:
    """The last layer's name, and its outputs if it is a classifier; else ("", 0)."""
    name, variables = [*_by_layer(tensors).items()][-1]
    if "bias" not in variables or "moving_mean" in variables:
        return "", 0
    return name, variables["bias"].shape[0]


def _by_layer(tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    layers: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition("/")
        kind = "kernel" if kind == "depthwise_kernel" else kind
        layers.setdefault(layer, {})[kind] = tensor
    return layers


def _as_convolution(dense: np.ndarray) -> np.ndarray:
    return dense[np.newaxis, np.newaxis]


def epsilons(model: Any, layers: Layers) -> dict[str, float]:
    """Those of the file's batch normalizations, by the names of ours."""
    ours = [layer.name for layer in model.layers if hasattr(layer, "epsilon")]
    theirs = [
        config.get("epsilon", 1e-3) for kind, config in layers if kind == "BatchNormalization"
    ]
    return dict(zip(ours, theirs, strict=False))


def requirements(layers: Layers) -> dict[str, Any]:
    """The keywords with which a network of ours is built as the file's model."""
    plain = {what for _, what in _steps(layers) if what.startswith("relu")} == {"relu"}
    return {"arg_scope": _PLAIN_RELU} if plain else {}


def check_built_alike(model: Any, layers: Layers, path: Any) -> None:
    """Raise a ValueError where the same weights would be another function than the file's model."""
    if not layers:
        raise ValueError(
            f"{path} has weights of layers that are called as Keras calls them, and no description "
            "of the model, so that its activations and padding are unknown: save the whole model, "
            "model.save('model.h5')."
        )
    ours = [(type(layer).__name__, layer.get_config()) for layer in model.layers]
    for (their_name, theirs), (name, wanted) in zip(_steps(layers), _steps(ours), strict=False):
        if theirs == wanted:
            continue
        advice = ""
        if {theirs, wanted} == {"relu", "relu6"}:
            changes = {kind: {"activation": theirs} for kind in _PLAIN_RELU}
            advice = f": build the model with arg_scope={changes}"
        elif "ZeroPadding2D" in (theirs, wanted):
            advice = f": build the model with use_explicit_padding={theirs == 'ZeroPadding2D'}"
        raise ValueError(
            f"layer {their_name} of {path} is {theirs}, where {name} of model {model.name!r} is "
            f"{wanted}{advice}."
        )


def _steps(layers: Layers) -> list[tuple[str, str]]:
    """What the layers do, each with its name: alike for models of the same function."""
    steps = [*_all_steps(layers)]
    pools = [place for place, (_, what) in enumerate(steps) if what.startswith("average")]
    if pools:  # the last one takes the whole map
        steps[pools[-1]] = steps[pools[-1]][0], "average of the map"
    return steps[:-1] if steps and steps[-1][1] == "softmax" else steps


def _all_steps(layers: Layers) -> Iterator[tuple[str, str]]:
    for kind, config in layers:
        name = str(config.get("name", kind))
        if kind in _SILENT:
            continue
        if kind in _CONVOLUTIONS:
            yield name, _convolution(kind, config)
        elif kind == "Dense":
            yield name, "1×1 convolution, stride 1"
        elif kind == "ReLU":
            most = config.get("max_value")
            yield name, "relu" if most is None else f"relu{most}".removesuffix(".0")
        elif kind in _POOLS:
            yield name, f"average of {config.get('pool_size', 'the map')}"
        elif kind != "Activation":
            yield name, kind
        activation = config.get("activation", "linear")
        if activation != "linear":
            yield name, str(activation)


def _convolution(kind: str, config: Mapping[str, Any]) -> str:
    kernel, stride, rate = (
        [sizes] * 2 if isinstance(sizes := config.get(key, 1), int) else sizes
        for key in ("kernel_size", "strides", "dilation_rate")
    )
    padding = f", padding {config.get('padding')}" if max(kernel) > 1 else ""
    extra = f", dilation {rate}" if max(rate) > 1 else ""
    groups = config.get("groups", 1)
    extra += f", {groups} groups" if groups != 1 else ""
    sides = "×".join(map(str, kernel))
    return f"{sides} {_CONVOLUTIONS[kind]}, stride {max(stride)}{padding}{extra}"
