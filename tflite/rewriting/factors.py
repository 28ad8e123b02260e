"""Constant factors that travel to where they cost nothing.

A tensor may be stored divided by a positive constant, its *factor*, as long as every reader knows.
The pass removes each multiplication by a constant and gives its output that factor instead. From
there on, in the order of computation:

- a linear layer absorbs the factor of its input in its weights: its output has factor 1;
- layers with f(c*x) = c*f(x) for c > 0 (ReLU, pooling, zero padding, reshaping …) pass it on;
- a product has the product of its inputs' factors;
- a sum, a concatenation, a maximum need equal factors. Where they differ, the layers that made one
  side are scaled to match the other, if nothing else has read what they made; this is how
  MobileNetV3's first block takes the h-swished stem in its residual sum;
- everything else, and the network's output, needs factor 1: what is left becomes an explicit
  multiplication, one for each tensor.

Exact up to rounding: only weights change.
"""

import math
from dataclasses import dataclass

import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.linear import affine, scale_input, scale_output
from tflite.rewriting.passes import Form, Notes, PassReport, describe


def run(graph: Graph, form: Form) -> PassReport:
    """Remove multiplications by a constant wherever the weights can do them."""
    carrier = _Carrier(graph)
    carrier.run()
    return carrier.notes.report("factors")


@dataclass
class _Pull:
    """What must be scaled to scale one tensor: the layers that write it, the tensors between."""

    writers: dict[Node, None]
    values: dict[Value, None]


