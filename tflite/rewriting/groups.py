"""Grouped convolutions and channel shuffles, as each target takes them.

A grouped convolution is CONV_2D version 6 and a channel shuffle a 5-D TRANSPOSE (version 4): the
Edge TPU compiler refuses both. A convolution's output order is free, so a shuffle after an
ungrouped one costs nothing; otherwise it is written as a 4-D transpose.
"""

import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.linear import permute_output
from tflite.rewriting.normal_form import is_linear

_RESHAPES = ("Reshape", "ops.Reshape")
_TRANSPOSES = ("Permute", "ops.Transpose")
# fmt: off
_ELEMENTWISE = frozenset({
    "elu", "gelu", "hard_sigmoid", "hard_silu", "leaky_relu", "linear", "relu", "relu6", "sigmoid",
    "silu", "tanh",
})
# fmt: on

Readers = dict[Value, list[Node]]


def rewrite_shuffles(graph: Graph, *, densify: bool) -> None:
    """Move channel shuffles into the convolutions before them, or make them 4-D."""
    for node in graph.order()[1:]:
        if (source := _shuffle_source(node)) is None:
            continue
        groups = node.inputs[0].node.shape[-1]
        node.become("ChannelShuffle", groups=groups)
        node.inputs = [source]
        order = np.arange(node.shape[-1]).reshape(groups, -1).T.reshape(-1)
        if _reorder(graph, source, node, order, graph.readers(), densify):
            graph.redirect(node.out, source)


def _shuffle_source(node: Node) -> Value | None:
    """What is shuffled, if the node ends (…, g·n) → (…, g, n) → (…, n, g) → (…, n·g)."""
    if node.kind not in _RESHAPES:
        return None
    transpose = node.inputs[0].node
    if transpose.kind not in _TRANSPOSES or len(transpose.inputs) != 1:
        return None
    split = transpose.inputs[0].node
    if split.kind not in _RESHAPES or len(split.inputs) != 1:
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
    rank = len(transpose.shape)
    return tuple(axis % rank for axis in transpose.source.axes or reversed(range(rank)))


def _reorder(
    graph: Graph, value: Value, reader: Node, order: np.ndarray, readers: Readers, densify: bool
) -> bool:
    """Make `value` come in `order`, by the weights of what makes it; False if that is not free."""
    if graph.only_reader(value, readers) is not reader:
        return False
    node = value.node
    if node.kind == "Activation" and node.config["activation"] in _ELEMENTWISE:
        return _reorder(graph, node.inputs[0], node, order, readers, densify)
    if node.kind == "BatchNormalization":
        if not _reorder(graph, node.inputs[0], node, order, readers, densify):
            return False
        node.weights = [weight[order] for weight in node.weights]
        return True
    if node.kind != "Conv2D" or node.config["activation"] not in _ELEMENTWISE:
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


def make_depthwise(graph: Graph) -> None:
    """A grouped convolution of one channel a group is a depthwise one, with faster kernels."""
    for node in graph.order()[1:]:
        if node.kind != "Conv2D" or node.config["groups"] != node.inputs[0].shape[-1]:
            continue
        config, (kernel, *bias) = node.config, node.weights
        if config["groups"] == 1 or len(set(config["strides"])) > 1:
            continue
        channels = config["groups"]
        kept = ("strides", "padding", "dilation_rate", "activation", "use_bias", "kernel_size")
        shape = (*kernel.shape[:2], channels, -1)
        node.become("DepthwiseConv2D", **{key: config[key] for key in kept})
        node.config["depth_multiplier"] = kernel.shape[-1] // channels
        node.weights = [kernel.reshape(shape), *bias]


def split_groups(graph: Graph) -> None:
    """Write grouped convolutions as a split, one convolution a group, and a concatenation."""
    readers = graph.readers()
    for node in graph.order()[1:]:
        if node.kind != "Conv2D" or node.config["groups"] == 1:
            continue
        if node.config["activation"] in _ELEMENTWISE:
            _fuse_activation(graph, node, readers)
            _split(node)
    for node in graph.order()[1:]:
        if node.kind == "Concatenate":
            _take_in_concatenations(graph, node)


def _fuse_activation(graph: Graph, node: Node, readers: Readers) -> None:
    """Take the activation that follows into the convolution: CONCATENATION cannot fuse it."""
    reader = graph.only_reader(node.out, readers)
    if reader is None or reader.kind != "Activation" or not is_linear(node):
        return
    if reader.config["activation"] in ("relu", "relu6"):
        node.config = {**node.config, "activation": reader.config["activation"]}
        node.name = reader.name
        graph.redirect(reader.out, node.out)


def _split(node: Node) -> None:
    config, source = node.config, node.inputs[0]
    groups, activation = config["groups"], config["activation"]
    joint = source.node
    if joint.kind == "Concatenate" and _is_cut_in(joint, groups):
        parts = joint.inputs  # the groups of a grouped convolution before it
    else:
        shape = (*source.shape[:-1], source.shape[-1] // groups)
        split = Node(f"{node.name}.split", "Split", [source], [shape] * groups)
        split.config = {"groups": groups}
        parts = [Value(split, group) for group in range(groups)]
    shape = (*node.shape[:-1], node.shape[-1] // groups)
    weights = [np.split(weight, groups, axis=-1) for weight in node.weights]
    outputs = []
    for group, part in enumerate(parts):
        one = Node(f"{node.name}.group_{group}", "Conv2D", [part], [shape], node.source)
        one.config = {**config, "groups": 1, "filters": shape[-1], "activation": activation}
        one.weights = [pieces[group] for pieces in weights]
        outputs.append(one.out)
    node.become("Concatenate", axis=-1)
    node.inputs = outputs


def _take_in_concatenations(graph: Graph, node: Node) -> None:
    """One concatenation instead of one of another's output that nothing else reads."""
    readers = graph.readers()
    inputs = []
    for value in node.inputs:
        inner = value.node
        merges = inner.kind == "Concatenate" and inner.config["axis"] == node.config["axis"]
        alone = merges and graph.only_reader(value, readers) is node
        inputs += inner.inputs if alone else [value]
    if len(inputs) > len(node.inputs):
        node.become("Concatenate", axis=node.config["axis"])
        node.inputs = inputs


def _is_cut_in(joint: Node, groups: int) -> bool:
    sizes = {value.shape[-1] for value in joint.inputs}
    rank = len(joint.shape)
    return (
        len(joint.inputs) == groups and len(sizes) == 1 and joint.config["axis"] % rank == rank - 1
    )
