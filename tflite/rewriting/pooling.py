"""Average pooling as the kernels at hand can do it."""

import numpy as np

from tflite.rewriting.graph import Graph, Node
from tflite.rewriting.padding import same_padding
from tflite.rewriting.passes import Form, Notes, PassReport


def run(graph: Graph, form: Form) -> PassReport:
    """Windows as large as the map become means; where no kernel averages, others convolutions."""
    notes = Notes()
    native = form.precision in form.device.native_average_pool
    for node in graph.nodes():
        if node.kind != "AveragePooling2D":
            continue
        config, sizes = node.config, node.inputs[0].shape[1:3]
        if None in node.inputs[0].shape[1:]:
            notes.leave(node, "average pool", "the size of its input is open")
        elif config["padding"] == "valid" and config["pool_size"] == sizes:
            notes.change(node, "average pool", "written as a mean")
            node.become("GlobalAveragePooling2D", keepdims=True)
        elif native:
            notes.leave(node, "average pool", "native kernel")
        elif len(set(config["strides"])) > 1:
            notes.leave(node, "average pool", "no convolution has two strides")
        else:
            notes.change(node, "average pool", "written as a convolution")
            _become_convolution(graph, node)
    return notes.report("pooling")


def _become_convolution(graph: Graph, node: Node) -> None:
    config, (_, *sizes, channels) = node.config, node.inputs[0].shape
    window, strides, padding = config["pool_size"], config["strides"], config["padding"]
    node.become(
        "DepthwiseConv2D",
        kernel_size=window,
        strides=strides,
        padding=padding,
        use_bias=False,
        activation="linear",
        dilation_rate=(1, 1),
    )
    node.weights = [np.full((*window, channels, 1), 1.0 / np.prod(window))]
    if padding == "same":
        axes = zip(sizes, window, strides, strict=True)
        rows, columns = (_covered(*axis) for axis in axes)
        share = np.outer(rows, columns)[None, :, :, None]
        if (share < 1).any():
            name = f"{node.name}.border"
            graph.insert_after(node.out, name, "MultiplyConstant", value=1.0 / share)


def _covered(size: int, window: int, stride: int) -> np.ndarray:
    """The share of each window that lies inside: pooling does not count what SAME pads."""
    before, after = same_padding(size, window, stride)
    inside = np.pad(np.ones(size), (before, after))
    return np.array([inside[start : start + window].mean() for start in range(0, size, stride)])
