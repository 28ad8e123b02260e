"""One name for each meaning: what Keras can write in many ways is read as one kind of node.

After it:
- `Scale` is x * scale + offset, both of shape () or (channels,): Rescaling, Normalization, and
  arithmetic with constants;
- `LeakyReLU`, or `Activation` with "leaky_relu", stands for every leaky ReLU;
- `Activation` with "relu", "relu6", "hard_silu" or "hard_sigmoid" stands for every spelling;
- `Add`, `Multiply`, `Concatenate` … are the layers and the operations alike;
- `BatchNormalization` has all four weights and ends on the last axis, or is `custom`;
- layers that act only in training are gone, and computations are in float32.
"""

import numbers
from typing import Any

import numpy as np

from tflite.rewriting.graph import Graph, Node, Slot
from tflite.rewriting.passes import Form, Notes, PassReport

_HALVES = ("float16", "bfloat16")


def run(graph: Graph, form: Form) -> PassReport:
    """Read every spelling as the one kind that stands for it."""
    notes = Notes()
    for node in graph.nodes():
        _to_float32(node, notes)
        if node.kind.startswith("custom."):
            notes.leave(node, type(node.source).__name__, "not a layer of Keras's own")
        elif particular := _particular(node):
            notes.leave(node, node.kind, particular)
            node.kind = f"custom.{node.kind}"
        elif node.traits.training_only or _is_nothing(node):
            notes.change(node, node.kind, "removed")
            graph.replace(node.out, node.inputs[0])
        elif node.kind.startswith("ops."):
            _normalize_operation(node)
        elif node.kind == "BatchNormalization":
            _complete_batch_normalization(node)
        elif node.kind == "ReLU":
            _normalize_relu(node)
        elif node.kind in ("Rescaling", "Normalization"):
            _normalize_scaling(node)
        elif node.traits.linear:
            _forget_training(node)
    readers = graph.input.out.readers
    if readers and all(node.kind == "Scale" for node in readers):
        # Rescaling made floats of integer pixels; whoever reads them after it is folded must not.
        graph.input.config = {"dtype": "float32"}
    return notes.report("normal_form")


def _forget_training(node: Node) -> None:
    """No regularizers, and no weights drawn at random only to be replaced."""
    plain = {
        key: "zeros" if key.endswith("_initializer") else None
        for key in node.config
        if key.endswith(("_initializer", "_regularizer", "_constraint"))
    }
    node.config = {**node.config, **plain}


def _to_float32(node: Node, notes: Notes) -> None:
    policy = node.config.get("dtype")
    name = policy["config"].get("name", "") if isinstance(policy, dict) else str(policy)
    if name.startswith("mixed_"):
        node.config = {**node.config, "dtype": "float32"}
        notes.change(node, node.kind, f"made float32, from {name}")


def _particular(node: Node) -> str | None:
    """What about this call or layer is beyond what the rewrites know of its kind."""
    _, keywords = node.call or ((), {})
    if keywords.get("mask") is not None:
        return "called with a mask"
    if node.config.get("data_format") == "channels_first":
        return "channels come first"
    if node.kind == "BatchNormalization" and node.config["axis"] not in (-1, len(node.shape) - 1):
        return "normalizes another axis than channels"
    if linear := node.traits.linear:
        if len(node.weights) != linear.kernels + bool(node.config["use_bias"]):
            return "has other weights than kernel and bias"
        if any(weight.dtype != np.float32 for weight in node.weights):
            return "weights are not float32"
    return None


def _is_nothing(node: Node) -> bool:
    if node.kind == "ops.Cast":
        # Before 3.10 Keras writes into the graph what a mixed policy casts; all is float32 here.
        return node.source.dtype in _HALVES and node.source.input.dtype == "float32"
    return node.kind == "Activation" and node.config["activation"] == "linear"


def _normalize_operation(node: Node) -> None:
    traits = node.traits
    if traits.activation:
        if node.kind != "ops.Softmax" or node.source.axis == -1:
            node.become("Activation", activation=traits.activation)
    elif node.kind == "ops.LeakyRelu":
        node.become("LeakyReLU", negative_slope=node.source.negative_slope)
    elif node.kind == "ops.Clip":
        if _same(node.source.x_min, 0) and _same(node.source.x_max, 6):
            node.become("Activation", activation="relu6")
    elif len(node.inputs) == 1 and traits.with_constant:
        _normalize_arithmetic(node)
    elif len(node.inputs) == 2 and traits.same_as:
        node.kind = traits.same_as
    elif node.kind == "ops.Concatenate":
        node.config = {"axis": node.source.axis}
        node.kind = "Concatenate"


def _same(value: Any, number: float) -> bool:
    return isinstance(value, numbers.Number) and value == number


def _normalize_arithmetic(node: Node) -> None:
    left, right = node.call[0] if len(node.call[0]) == 2 else (None, None)
    if isinstance(right, Slot) and node.kind in ("ops.Add", "ops.Multiply"):
        left, right = right, left
    if isinstance(left, Slot) and right is not None and node.shape == node.inputs[0].shape:
        _become_scale(node, *node.traits.with_constant(np.asarray(right, dtype=np.float64)))


def _become_scale(node: Node, scale: Any, offset: Any) -> None:
    """Make it a `Scale`, if both constants are one number or one a channel."""
    scale, offset = (_by_channel(constant, node.shape) for constant in (scale, offset))
    if scale is not None and offset is not None:
        node.become("Scale", scale=scale, offset=offset)


def _by_channel(constant: Any, shape: tuple) -> np.ndarray | None:
    """The constant as one number, or as one a channel where it lies along channels; else None.

    The axis decides, not the size: (4, 1, 1) lies along the rows of a map of four channels.
    """
    constant = np.asarray(constant, dtype=np.float64)
    flat = constant.reshape(-1)
    if constant.ndim > len(shape) or not flat.size:
        return None
    if (flat == flat[0]).all():
        return flat[0]
    return flat if constant.shape[-1] == flat.size == shape[-1] else None


def _normalize_scaling(node: Node) -> None:
    source = node.source
    if node.kind == "Rescaling":
        _become_scale(node, source.scale, source.offset)
        return
    # Both in the shape in which they are broadcast over the layer's axes.
    mean = np.asarray(source.mean, dtype=np.float64)
    # Keras's own guard against constant channels.
    deviation = np.maximum(np.sqrt(np.asarray(source.variance, dtype=np.float64)), 1e-7)
    if source.invert:
        _become_scale(node, deviation, mean)
    else:
        _become_scale(node, 1.0 / deviation, -mean / deviation)


def _normalize_relu(node: Node) -> None:
    config = node.config
    if config["threshold"] or (config["negative_slope"] and config["max_value"] is not None):
        return
    if config["negative_slope"]:
        node.become("LeakyReLU", negative_slope=config["negative_slope"])
    elif config["max_value"] is None:
        node.become("Activation", activation="relu")
    elif config["max_value"] == 6:
        node.become("Activation", activation="relu6")


def _complete_batch_normalization(node: Node) -> None:
    """Give it the weights that `scale=False` and `center=False` leave out."""
    weights = list(node.weights)
    channels = weights[0].shape
    for index, option in enumerate(("scale", "center")):
        if not node.config[option]:
            weights.insert(index, np.full(channels, 1.0 - index, np.float32))
    if len(weights) > len(node.weights):
        node.weights = weights
        node.config = {**node.config, "scale": True, "center": True}
