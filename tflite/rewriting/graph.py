"""A network as a plain graph that can be rewritten.

A `Node` is one call of one layer or operation. Every call has a node of its own, so a layer that
is called twice can be rewritten at one call and not at the other; calls that still agree when the
model is built again share one layer again. `from_keras` makes a graph of a Keras model,
`to_keras` a Keras model of a graph.

The graph owns its edges. Each `Value` knows its readers, whatever is done to it: setting a node's
`inputs` is all it takes, here or in `Graph.replace` and `Graph.insert_after`. A node counts as a
reader as long as the network's output depends on it; one that nothing reads any more lets go of
what it read, and takes it up again should it be read again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
            another form, so that the layer class called `kind` is built instead. Where
            `is_as_read`, the model that is built calls the source itself: a config does not hold
            all that a layer is.
        config: the layer's `get_config()`, replaced and never changed in place; empty where it
            has none.
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
        self._read = (self.config, self.weights)

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

    @property
    def is_as_read(self) -> bool:
        """Whether it is still the layer or operation it was read from, but for its precision."""
        config, weights = self._read
        return (
            self.source is not None
            and self.config.keys() == config.keys()
            and all(self.config[key] is config[key] for key in config if key != "dtype")
            and len(self.weights) == len(weights)
            and all(now is then for now, then in zip(self.weights, weights, strict=True))
        )

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
