"""Grouped convolutions, as each target takes them.

One is CONV_2D version 6, which the Edge TPU compiler refuses.
"""

import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.passes import Form, Notes, PassReport


def run(graph: Graph, form: Form) -> PassReport:
    """Write grouped convolutions as a split, one convolution a group, and a concatenation."""
    notes = Notes()
    for node in graph.nodes():
        if node.kind != "Conv2D" or node.config["groups"] == 1:
            continue
        if not form.device.splits_groups:
            notes.leave(node, "grouped convolution", "native kernel")
        elif not node.activation.elementwise:
            notes.leave(node, "grouped convolution", "its activation mixes the groups")
        else:
            notes.change(node, "grouped convolution", "split by group")
            _fuse_activation(graph, node)
            _split(node)
    if form.device.splits_groups:
        for node in graph.nodes():
            if node.kind == "Concatenate":
                _take_in_concatenations(node)
    return notes.report("groups")


def _fuse_activation(graph: Graph, node: Node) -> None:
    """Take the activation that follows into the convolution: CONCATENATION cannot fuse it."""
    reader = node.out.only_reader
    if reader is None or reader.kind != "Activation" or not node.is_linear:
        return
    if reader.activation.fused:
        node.config = {**node.config, "activation": reader.config["activation"]}
        node.name = reader.name
        graph.replace(reader.out, node.out)


def _split(node: Node) -> None:
    config, source = node.config, node.inputs[0]
    groups = config["groups"]
    joint = source.node
    if joint.kind == "Concatenate" and _is_cut_in(joint, groups):
        parts = joint.inputs  # the groups of a grouped convolution before it
    else:
        shape = (*source.shape[:-1], source.shape[-1] // groups)
        split = Node(f"{node.name}.split", "Split", [source], [shape] * groups)
        split.config = {"groups": groups}
        parts = split.outputs
    shape = (*node.shape[:-1], node.shape[-1] // groups)
    weights = [np.split(weight, groups, axis=-1) for weight in node.weights]
    outputs = []
    for group, part in enumerate(parts):
        one = Node(f"{node.name}.group_{group}", "Conv2D", [part], [shape], source=node.source)
        one.config = {**config, "groups": 1, "filters": shape[-1]}
        one.weights = [pieces[group] for pieces in weights]
        outputs.append(one.out)
    node.become("Concatenate", axis=-1)
    node.inputs = outputs


def _take_in_concatenations(node: Node) -> None:
    """One concatenation instead of one of another's output that nothing else reads."""
    inputs: list[Value] = []
    for value in node.inputs:
        inner = value.node
        merges = inner.kind == "Concatenate" and inner.config["axis"] == node.config["axis"]
        alone = merges and value.only_reader is node
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
