"""Zero padding that the convolution after it can do as well."""

from tflite.rewriting.graph import Graph, Node
from tflite.rewriting.passes import Form, Notes, PassReport


def run(graph: Graph, form: Form) -> PassReport:
    """Turn zero padding before a convolution into its own SAME padding, where they are equal."""
    notes = Notes()
    for node in graph.nodes():
        if node.kind not in ("Conv2D", "DepthwiseConv2D"):
            continue
        pad = node.inputs[0].node
        if pad.kind != "ZeroPadding2D":
            continue
        if node.config["padding"] != "valid":
            notes.leave(pad, "zero padding", "the convolution after it pads as well")
        elif not _pads_as_same(pad, node):
            notes.leave(pad, "zero padding", "SAME pads otherwise")
        else:
            notes.change(pad, "zero padding", "done by the convolution after it")
            node.config = {**node.config, "padding": "same"}
            node.inputs = pad.inputs
    return notes.report("padding")


def _pads_as_same(pad: Node, convolution: Node) -> bool:
    config = convolution.config
    return all(
        size is not None and tuple(padding) == same_padding(size, kernel, stride, dilation)
        for padding, size, kernel, stride, dilation in zip(
            pad.config["padding"],
            pad.inputs[0].shape[1:3],
            config["kernel_size"],
            config["strides"],
            config["dilation_rate"],
            strict=True,
        )
    )


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """What SAME padding puts before and after `size` pixels (TensorFlow's rule)."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2
