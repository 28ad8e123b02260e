"""Average pooling as the kernels at hand can do it."""

import numpy as np

from tflite.rewriting.folding import same_padding
from tflite.rewriting.graph import Graph, Node


def rewrite_average_pools(graph: Graph, *, native: bool) -> None:
    """Windows as large as the map become means; without `native` the others convolutions."""
    for node in graph.order()[1:]:
        if node.kind != "AveragePooling2D" or None in node.inputs[0].shape[1:]:
            continue
        config = node.config
        if config["padding"] == "valid" and config["pool_size"] == node.inputs[0].shape[1:3]:
            node.become("GlobalAveragePooling2D", keepdims=True)
        elif not native and len(set(config["strides"])) == 1:
            _become_convolution(graph, node)


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
            _multiply(graph, node, 1.0 / share)


def _covered(size: int, window: int, stride: int) -> np.ndarray:
    """The share of each window that lies inside: pooling does not count what SAME pads."""
    before, after = same_padding(size, window, stride)
    inside = np.pad(np.ones(size), (before, after))
    return np.array([inside[start : start + window].mean() for start in range(0, size, stride)])


def _multiply(graph: Graph, node: Node, value: np.ndarray) -> None:
    product = Node(f"{node.name}.border", "MultiplyConstant", [], node.shapes)
    product.config = {"value": value}
    graph.redirect(node.out, product.out)
    product.inputs = [node.out]
