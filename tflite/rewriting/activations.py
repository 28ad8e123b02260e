"""ReLUs where a kernel can fuse them: after convolutions and sums, not after concatenations.

Neither CONCATENATION nor pooling fuses an activation on the Edge TPU, and XNNPACK runs no RELU of
its own in int8. ShuffleNetV1's units of stride 2 end in just that.
"""

import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.normal_form import is_linear

# fmt: off
_POSITIVE_ACTIVATIONS = frozenset({
    "hard_sigmoid", "relu", "relu6", "sigmoid", "softmax", "softplus",
})

# Of non-negative inputs these make non-negative outputs.
_KEEP_SIGN = frozenset({
    "Add", "Average", "AveragePooling2D", "Concatenate", "Cropping2D", "Flatten",
    "GlobalAveragePooling2D", "GlobalMaxPooling2D", "MaxPooling2D", "Maximum", "Minimum",
    "Multiply", "Permute", "Reshape", "ZeroPadding2D", "ops.GetItem", "ops.Mean", "ops.Reshape",
    "ops.Slice", "ops.Split", "ops.Transpose",
})
# fmt: on


def fuse_relus(graph: Graph) -> None:
    """Drop ReLUs of what is not negative; apply those of concatenations to the parts."""
    readers = graph.readers()
    for node in graph.order()[1:]:
        if node.kind != "Activation" or node.config["activation"] not in ("relu", "relu6"):
            continue
        source = node.inputs[0]
        relu = node.config["activation"] == "relu"
        if relu and _is_positive(source):
            graph.redirect(node.out, source)
        elif source.node.kind == "Concatenate" and graph.only_reader(source, readers) is node:
            parts = dict.fromkeys(source.node.inputs)
            plain = {part for part in parts if relu and _is_positive(part)}
            if all(part in plain or _can_fuse(graph, part, readers) for part in parts):
                _distribute(graph, node, [part for part in parts if part not in plain])
                readers = graph.readers()


def _is_positive(value: Value) -> bool:
    node = value.node
    if node.kind == "Activation":
        return node.config["activation"] in _POSITIVE_ACTIVATIONS
    if node.config.get("activation") in _POSITIVE_ACTIVATIONS:
        return True
    keeps = node.kind in _KEEP_SIGN
    if is_linear(node):  # an average pool may have become a convolution
        keeps = all((weight >= 0).all() for weight in node.weights)
    elif node.kind == "MultiplyConstant":
        keeps = np.min(node.config["value"]) >= 0
    return keeps and all(_is_positive(one) for one in node.inputs)


def _can_fuse(graph: Graph, value: Value, readers: dict[Value, list[Node]]) -> bool:
    fuses = is_linear(value.node) or value.node.kind in ("Add", "Multiply")
    return fuses and graph.only_reader(value, readers) is not None


def _distribute(graph: Graph, node: Node, parts: list[Value]) -> None:
    joint = node.inputs[0].node
    activation = node.config["activation"]
    for part in parts:
        if is_linear(part.node):
            part.node.config = {**part.node.config, "activation": activation}
        else:
            name = f"{part.node.name}.{activation}"
            one = Node(name, "Activation", [part], [part.shape], config={"activation": activation})
            graph.redirect(part, one.out, [joint])
    joint.name = node.name
    graph.redirect(node.out, joint.out)