class _Carrier:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.notes = Notes()
        self.factor: dict[Value, float] = {graph.input.out: 1.0}
        self.passed: set[Node] = set()
        self.made_plain: dict[Value, Value] = {}

    def run(self) -> None:
        for node in self.graph.nodes():
            self.passed.add(node)  # already: one of its inputs may be an ancestor of another
            factor = self._settle(node)
            self.factor.update(dict.fromkeys(node.outputs, factor))
        self._make_inputs_plain(self.graph.exit)
        for node in self.graph.nodes():
            if node.kind == "Scale" and _is_identity(node):
                self.graph.replace(node.out, node.inputs[0])
        self._note_what_is_left()

    def _note_what_is_left(self) -> None:
        for node in self.graph.nodes():
            if node.kind == "Scale" and np.any(affine(node)[0] != 1.0):
                readers = ", ".join(dict.fromkeys(describe(one) for one in node.out.readers))
                self.notes.leave(node, "constant factor", f"read by {readers}")

    def _settle(self, node: Node) -> float:
        """Bring the node to terms with its inputs' factors; the factor of its outputs."""
        factors = [self.factor[value] for value in node.inputs]
        if node.kind == "Scale":
            return self._settle_scale(node, factors[0])
        if node.kind == "Multiply":
            return math.prod(factors)
        if all(factor == 1.0 for factor in factors):
            return 1.0
        if node.traits.linear:
            scale_input(node, factors[0])
            return 1.0
        if node.kind == "BatchNormalization":
            gamma, beta, mean, variance = (weight.astype(np.float64) for weight in node.weights)
            node.weights = [gamma * factors[0], beta, mean / factors[0], variance]
            return 1.0
        if _is_homogeneous(node):
            return factors[0]
        if node.traits.jointly_homogeneous:
            return self._equalize(node)
        return self._make_inputs_plain(node)

    def _settle_scale(self, node: Node, factor: float) -> float:
        """f * y * scale + offset = f * scale * (y + offset / (f * scale))"""
        scale, offset = affine(node)
        if np.ndim(scale) == 0 and scale > 0:
            if scale != 1.0:
                self.notes.change(node, "constant factor", "carried into weights")
            factor, scale = factor * float(scale), 1.0
        node.become("Scale", scale=scale, offset=offset / factor)
        return factor

    def _make_inputs_plain(self, node: Node) -> float:
        node.inputs = [self._plain(value, node) for value in node.inputs]
        return 1.0

    def _equalize(self, node: Node) -> float:
        for wanted in dict.fromkeys(self.factor[value] for value in node.inputs):
            pulls = [self._find_pull(value, node) for value in self._unlike(node, wanted)]
            if all(pulls) and _are_separate(pulls):
                for value, pull in zip(self._unlike(node, wanted), pulls, strict=True):
                    self._apply(pull, self.factor[value] / wanted)
                return wanted
        return self._make_inputs_plain(node)

    def _unlike(self, node: Node, wanted: float) -> list[Value]:
        unlike = dict.fromkeys(node.inputs)
        return [v for v in unlike if not math.isclose(self.factor[v], wanted, rel_tol=1e-12)]

    def _find_pull(self, value: Value, reader: Node) -> _Pull | None:
        """The layers to scale so that `value` is scaled; None if that would be felt elsewhere."""
        if any(other in self.passed and other is not reader for other in value.readers):
            return None
        node = value.node
        if _is_scalable(node):
            return _Pull({node: None}, {value: None})
        if len(node.outputs) > 1:
            return None
        if node.kind == "Multiply":
            for one in node.inputs:
                if node.inputs.count(one) == 1 and (pull := self._find_pull(one, node)):
                    return _Pull(pull.writers, {**pull.values, value: None})
            return None
        if _is_homogeneous(node) or node.traits.jointly_homogeneous:
            pulls = [self._find_pull(one, node) for one in dict.fromkeys(node.inputs)]
            if all(pulls) and _are_separate(pulls):
                together = _Pull({}, {value: None})
                for pull in pulls:
                    together.writers.update(pull.writers)
                    together.values.update(pull.values)
                return together
        return None

    def _apply(self, pull: _Pull, factor: float) -> None:
        for node in pull.writers:
            if node.kind == "Scale":
                scale, offset = affine(node)
                node.become("Scale", scale=scale * factor, offset=offset * factor)
            elif node.kind == "BatchNormalization":
                gamma, beta, *statistics = node.weights
                node.weights = [gamma * np.float64(factor), beta * np.float64(factor), *statistics]
            else:
                scale_output(node, factor)
        for value in pull.values:
            self.factor[value] /= factor

    def _plain(self, value: Value, reader: Node) -> Value:
        """`value` with factor 1: pulled if possible, else multiplied explicitly."""
        factor = self.factor[value]
        if _is_one(factor):
            return value
        if pull := self._find_pull(value, reader):
            self._apply(pull, factor)
            self.factor[value] = 1.0
            return value
        made = self.made_plain.get(value)
        if made is None or not _is_one(self.factor[made]):  # it may have been scaled since
            scale = Node(f"{value.node.name}.scale", "Scale", [value], [value.shape])
            scale.config = {"scale": factor, "offset": 0.0}
            self.passed.add(scale)
            self.made_plain[value] = scale.out
            self.factor[scale.out] = 1.0
        return self.made_plain[value]


def _is_one(factor: float) -> bool:
    return math.isclose(factor, 1.0, rel_tol=1e-12)


def _is_identity(node: Node) -> bool:
    scale, offset = affine(node)
    return np.all(scale == 1.0) and not np.any(offset)


def _is_homogeneous(node: Node) -> bool:
    if node.kind == "Activation":
        return node.activation.homogeneous
    if node.kind == "Scale":
        return _is_identity(node)
    # A maximum may start from a constant.
    starts = getattr(node.source, "initial", None)
    return node.traits.homogeneous and len(node.inputs) == 1 and starts is None


def _is_scalable(node: Node) -> bool:
    if node.traits.linear:
        return node.activation.homogeneous
    if node.kind == "Scale":
        return not _is_identity(node)
    return node.kind == "BatchNormalization"


def _are_separate(pulls: list[_Pull]) -> bool:
    """Whether no layer would be scaled twice."""
    writers = [node for pull in pulls for node in pull.writers]
    return len(writers) == len(set(writers))
