"""A Keras model built of a graph."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import keras

from tflite.rewriting.graph import Graph, Node, Slot, Value


def build_model(
    graph: Graph, batch_size: int | None, builders: dict[str, Callable[..., Any]]
) -> keras.Model:
    """A new Keras model of `graph`, with `batch_size` images in its input's shape.

    `builders` makes the kinds that are no Keras layer: `builder(*tensors, **config)`.
    """
    entrance = keras.Input(
        batch_shape=(batch_size, *graph.input.shape[1:]),
        name=graph.input.name,
        dtype=graph.input.config["dtype"],
    )
    tensors: dict[Value, Any] = {graph.input.out: entrance}
    names: Counter[str] = Counter([graph.input.name])
    built: dict[int, list[tuple[Node, Any]]] = {}
    for node in graph.nodes():
        arguments = [tensors[value] for value in node.inputs]
        if node.source is None and node.kind in builders:
            outputs = builders[node.kind](*arguments, **node.config)
            for output in keras.tree.flatten(outputs):
                output._keras_history.operation.name = _unused(node.name, names)
        else:
            shared = built.setdefault(id(node.source) if node.source is not None else id(node), [])
            operation = next((made for other, made in shared if _agree(node, other)), None)
            if operation is None:
                operation = _make_operation(node, _unused(node.name, names))
                shared.append((node, operation))
            outputs = _call(operation, node, arguments)
        tensors.update(zip(node.outputs, keras.tree.flatten(outputs), strict=True))
    return keras.Model(entrance, tensors[graph.output], name=graph.name)


def _unused(name: str, names: Counter[str]) -> str:
    """`name`, numbered if it was taken (a layer that no longer shares its weights)."""
    candidate = name
    while names[candidate]:
        candidate = f"{name}_{names[name]}"
        names[name] += 1
    names[candidate] += 1
    return candidate


def _agree(node: Node, other: Node) -> bool:
    return (
        node.kind == other.kind
        and node.config == other.config
        and len(node.weights) == len(other.weights)
        and all(ours is theirs for ours, theirs in zip(node.weights, other.weights, strict=True))
    )


def _make_operation(node: Node, name: str) -> Any:
    if node.source is not None and not isinstance(node.source, keras.Layer):
        operation = copy.copy(node.source)  # stateless: only its place in a graph is its own
        operation._inbound_nodes, operation._outbound_nodes = [], []
        operation.name = name
        return operation
    if type(node.source) is keras.layers.Lambda:
        # Its function is already in memory: nothing is loaded, so nothing is to be refused.
        return keras.layers.Lambda(
            node.source.function, output_shape=node.source._output_shape, name=name
        )
    layer_class = getattr(keras.layers, node.kind) if node.source is None else type(node.source)
    return layer_class.from_config({**node.config, "name": name})


def _call(operation: Any, node: Node, tensors: list[Any]) -> Any:
    if node.call is None:
        outputs = operation(tensors[0] if len(tensors) == 1 else tensors)
    else:
        args, kwargs = keras.tree.map_structure(
            lambda leaf: tensors[leaf.index] if isinstance(leaf, Slot) else leaf, node.call
        )
        outputs = operation(*args, **kwargs)
    if node.weights:
        operation.set_weights(node.weights)
    return outputs
