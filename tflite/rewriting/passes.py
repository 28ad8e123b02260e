"""What every pass is given, and what it tells.

A pass is a module with one entry function `run(graph, form) -> PassReport`.
"""

from dataclasses import dataclass

from tflite.rewriting.graph import Node
from tflite.targets import FLOAT_PRECISIONS, Target


@dataclass(frozen=True)
class Form:
    """What the graph is rewritten for.

    Attributes:
        device: where it will run.
        precision: what its file will be quantized to.
        batch_size: images in a batch; None leaves it open.
    """

    device: Target
    precision: str = "int8"
    batch_size: int | None = 1

    @property
    def is_float(self) -> bool:
        """Whether activations stay float."""
        return self.precision in FLOAT_PRECISIONS


@dataclass(frozen=True)
class Change:
    """`what` the node called `node` was, and `how` it was rewritten."""

    node: str
    what: str
    how: str


@dataclass(frozen=True)
class Left:
    """`what` the node called `node` is, and why it was left as it is."""

    node: str
    what: str
    reason: str


@dataclass(frozen=True)
class PassReport:
    """What a pass did, what it left and why.

    Attributes:
        name: the module's.
        changed: in the order of computation.
        left: what the pass is about and yet did not rewrite.
    """

    name: str
    changed: tuple[Change, ...] = ()
    left: tuple[Left, ...] = ()


def describe(node: Node) -> str:
    """What a reader of reports knows the node as."""
    if node.kind == "Exit":
        return "the output"
    if node.kind == "Activation":
        return str(node.config["activation"])
    return node.kind.removeprefix("custom.").removeprefix("ops.")


class Notes:
    """Takes down what a pass does."""

    def __init__(self) -> None:
        self._changed: list[Change] = []
        self._left: list[Left] = []

    def change(self, node: Node, what: str, how: str) -> None:
        self._changed.append(Change(node.name, what, how))

    def leave(self, node: Node, what: str, reason: str) -> None:
        self._left.append(Left(node.name, what, reason))

    def report(self, name: str) -> PassReport:
        return PassReport(name, tuple(self._changed), tuple(self._left))
