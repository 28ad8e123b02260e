"""One name for each meaning: what Keras can write in many ways is read as one kind of node.

After `normalize`:
- `Scale` is x * scale + offset, both of shape () or (channels,): Rescaling, Normalization, and
  arithmetic with constants;
- `Activation` with "relu", "relu6", "hard_silu" or "hard_sigmoid" stands for every spelling;
- `Add`, `Multiply`, `Concatenate` … are the layers and the operations alike;
- `BatchNormalization` has all four weights and ends on the last axis, or is `custom`;
- layers that act only in training are gone, and computations are in float32.
"""

import numbers
from typing import Any

import numpy as np

from tflite.rewriting.graph import Graph, Node, Slot

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D")
LINEAR = (*CONVOLUTIONS, "Conv2DTranspose", "SeparableConv2D", "Dense")

# fmt: off
_TRAINING_ONLY = frozenset({
    "ActivityRegularization", "AlphaDropout", "AugMix", "CutMix", "Dropout", "GaussianDropout",
    "GaussianNoise", "Identity", "MixUp", "RandAugment", "RandomBrightness",
    "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomElasticTransform",
    "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue",
    "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation",
    "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
})
# fmt: on

_ACTIVATION_OPERATIONS = {
    "ops.Relu": "relu",
    "ops.Relu6": "relu6",
    "ops.HardSilu": "hard_silu",
    "ops.HardSigmoid": "hard_sigmoid",
    "ops.Sigmoid": "sigmoid",
    "ops.Softmax": "softmax",
}

# The operation's kind, and scale and offset of `x op constant`.
_WITH_CONSTANT = {
    "ops.Add": lambda constant: (1.0, constant),
    "ops.Subtract": lambda constant: (1.0, -constant),
    "ops.Multiply": lambda constant: (constant, 0.0),
    "ops.Divide": lambda constant: (1.0 / constant, 0.0),
    "ops.TrueDivide": lambda constant: (1.0 / constant, 0.0),
}

_OF_TENSORS = ("ops.Add", "ops.Subtract", "ops.Multiply", "ops.Maximum", "ops.Minimum")


def normalize(graph: Graph) -> None:
    """Read every spelling as the one kind that stands for it."""
    for node in graph.order()[1:]:
        _to_float32(node)
        if _is_particular(node):
            node.kind = f"custom.{node.kind}"
        elif node.kind in _TRAINING_ONLY or _is_nothing(node):
            graph.redirect(node.out, node.inputs[0])
        elif node.kind.startswith("ops."):
            _normalize_operation(node)
        elif node.kind == "BatchNormalization":
            _complete_batch_normalization(node)
        elif node.kind == "ReLU":
            _normalize_relu(node)
        elif node.kind in ("Rescaling", "Normalization"):
            _normalize_scaling(node)
        elif node.kind in LINEAR:
            _forget_training(node)
    readers = graph.readers().get(graph.input.out, [])
    if readers and all(node.kind == "Scale" for node in readers):
        # Rescaling made floats of integer pixels; whoever reads them after it is folded must not.
        graph.input.config = {"dtype": "float32"}


def is_linear(node: Node) -> bool:
    """Whether it is a linear layer without activation."""
    return node.kind in LINEAR and node.config["activation"] == "linear"


def _forget_training(node: Node) -> None:
    """No regularizers, and no weights drawn at random only to be replaced."""
    plain = {
        key: "zeros" if key.endswith("_initializer") else None
        for key in node.config
        if key.endswith(("_initializer", "_regularizer", "_constraint"))
    }
    node.config = {**node.config, **plain}


def _to_float32(node: Node) -> None:
    policy = node.config.get("dtype")
    name = policy["config"].get("name", "") if isinstance(policy, dict) else str(policy)
    if name.startswith("mixed_"):
        node.config = {**node.config, "dtype": "float32"}


def _is_particular(node: Node) -> bool:
    """Whether something about this call or layer is beyond what the rewrites know of its kind."""
    _, keywords = node.call or ((), {})
    if keywords.get("mask") is not None or node.config.get("data_format") == "channels_first":
        return True
    if node.kind == "BatchNormalization":
        return node.config["axis"] not in (-1, len(node.shape) - 1)
    if node.kind in LINEAR:
        expected = 1 + bool(node.config["use_bias"]) + (node.kind == "SeparableConv2D")
        return len(node.weights) != expected or any(w.dtype != np.float32 for w in node.weights)
    return False


def _is_nothing(node: Node) -> bool:
    return node.kind == "Activation" and node.config["activation"] == "linear"


def _normalize_operation(node: Node) -> None:
    if node.kind in _ACTIVATION_OPERATIONS:
        if node.kind != "ops.Softmax" or node.source.axis == -1:
            node.become("Activation", activation=_ACTIVATION_OPERATIONS[node.kind])
    elif node.kind == "ops.Clip":
        if _same(node.source.x_min, 0) and _same(node.source.x_max, 6):
            node.become("Activation", activation="relu6")
    elif len(node.inputs) == 1 and node.kind in _WITH_CONSTANT:
        _normalize_arithmetic(node)
    elif len(node.inputs) == 2 and node.kind in _OF_TENSORS:
        node.kind = node.kind.removeprefix("ops.")
    elif node.kind == "ops.Concatenate":
        node.config = {"axis": node.source.axis}
        node.kind = "Concatenate"


def _same(value: Any, number: float) -> bool:
    return isinstance(value, numbers.Number) and value == number


def _normalize_arithmetic(node: Node) -> None:
    left, right = node.call[0] if len(node.call[0]) == 2 else (None, None)
    if isinstance(right, Slot) and node.kind in ("ops.Add", "ops.Multiply"):
        left, right = right, left
    if not isinstance(left, Slot) or right is None:
        return
    constant = np.asarray(right, dtype=np.float64)
    per_channel = constant.ndim > 0 and constant.shape[-1] == constant.size == node.shape[-1]
    if (constant.size == 1 or per_channel) and node.shape == node.inputs[0].shape:
        _become_scale(node, *_WITH_CONSTANT[node.kind](constant))


def _become_scale(node: Node, scale: Any, offset: Any) -> None:
    node.become("Scale", scale=_compact(scale), offset=_compact(offset))


def _compact(constant: Any) -> np.ndarray:
    flat = np.asarray(constant, dtype=np.float64).reshape(-1)
    return flat[0] if (flat == flat[0]).all() else flat


def _normalize_scaling(node: Node) -> None:
    config = node.config
    if node.kind == "Rescaling":
        scale, offset = config["scale"], config["offset"]
        if all(np.size(value) in (1, node.shape[-1]) for value in (scale, offset)):
            _become_scale(node, scale, offset)
    elif not config["invert"] and np.size(node.source.mean) in (1, node.shape[-1]):
        mean = np.asarray(node.source.mean, dtype=np.float64)
        deviation = np.sqrt(np.asarray(node.source.variance, dtype=np.float64))
        # Keras's own guard against constant channels.
        scale = 1.0 / np.maximum(deviation, 1e-7)
        _become_scale(node, scale, -mean * scale)


def _normalize_relu(node: Node) -> None:
    config = node.config
    if config["negative_slope"] or config["threshold"]:
        return
    if config["max_value"] is None:
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
