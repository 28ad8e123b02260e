"""A grouped convolution of one channel a group is a depthwise one, with faster kernels."""

from tflite.rewriting.graph import Graph, Node
from tflite.rewriting.passes import Form, Notes, PassReport

_KEPT = ("strides", "padding", "dilation_rate", "activation", "use_bias", "kernel_size")


def run(graph: Graph, form: Form) -> PassReport:
    """Write grouped convolutions of one channel a group as depthwise ones."""
    notes = Notes()
    for node in graph.nodes():
        if node.kind != "Conv2D" or node.config["groups"] != node.inputs[0].shape[-1]:
            continue
        if node.config["groups"] == 1:
            continue
        if len(set(node.config["strides"])) > 1:
            notes.leave(node, "single-channel grouped convolution", "it has two strides")
            continue
        notes.change(node, "single-channel grouped convolution", "written as depthwise")
        _become_depthwise(node)
    return notes.report("depthwise")


def _become_depthwise(node: Node) -> None:
    config, (kernel, *bias) = node.config, node.weights
    channels = config["groups"]
    node.become(
        "DepthwiseConv2D",
        **{key: config[key] for key in _KEPT},
        depth_multiplier=kernel.shape[-1] // channels,
    )
    node.weights = [kernel.reshape(*kernel.shape[:2], channels, -1), *bias]
