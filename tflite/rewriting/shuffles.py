"""Channel shuffles that cost nothing, or else a 4-D transpose.

Written as they usually are they take a 5-D TRANSPOSE (version 4), which the Edge TPU compiler
refuses. A convolution's output order is free, so a shuffle after an ungrouped one goes into its
weights; the others become a `ChannelShuffle`, which `operations` writes as a 4-D transpose.
"""

import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.linear import permute_output
from tflite.rewriting.passes import Form, Notes, PassReport


def run(graph: Graph, form: Form) -> PassReport:
    """Move channel shuffles into the convolutions before them, or make them 4-D."""
    notes = Notes()
    for node in graph.nodes():
        if (source := _shuffle_source(node)) is None:
            continue
        groups = node.inputs[0].node.shape[-1]
        node.become("ChannelShuffle", groups=groups)
        node.inputs = [source]
        order = np.arange(node.shape[-1]).reshape(groups, -1).T.reshape(-1)
        if _reorder(source, node, order, form.device.densifies_shuffles):
            notes.change(node, "channel shuffle", "done by the convolution before it")
            graph.replace(node.out, source)
        else:
            notes.leave(node, "channel shuffle", "no convolution before it can do it for free")
    return notes.report("shuffles")


def _shuffle_source(node: Node) -> Value | None:
    """What is shuffled, if the node ends (…, g·n) → (…, g, n) → (…, n, g) → (…, n·g)."""
    if not node.traits.reshapes:
        return None
    transpose = node.inputs[0].node
    if not transpose.traits.transposes or len(transpose.inputs) != 1:
        return None
    split = transpose.inputs[0].node
    if not split.traits.reshapes or len(split.inputs) != 1:
        return None
    source = split.inputs[0]
    *lead, channels = source.shape
    *rest, groups, members = split.shape
    if groups is None or members is None:
        return None
    swapped = (*range(len(lead)), len(lead) + 1, len(lead))
    matches = (
        rest == lead
        and channels == groups * members
        and node.shape == source.shape
        and _axes(transpose) == swapped
    )
    return source if matches else None


def _axes(transpose: Node) -> tuple[int, ...]:
    if transpose.kind == "Permute":
        return (0, *transpose.config["dims"])
    source, axes = transpose.source, list(range(len(transpose.shape)))
    if transpose.kind == "ops.Transpose":
        return tuple(axes[axis] for axis in source.axes or reversed(axes))
    # An array as large along each axis as the axis's number tells by its shape where that went.
    moved = np.empty(axes)
    if transpose.kind == "ops.Swapaxes":
        return np.swapaxes(moved, source.axis1, source.axis2).shape
    return np.moveaxis(moved, source.source, source.destination).shape


def _reorder(value: Value, reader: Node, order: np.ndarray, densify: bool) -> bool:
    """Make `value` come in `order`, by the weights of what makes it; False if that is not free."""
    if value.only_reader is not reader:
        return False
    node = value.node
    if node.kind == "Activation" and node.activation.elementwise:
        return _reorder(node.inputs[0], node, order, densify)
    if node.kind == "BatchNormalization":
        if not _reorder(node.inputs[0], node, order, densify):
            return False
        node.weights = [weight[order] for weight in node.weights]
        return True
    if node.kind != "Conv2D" or not node.activation.elementwise:
        return False
    if node.config["groups"] > 1:
        if not densify or set(node.config["kernel_size"]) != {1}:
            return False
        _make_dense(node)
    permute_output(node, order)
    return True


def _make_dense(node: Node) -> None:
    """One ungrouped 1×1 convolution, its weights zero between groups.

    It is the form of a shuffled bottleneck that leaves least to do besides multiplying: one
    CONV_2D on a 64×64 array of multipliers, against a split, g convolutions narrower than that
    array, a concatenation and a transpose. The next grouped convolution, with nothing to shuffle,
    is better split: int8 ShuffleNetV1 stages (28×28 and 14×14, 11 units, one x86 thread) took
    2.32 ms so and 2.49 ms with both of them dense for 3 groups, 4.36 and 5.01 ms for 8 groups.
    With CONV_2D's own groups and 4-D transposes, where these are allowed, 2.14 and 2.78 ms.
    """
    groups = node.config["groups"]
    blocks = np.split(node.weights[0], groups, axis=-1)
    height, width, members, outputs = blocks[0].shape
    kernel = np.zeros((height, width, members * groups, outputs * groups), node.weights[0].dtype)
    for group, block in enumerate(blocks):
        kernel[
            ..., group * members : (group + 1) * members, group * outputs : (group + 1) * outputs
        ] = block
    node.config = {**node.config, "groups": 1}
    node.weights = [kernel, *node.weights[1:]]
