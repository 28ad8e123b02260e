"""What one may do to the weights of a linear layer, exactly.

Weights are kept in float64 until the model is built, so that several rewrites of one layer round
once. Channel vectors follow the layer's own order: a depthwise layer's output channel c*m + j is
its input channel c's j-th, a grouped convolution's channels are those of its groups one after
the other.
"""

import numpy as np

from tflite.rewriting.graph import Node


def scale_input(node: Node, factor: float | np.ndarray) -> None:
    """Make the layer work as before on an input divided by `factor` (a number or (channels,))."""
    kernel = node.weights[0].astype(np.float64)
    factor = _along(kernel, factor, (node.traits.linear.input_axis,))
    node.weights = [kernel * factor, *node.weights[1:]]


def shift_input(node: Node, offset: float | np.ndarray) -> None:
    """Make a layer without padding work as before on an input that lacks `offset`."""
    kernel = node.weights[0].astype(np.float64)
    kernel = kernel * _along(kernel, offset, (node.traits.linear.input_axis,))
    outputs = len(node.traits.linear.output_axes)
    shift = kernel.sum(axis=tuple(range(kernel.ndim - outputs))).reshape(-1)
    add_bias(node, shift)


def scale_output(node: Node, factor: float | np.ndarray) -> None:
    """Multiply the layer's output, before its activation, by `factor` (a number or (channels,))."""
    index = node.traits.linear.kernels - 1
    weights = list(node.weights)
    kernel = weights[index].astype(np.float64)
    weights[index] = kernel * _along(kernel, factor, node.traits.linear.output_axes)
    if node.config["use_bias"]:
        weights[-1] = weights[-1].astype(np.float64) * factor
    node.weights = weights


def _along(kernel: np.ndarray, factor: float | np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """`factor`, if it has one number a channel, shaped so that it lies along these axes."""
    if not np.ndim(factor):
        return factor
    kept = {axis % kernel.ndim for axis in axes}
    shape = [size if axis in kept else 1 for axis, size in enumerate(kernel.shape)]
    return np.reshape(factor, shape)


def add_bias(node: Node, offset: float | np.ndarray) -> None:
    """Add `offset` (a number or (channels,)) to the layer's output, before its activation."""
    if not np.any(offset):
        return
    if node.config["use_bias"]:
        bias = node.weights[-1].astype(np.float64) + offset
        node.weights = [*node.weights[:-1], bias]
    else:
        node.config = {**node.config, "use_bias": True}
        node.weights = [*node.weights, np.broadcast_to(offset, node.shape[-1:]).astype(np.float64)]


def permute_output(node: Node, order: np.ndarray) -> None:
    """Give out channel `order[i]` as channel i; `node` is an ungrouped Conv2D or Dense."""
    node.weights = [weight[..., order] for weight in node.weights]


def affine(node: Node) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale, offset), each () or (channels,), if the node is x * scale + offset."""
    if node.kind == "Scale":
        return node.config["scale"], node.config["offset"]
    if node.kind == "BatchNormalization":
        gamma, beta, mean, variance = (weight.astype(np.float64) for weight in node.weights)
        scale = gamma / np.sqrt(variance + node.config["epsilon"])
        return scale, beta - mean * scale
    return None


def _is_by_channel(node: Node) -> bool:
    return node.traits.linear is not None and node.traits.linear.by_channel


def takes_offsets(node: Node) -> bool:
    """Whether a constant added to its input is exactly one added to its output."""
    if not _is_by_channel(node):
        return False
    # Where zeros are padded the constant is missing.
    padding = node.config.get("padding", "valid")
    return padding == "valid" or set(node.config["kernel_size"]) == {1}


def takes_channel_factors(node: Node) -> bool:
    """Whether its input may be scaled channel by channel."""
    return _is_by_channel(node) and node.config.get("groups", 1) == 1


def fold_affine(node: Node, into: Node) -> bool:
    """Fold `node`, an affine map of the output of `into`, into `into`; False if it cannot be."""
    scale, offset = affine(node)
    if into.is_linear:
        scale_output(into, scale)
        add_bias(into, offset)
    elif (inner := affine(into)) is not None:
        scale, offset = inner[0] * scale, inner[1] * scale + offset
        into.become("Scale", scale=scale, offset=offset)
    else:
        return False
    return True
