"""ReLUs where a kernel can fuse them: after convolutions and sums, not after concatenations.

Neither CONCATENATION nor pooling fuses an activation on the Edge TPU, and XNNPACK runs no RELU of
its own in int8. ShuffleNetV1's units of stride 2 end in just that.
"""

import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.passes import Form, Notes, PassReport


def run(graph: Graph, form: Form) -> PassReport:
    """Drop ReLUs of what is not negative; apply those of concatenations to the parts."""
    notes = Notes()
    for node in graph.nodes():
        if node.kind == "Activation" and node.config["activation"] in ("relu", "relu6"):
            source = node.inputs[0]
            if node.config["activation"] == "relu" and _is_positive(source):
                notes.change(node, "ReLU", "dropped: its input is never negative")
                graph.replace(node.out, source)
            elif source.node.kind == "Concatenate":
                _distribute(graph, node, notes)
    return notes.report("activations")


def _is_positive(value: Value) -> bool:
    node = value.node
    if node.activation.positive:
        return True
    keeps = node.traits.keeps_sign
    if node.is_linear:  # an average pool may have become a convolution
        keeps = all((weight >= 0).all() for weight in node.weights)
    elif node.kind == "MultiplyConstant":
        keeps = np.min(node.config["value"]) >= 0
    return keeps and all(_is_positive(one) for one in node.inputs)


def _distribute(graph: Graph, node: Node, notes: Notes) -> None:
    """Apply the activation to the parts of a concatenation, if all of them can fuse it."""
    activation, joint = node.config["activation"], node.inputs[0].node
    if joint.out.only_reader is not node:
        notes.leave(node, "ReLU", "its concatenation is read elsewhere too")
        return
    parts = list(dict.fromkeys(joint.inputs))
    if activation == "relu":
        parts = [part for part in parts if not _is_positive(part)]
    if not all(_can_fuse(part) for part in parts):
        notes.leave(node, "ReLU", "not every part of its concatenation can fuse it")
        return
    notes.change(node, "ReLU", "moved into the parts of a concatenation")
    for part in parts:
        if part.node.is_linear:
            part.node.config = {**part.node.config, "activation": activation}
        else:
            name = f"{part.node.name}.{activation}"
            graph.insert_after(part, name, "Activation", [joint], activation=activation)
    joint.name = node.name
    graph.replace(node.out, joint.out)


def _can_fuse(value: Value) -> bool:
    fuses = value.node.is_linear or value.node.kind in ("Add", "Multiply")
    return fuses and value.only_reader is not None
