"""Batch normalization, rescaling and padding that a neighbouring convolution can do as well."""

import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.linear import (
    affine,
    fold_affine,
    scale_input,
    shift_input,
    takes_channel_factors,
    takes_offsets,
)

Readers = dict[Value, list[Node]]


def fold_into_producers(graph: Graph) -> None:
    """Fold affine maps into the linear layer or the affine map before them."""
    readers = graph.readers()
    for node in graph.order()[1:]:
        if affine(node) is None:
            continue
        source = node.inputs[0]
        if graph.only_reader(source, readers) is node and fold_affine(node, into=source.node):
            followers = readers.pop(node.out, [])
            graph.redirect(node.out, source, followers)
            readers[source] = followers
            if graph.output == node.out:
                graph.output = source


def fold_into_consumers(graph: Graph) -> None:
    """Fold affine maps into the convolutions that read them, where all of them can take it.

    An offset must not meet zero padding: the border would lack it.
    """
    readers = graph.readers()
    for node in graph.order()[1:]:
        if affine(node) is None or node.out == graph.output:
            continue
        scale, offset = affine(node)
        followers = readers.get(node.out, [])
        if all(_can_take(follower, scale, offset) for follower in followers):
            for follower in followers:
                shift_input(follower, offset)
                scale_input(follower, scale)
            graph.redirect(node.out, node.inputs[0], followers)


def _can_take(node: Node, scale: np.ndarray, offset: np.ndarray) -> bool:
    return takes_channel_factors(node) and (takes_offsets(node) or not np.any(offset))


def fold_padding(graph: Graph) -> None:
    """Turn zero padding before a convolution into its own SAME padding, where they are equal."""
    for node in graph.order()[1:]:
        pad = node.inputs[0].node if node.inputs else None
        if (
            node.kind in ("Conv2D", "DepthwiseConv2D")
            and pad.kind == "ZeroPadding2D"
            and node.config["padding"] == "valid"
            and _pads_as_same(pad, node)
        ):
            node.config = {**node.config, "padding": "same"}
            node.inputs = [pad.inputs[0]]


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
