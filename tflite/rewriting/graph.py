"""A Keras functional model as a plain graph that can be rewritten, and back.

A `Node` is one call of one layer or operation. Every call has a node of its own, so a layer that
is called twice can be rewritten at one call and not at the other; calls that still agree when the
model is built again share one layer again.

The graph owns its edges. Each `Value` knows its readers, whatever is done to it: setting a node's
`inputs` is all it takes, here or in `Graph.replace` and `Graph.insert_after`. A node counts as a
reader as long as the network's output depends on it; one that nothing reads any more lets go of
what it read, and takes it up again should it be read again.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tflite.rewriting import kinds

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Slot:
    """Stands for the node's `index`-th input inside its call's arguments."""

    index: int


class Value:
    """The `index`-th output of a node. There is one `Value` an output: compare with `is`.

    Attributes:
        node: what makes it.
        index: which of the node's outputs it is.
        shape: batch first.
    """

    def __init__(self, node: "Node", index: int, shape: Shape):
        self.node, self.index, self.shape = node, index, shape
        self._readers: list[Node] = []

    @property
    def readers(self) -> tuple["Node", ...]:
        """The nodes that read it, once per reading; the graph's `exit` for the network's output."""
        return tuple(self._readers)

    @property
    def only_reader(self) -> "Node | None":
        """The node that alone reads it, and once; None if there are several readings."""
        return self._readers[0] if len(self._readers) == 1 else None

    def __repr__(self) -> str:
        return f"{self.node.name}[{self.index}]"


class Node:
    """One call of one operation.

    Attributes:
        name: name of the layer that is built from it.
        kind: what the rewrites know it as: a Keras layer's class name or the key of a builder of
            `build_model`; `ops.X` for an operation, and `custom.X` for a class that is not
            Keras's own, which no rewrite touches. `kinds.KINDS` says what is known of it.
        inputs: what it reads.
        outputs: what it makes.
        source: the Keras layer or operation it was read from; None when the node has taken
            another form, so that the layer class called `kind` is built instead.
        config: the layer's `get_config()`, replaced and never changed in place.
        weights: the layer's `get_weights()`, replaced and never changed in place.
        call: arguments and keyword arguments of the call, with a `Slot` for each input.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        inputs: Iterable[Value],
        shapes: Iterable[Shape],
        *,
        source: Any = None,
        config: dict[str, Any] | None = None,
        weights: Iterable[np.ndarray] = (),
        call: tuple[tuple, dict] | None = None,
    ):
        self.name, self.kind, self.source, self.call = name, kind, source, call
        self.config: dict[str, Any] = config or {}
        self.weights: list[np.ndarray] = list(weights)
        self.outputs = tuple(Value(self, index, shape) for index, shape in enumerate(shapes))
        self._inputs = tuple(inputs)

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self._inputs

    @inputs.setter
    def inputs(self, values: Iterable[Value]) -> None:
        old, self._inputs = self._inputs, tuple(values)
        if self.is_live:
            _connect((value, self) for value in self._inputs)  # first: what stays stays connected
            _disconnect((value, self) for value in old)

    @property
    def is_live(self) -> bool:
        """Whether the network's output depends on it."""
        return self.kind == "Exit" or any(value._readers for value in self.outputs)

    @property
    def out(self) -> Value:
        """Its first output."""
        return self.outputs[0]

    @property
    def shape(self) -> Shape:
        """Shape of its first output."""
        return self.out.shape

    @shape.setter
    def shape(self, shape: Shape) -> None:
        self.out.shape = shape

    @property
    def traits(self) -> kinds.Traits:
        """What the rewrites know of its kind."""
        return kinds.KINDS.get(self.kind, kinds.UNKNOWN)

    @property
    def activation(self) -> kinds.ActivationTraits:
        """What they know of the activation that it is, or that a linear layer ends in."""
        name = None
        if self.kind == "Activation" or self.traits.linear:
            name = self.config["activation"]  # a dictionary where it is not Keras's own
        known = kinds.ACTIVATIONS if isinstance(name, str) else {}
        return known.get(name, kinds.UNKNOWN_ACTIVATION)

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear layer without activation."""
        return self.traits.linear is not None and self.config["activation"] == "linear"

    def become(self, kind: str, **config: Any) -> None:
        """Take another form, keeping name and inputs."""
        self.kind, self.config, self.source, self.weights, self.call = kind, config, None, [], None

    def __repr__(self) -> str:
        return f"Node({self.name!r}, {self.kind!r}, reads {list(self.inputs)})"


def _connect(readings: Iterable[tuple[Value, Node]]) -> None:
    """Enter readers; a node that is read for the first time begins to read itself."""
    waiting = list(readings)[::-1]
    while waiting:
        value, reader = waiting.pop()
        was_live = value.node.is_live
        value._readers.append(reader)
        if not was_live:
            waiting += [(one, value.node) for one in reversed(value.node.inputs)]


def _disconnect(readings: Iterable[tuple[Value, Node]]) -> None:
    """Strike readers out; a node that nothing reads any more ceases to read."""
    waiting = list(readings)
    while waiting:
        value, reader = waiting.pop()
        value._readers.remove(reader)
        if not value.node.is_live:
            waiting += [(one, value.node) for one in value.node.inputs]


class Graph:
    """A network with one input and one output.

    Attributes:
        name: the model's.
        input: the node that stands for the images.
        exit: the node, of kind "Exit", that reads the network's output.
    """

    def __init__(self, name: str, entrance: Node, output: Value):
        self.name, self.input = name, entrance
        self.exit = Node("exit", "Exit", [], [])
        self.exit.inputs = [output]

    @property
    def output(self) -> Value:
        return self.exit.inputs[0]

    def nodes(self) -> list[Node]:
        """Every node between input and output, each after all that it reads.

        A list of its own: the graph may be changed while one walks it.
        """
        done: dict[Node, None] = {self.input: None}
        stack = [(self.output.node, False)]
        while stack:
            node, ready = stack.pop()
            if node in done:
                continue
            if ready:
                done[node] = None
                continue
            stack.append((node, True))
            stack.extend((value.node, False) for value in reversed(node.inputs))
        return list(done)[1:]

    def replace(self, old: Value, new: Value, readers: Iterable[Node] | None = None) -> None:
        """Let all who read `old` (or only `readers`) read `new` instead."""
        for node in dict.fromkeys(old.readers if readers is None else readers):
            node.inputs = [new if value is old else value for value in node.inputs]

    def insert_after(
        self,
        value: Value,
        name: str,
        kind: str,
        readers: Iterable[Node] | None = None,
        /,
        **config: Any,
    ) -> Node:
        """A new node of `value`'s shape, between `value` and all (or those) who read it."""
        node = Node(name, kind, [value], [value.shape], config=config)
        self.replace(value, node.out, readers)
        return node


