"""The nodes that no Keras layer makes, written with one `keras.ops` operation each.

Operations, not layers: a Rescaling layer would multiply by 1 and add 0 where only one is meant.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.linear import affine


def _constant(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.asarray(value, np.float32)


def _multiply(x: Any, value: Any) -> Any:
    product = keras.ops.multiply(x, _constant(value))
    product._sparse = False  # Keras believes that any product with a constant is sparse
    return product


BUILDERS: dict[str, Callable[..., Any]] = {
    "AddConstant": lambda x, value: keras.ops.add(x, _constant(value)),
    "MultiplyConstant": _multiply,
    "ConstantReshape": lambda x, sizes: keras.ops.reshape(x, (x.shape[0] or -1, *sizes)),
    "ConstantTranspose": lambda x, axes: keras.ops.transpose(x, axes),
    "Split": lambda x, groups: keras.ops.split(x, groups, axis=-1),
}


def spell_out(graph: Graph) -> None:
    """Write `Scale` and `ChannelShuffle` with nodes that are one operation each."""
    for node in graph.order()[1:]:
        if node.kind == "Scale":
            _spell_scale(graph, node)
        elif node.kind == "ChannelShuffle":
            _spell_shuffle(node)


def _spell_scale(graph: Graph, node: Node) -> None:
    scale, offset = affine(node)
    steps = []
    if np.any(scale != 1.0):
        steps.append(("MultiplyConstant", scale))
    if np.any(offset):
        steps.append(("AddConstant", offset))
    if not steps:
        graph.redirect(node.out, node.inputs[0])
        return
    if len(steps) == 2:
        kind, value = steps[0]
        first = Node(f"{node.name}.multiply", kind, node.inputs, node.shapes)
        first.config = {"value": value}
        node.inputs = [first.out]
    kind, value = steps[-1]
    node.become(kind, value=value)


def _spell_shuffle(node: Node) -> None:
    """Transpose as (rows·columns, groups, members): 4-D is all that the Edge TPU parses."""
    batch, *lead, channels = node.shape
    groups = node.config["groups"]
    pixels = -1 if None in lead else math.prod(lead)
    members = channels // groups
    flat = (pixels, groups, members)
    split = _step(
        f"{node.name}.split", "ConstantReshape", node.inputs[0], (batch, *flat), sizes=flat
    )
    swapped = (batch, pixels, members, groups)
    axes = (0, 1, 3, 2)
    transpose = _step(f"{node.name}.transpose", "ConstantTranspose", split, swapped, axes=axes)
    node.become("ConstantReshape", sizes=node.shape[1:])
    node.inputs = [transpose]


def _step(name: str, kind: str, source: Value, shape: tuple, **config: Any) -> Value:
    return Node(name, kind, [source], [shape], config=config).out
