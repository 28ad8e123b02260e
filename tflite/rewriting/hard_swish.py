"""h-swish and h-sigmoid as integer delegates take them: ADD with fused RELU6, MUL, no division.

    h-sigmoid(x) = relu6(x + 3) / 6        h-swish(x) = x * relu6(x + 3) / 6

(Howard et al. 2019, arXiv 1905.02244, §5.2.) XNNPACK has no int8 HARD_SWISH and the Edge TPU none
at all. TensorFlow's converter recognises both formulas and fuses them back into HARD_SWISH, unless
the 1/6 is missing: so it becomes a `Scale` of its own here, which `factors.carry` then moves into
the next layer's weights.
"""

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.normal_form import LINEAR

_HARD = ("hard_silu", "hard_sigmoid")


def lower(graph: Graph) -> None:
    """Write every h-swish, h-sigmoid and clipped ReLU with relu6 and factors."""
    for node in graph.order()[1:]:
        if node.kind in LINEAR and node.config["activation"] in _HARD:
            _split_activation(graph, node)
    for node in graph.order()[1:]:
        if node.kind == "Activation" and node.config["activation"] in _HARD:
            _lower_hard(graph, node)
        elif node.kind == "ReLU" and _is_clipped(node):
            _lower_clipped_relu(graph, node)


def _split_activation(graph: Graph, node: Node) -> None:
    activation = Node(f"{node.name}.{node.config['activation']}", "Activation", [], [node.shape])
    activation.config = {"activation": node.config["activation"]}
    node.config = {**node.config, "activation": "linear"}
    graph.redirect(node.out, activation.out)
    activation.inputs = [node.out]


def _lower_hard(graph: Graph, node: Node) -> None:
    source = node.inputs[0]
    shifted = _scale(f"{node.name}.add", source, offset=3.0)
    if node.config["activation"] == "hard_sigmoid":
        node.become("Activation", activation="relu6")
        node.inputs = [shifted]
    else:
        gate = Node(f"{node.name}.gate", "Activation", [shifted], [node.shape])
        gate.config = {"activation": "relu6"}
        node.become("Multiply")
        node.inputs = [source, gate.out]
    _scale_output(graph, node, 1.0 / 6.0)


def _is_clipped(node: Node) -> bool:
    config = node.config
    return bool(config["max_value"]) and not config["negative_slope"] and not config["threshold"]


def _lower_clipped_relu(graph: Graph, node: Node) -> None:
    """min(relu(x), m) = relu6(x * 6/m) * m/6: the converter's own form, MINIMUM, stays outside."""
    limit = node.config["max_value"]
    node.inputs = [_scale(f"{node.name}.scale", node.inputs[0], scale=6.0 / limit)]
    node.become("Activation", activation="relu6")
    _scale_output(graph, node, limit / 6.0)


def _scale(name: str, source: Value, scale: float = 1.0, offset: float = 0.0) -> Value:
    config = {"scale": scale, "offset": offset}
    return Node(name, "Scale", [source], [source.shape], config=config).out


def _scale_output(graph: Graph, node: Node, factor: float) -> None:
    scaled = _scale(f"{node.name}.factor", node.out, scale=factor)
    scaled.node.inputs = []
    graph.redirect(node.out, scaled)
    scaled.node.inputs = [node.out]
