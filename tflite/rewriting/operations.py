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
from tflite.rewriting.passes import Form, Notes, PassReport
from tflite.rewriting.upsampling import ResizeNearest


def _constant(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.asarray(value, np.float32)


def _multiply(x: Any, value: Any) -> Any:
    product = keras.ops.multiply(x, _constant(value))
    product._sparse = False  # Keras believes that any product with a constant is sparse
    return product


def _scale(x: Any, scale: Any, offset: Any) -> Any:
    return keras.ops.add(_multiply(x, scale), _constant(offset))


def _shuffle(x: Any, groups: int) -> Any:
    *lead, channels = x.shape
    lead = [-1 if size is None else size for size in lead]
    split = keras.ops.reshape(x, (*lead, groups, channels // groups))
    return keras.ops.reshape(keras.ops.swapaxes(split, -1, -2), (*lead, channels))


BUILDERS: dict[str, Callable[..., Any]] = {
    "AddConstant": lambda x, value: keras.ops.add(x, _constant(value)),
    "MultiplyConstant": _multiply,
    "ConstantReshape": lambda x, sizes: keras.ops.reshape(x, (x.shape[0] or -1, *sizes)),
    "ConstantTranspose": lambda x, axes: keras.ops.transpose(x, axes),
    "ResizeNearest": lambda x, factors: ResizeNearest(factors)(x),
    "Slice": lambda x, axis, start, stop: x[(*[slice(None)] * axis, slice(start, stop))],
    # An activation that Keras has no name for.
    "Function": lambda x, function: keras.layers.Lambda(function)(x),
    "Split": lambda x, groups: keras.ops.split(x, groups, axis=-1),
    # For models between passes: the last one writes these with the others.
    "Scale": _scale,
    "ChannelShuffle": _shuffle,
}


def run(graph: Graph, form: Form) -> PassReport:
    """Write `Scale` and `ChannelShuffle` with nodes that are one operation each."""
    notes = Notes()
    for node in graph.nodes():
        if node.kind == "Scale":
            _spell_scale(graph, node, notes)
        elif node.kind == "ChannelShuffle":
            notes.change(node, "channel shuffle", "written as a 4-D transpose")
            _spell_shuffle(node)
    return notes.report("operations")


def _spell_scale(graph: Graph, node: Node, notes: Notes) -> None:
    scale, offset = affine(node)
    steps = []
    if np.any(scale != 1.0):
        steps.append(("MultiplyConstant", scale))
    if np.any(offset):
        steps.append(("AddConstant", offset))
    if not steps:
        notes.change(node, "constant", "dropped: it changed nothing")
        graph.replace(node.out, node.inputs[0])
        return
    if len(steps) == 2:
        kind, value = steps[0]
        first = Node(f"{node.name}.multiply", kind, node.inputs, [node.shape])
        first.config = {"value": value}
        node.inputs = [first.out]
    notes.change(node, "constant", "added or multiplied in the graph")
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