def read_model(model: keras.Model) -> Graph:
    """The graph of a built functional model with one input and one output.

    Raises:
        ValueError: the model is unbuilt, subclassed, or has several inputs or outputs.
    """
    functional = _functional(model)
    for role, tensors in (("input", functional.inputs), ("output", functional.outputs)):
        if len(tensors) != 1:
            names = ", ".join(tensor.name for tensor in tensors)
            raise ValueError(
                f"a model with one input and one output can be deployed; {model.name!r} has "
                f"{len(tensors)} {role}s ({names}). Make one model per pair with "
                "keras.Model(model.inputs[i], model.outputs[j])."
            )
    tensor = functional.inputs[0]
    node = Node(
        name=tensor._keras_history.operation.name,
        kind="Input",
        inputs=[],
        shapes=[tuple(tensor.shape)],
        config={"dtype": tensor.dtype},
    )
    (output,) = _read_calls(functional, [node.out], {})
    return Graph(model.name, node, output)


def _functional(model: Any) -> Any:
    if not isinstance(model, keras.Model):
        raise ValueError(f"a keras.Model is needed, got {type(model).__name__}.")
    if not _is_functional(model):
        raise ValueError(
            f"the graph of the subclassed model {model.name!r} ({type(model).__name__}) cannot be "
            "read. Make it functional: x = keras.Input(shape); keras.Model(x, model.call(x))."
        )
    inner = model._functional if isinstance(model, keras.Sequential) else model
    if inner is None or not inner.built:
        raise ValueError(
            f"model {model.name!r} has not been built: its input shape is unknown. Start it with "
            "keras.Input(shape) or call model.build((None, height, width, channels))."
        )
    return inner


def _is_functional(operation: Any) -> bool:
    """Whether it runs exactly what its graph says (a subclass may override `call`)."""
    return type(operation).call.__qualname__ in ("Functional.call", "Sequential.call")


def _read_calls(
    functional: Any, inputs: list[Value], weights: dict[int, list[np.ndarray]]
) -> list[Value]:
    """The outputs' values, with nested functional models written out in place.

    `weights` holds what was read of each layer: its later calls get the very same arrays, which
    is how `build_model` knows that nothing came between them.
    """
    values = {id(tensor): value for tensor, value in zip(functional.inputs, inputs, strict=True)}
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for call in functional._nodes_by_depth[depth]:
            if call.is_input or any(id(tensor) not in values for tensor in call.input_tensors):
                continue
            read = [values[id(tensor)] for tensor in call.arguments.keras_tensors]
            if _is_functional(call.operation):
                results = _read_calls(_functional(call.operation), read, weights)
            else:
                node = _read_call(call, read, weights)
                results = node.outputs
            values.update((id(t), v) for t, v in zip(call.outputs, results, strict=True))
    return [values[id(tensor)] for tensor in functional.outputs]


def _read_call(call: Any, inputs: list[Value], weights: dict[int, list[np.ndarray]]) -> Node:
    operation = call.operation
    slots = iter(range(len(inputs)))
    arguments = keras.tree.map_structure(
        lambda leaf: Slot(next(slots)) if isinstance(leaf, keras.KerasTensor) else leaf,
        (call.arguments.args, call.arguments.kwargs),
    )
    if "training" in arguments[1]:  # inference overrides it, whatever the call said
        arguments[1]["training"] = False
    is_layer = isinstance(operation, keras.Layer)
    if is_layer and id(operation) not in weights:
        weights[id(operation)] = operation.get_weights()
    kind = type(operation).__name__
    if type(operation).__module__.split(".")[0] != "keras":
        kind = f"custom.{kind}"
    elif not is_layer:
        kind = f"ops.{kind}"
    return Node(
        name=operation.name,
        kind=kind,
        inputs=inputs,
        shapes=[tuple(tensor.shape) for tensor in call.outputs],
        source=operation,
        config=operation.get_config() if is_layer else {},
        weights=weights[id(operation)] if is_layer else [],
        call=arguments,
    )


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
