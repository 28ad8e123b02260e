"""Leaky ReLUs for a device that has PRELU, and no LEAKY_RELU: the Edge TPU.

A leaky ReLU is a PReLU whose slopes are equal. The Edge TPU takes one slope a channel.
"""

import numpy as np

from tflite.rewriting.graph import Graph, Node
from tflite.rewriting.passes import Form, Notes, PassReport

# keras.activations.leaky_relu's, where it is called by name.
_SLOPE = 0.2


def run(graph: Graph, form: Form) -> PassReport:
    """Write leaky ReLUs as PReLUs with one slope a channel, where the target needs that."""
    notes = Notes()
    for node in graph.nodes():
        ends_leaky = node.config.get("activation") == "leaky_relu"
        if node.kind != "LeakyReLU" and not ends_leaky:
            continue
        if form.device.native_leaky_relu:
            notes.leave(node, "leaky ReLU", "native kernel")
        elif node.shape[-1] is None:
            notes.leave(node, "leaky ReLU", "the number of its channels is open")
        else:
            notes.change(node, "leaky ReLU", "written as PReLU")
            slope = _SLOPE if ends_leaky else node.config["negative_slope"]
            if node.traits.linear:
                node.config = {**node.config, "activation": "linear"}
                node = graph.insert_after(node.out, f"{node.name}.leaky_relu", "PReLU")
            _become_prelu(node, slope)
    return notes.report("leaky_relu")


def _become_prelu(node: Node, slope: float) -> None:
    shared = list(range(1, len(node.shape) - 1))
    node.become("PReLU", shared_axes=shared or None)
    node.weights = [np.full((*(1 for _ in shared), node.shape[-1]), slope)]
