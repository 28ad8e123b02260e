"""Concatenations of no more parts than a kernel takes at once: five, in XNNPACK.

A larger one would stay outside of its partition and cut that in two; parts of parts do not.
"""

from itertools import count

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.passes import Form, Notes, PassReport


def run(graph: Graph, form: Form) -> PassReport:
    """Concatenate many parts by some at a time, and what comes of that."""
    notes = Notes()
    most = form.device.most_concatenated
    for node in graph.nodes():
        if node.kind != "Concatenate" or most is None or len(node.inputs) <= most:
            continue
        axis = node.config["axis"] % len(node.shape)
        if any(value.shape[axis] is None for value in node.inputs):
            notes.leave(node, "concatenation", "the size of a part is open")
            continue
        notes.change(node, "concatenation", f"done by {most} at a time")
        node.become("Concatenate", axis=axis)
        names = (f"{node.name}.part_{number}" for number in count())
        while len(node.inputs) > most:
            groups = [node.inputs[at : at + most] for at in range(0, len(node.inputs), most)]
            node.inputs = [g[0] if len(g) == 1 else _joined(g, axis, next(names)) for g in groups]
    return notes.report("concatenations")


def _joined(parts: tuple[Value, ...], axis: int, name: str) -> Value:
    shape = list(parts[0].shape)
    shape[axis] = sum(value.shape[axis] for value in parts)
    return Node(name, "Concatenate", parts, [tuple(shape)], config={"axis": axis}).out
