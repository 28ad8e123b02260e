"""A Keras model built of a graph."""

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
    """Whether two calls of what was one layer can be calls of one layer again."""
    if node.is_as_read and other.is_as_read:
        return node.config.get("dtype") == other.config.get("dtype")
    return (
        node.is_as_read == other.is_as_read
        and node.kind == other.kind
        and node.config == other.config
        and len(node.weights) == len(other.weights)
        and all(ours is theirs for ours, theirs in zip(node.weights, other.weights, strict=True))
    )


def _make_operation(node: Node, name: str) -> Any:
    if node.is_as_read or not isinstance(node.source, keras.Layer | None):
        return _like(node.source, name, node.config.get("dtype"))
    layer_class = getattr(keras.layers, node.kind) if node.source is None else type(node.source)
    return layer_class.from_config({**node.config, "name": name})


def _like(operation: Any, name: str, dtype: Any) -> Any:
    """The same operation or layer, its state shared, with a place of its own in a graph.

    Calling the original would enter the new model's calls into the user's layer. `copy.copy` goes
    through Keras's pickling, which saves and loads: what is asked for here is the object itself.
    """
    twin = object.__new__(type(operation))
    twin.__dict__.update(operation.__dict__)
    twin.__dict__.update(_inbound_nodes=[], _outbound_nodes=[])
    twin.name = name
    if isinstance(twin, keras.Layer) and dtype == "float32":
        twin.dtype_policy = "float32"  # if it was a mixed one
    return twin


def _call(operation: Any, node: Node, tensors: list[Any]) -> Any:
    if node.call is None:
        outputs = operation(tensors[0] if len(tensors) == 1 else tensors)
    else:
        args, kwargs = keras.tree.map_structure(
            lambda leaf: tensors[leaf.index] if isinstance(leaf, Slot) else leaf, node.call
        )
        outputs = operation(*args, **kwargs)
    if node.weights and not node.is_as_read:
        operation.set_weights(node.weights)
    return outputs
