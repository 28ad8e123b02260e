"""h-swish and h-sigmoid as integer delegates take them: ADD with fused RELU6, MUL, no division.

    h-sigmoid(x) = relu6(x + 3) / 6        h-swish(x) = x * relu6(x + 3) / 6

(Howard et al. 2019, arXiv 1905.02244, §5.2.) XNNPACK has no int8 HARD_SWISH and the Edge TPU none
at all. TensorFlow's converter recognises both formulas and fuses them back into HARD_SWISH, unless
the 1/6 is missing: so it becomes a `Scale` of its own here, which `factors` then moves into the
next layer's weights.
"""

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.passes import Form, Notes, PassReport

_NAMES = {"hard_silu": "h-swish", "hard_sigmoid": "h-sigmoid"}


def run(graph: Graph, form: Form) -> PassReport:
    """Write every h-swish, h-sigmoid and clipped ReLU with relu6 and factors."""
    notes = Notes()
    native = form.precision in form.device.native_hard_swish
    for node in graph.nodes():
        if node.activation.hard:
            _lower_hard(graph, node, notes, native)
        elif node.kind == "ReLU" and _is_clipped(node):
            _lower_clipped_relu(graph, node, notes, native)
    return notes.report("hard_swish")


def _lower_hard(graph: Graph, node: Node, notes: Notes, native: bool) -> None:
    name = node.config["activation"]
    if native:
        notes.leave(node, _NAMES[name], "native kernel")
        return
    notes.change(node, _NAMES[name], "written with ReLU6")
    if node.traits.linear:
        activation = graph.insert_after(
            node.out, f"{node.name}.{name}", "Activation", activation=name
        )
        node.config = {**node.config, "activation": "linear"}
        node = activation
    source = node.inputs[0]
    shifted = _scale(f"{node.name}.add", source, offset=3.0)
    if name == "hard_sigmoid":
        node.become("Activation", activation="relu6")
        node.inputs = [shifted]
    else:
        gate = Node(f"{node.name}.gate", "Activation", [shifted], [node.shape])
        gate.config = {"activation": "relu6"}
        node.become("Multiply")
        node.inputs = [source, gate.out]
    _scale_after(graph, node, 1.0 / 6.0)


def _is_clipped(node: Node) -> bool:
    config = node.config
    return bool(config["max_value"]) and not config["negative_slope"] and not config["threshold"]


def _lower_clipped_relu(graph: Graph, node: Node, notes: Notes, native: bool) -> None:
    """min(relu(x), m) = relu6(x * 6/m) * m/6: the converter's own form, MINIMUM, stays outside."""
    if native:
        notes.leave(node, "clipped ReLU", "native kernel")
        return
    notes.change(node, "clipped ReLU", "written with ReLU6")
    limit = node.config["max_value"]
    node.inputs = [_scale(f"{node.name}.scale", node.inputs[0], scale=6.0 / limit)]
    node.become("Activation", activation="relu6")
    _scale_after(graph, node, limit / 6.0)


def _scale(name: str, source: Value, scale: float = 1.0, offset: float = 0.0) -> Value:
    config = {"scale": scale, "offset": offset}
    return Node(name, "Scale", [source], [source.shape], config=config).out


def _scale_after(graph: Graph, node: Node, factor: float) -> None:
    graph.insert_after(node.out, f"{node.name}.factor", "Scale", scale=factor, offset=0.0)
