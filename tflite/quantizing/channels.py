"""Which channels of a float network are tied to one another, and which are free to be scaled.

Labels are sent through the graph: every channel that a convolution writes starts with one of its
own, operators that move values move the labels (LiteRT runs them on the labels themselves, so a
shuffle is followed without knowing that it is one), additions unite those of their summands, and
what is not linear pins them.
"""

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.quantizing.convolutions import Convolution, convolution
from tflite.quantizing.execution import Step, activations, constant, shape_of

MOVES = frozenset(
    {"RESHAPE", "TRANSPOSE", "PAD", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "SQUEEZE"}
    | {"EXPAND_DIMS", "CONCATENATION", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "GATHER"}
)
# Averages and choices among the values of one channel.
POOLS = frozenset(
    {"MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}
)
_NONE = schema.ActivationFunctionType.NONE
_RELU = schema.ActivationFunctionType.RELU
_RELU6 = schema.ActivationFunctionType.RELU6
_LETS_FACTORS = (_NONE, _RELU)
# f(s·x) = s·f(x) for s > 0; so do products with constants, and ReLU6 with its bend moved.
_SCALABLE = frozenset({"RELU", "RELU6", "LEAKY_RELU", "PRELU", "MUL"})
_UNITES = frozenset({"ADD", "SUB", "MAXIMUM", "MINIMUM"})


class Channels:
    """The channels of a network's activations, as labels that tied ones share.

    Attributes:
        clipped: the activations that are bent at 6.
    """

    def __init__(self, flat: schema.ModelT) -> None:
        self.clipped: set[int] = set()
        self._flat, self._graph = flat, flat.subgraphs[0]
        self._parents = [0]  # label 0 is padding
        self._pinned = [0]
        self._of: dict[int, np.ndarray] = {}
        for index in self._graph.inputs:
            self._pin(self._fresh(int(index)))
        for position in range(len(self._graph.operators)):
            self._pass(position)
        for index in self._graph.outputs:
            self._pin(self._of[int(index)])

    @property
    def count(self) -> int:
        """How many labels there are; they are numbered from 0."""
        return len(self._parents)

    @property
    def pinned(self) -> np.ndarray:
        """The labels whose factor can only be 1."""
        return self._roots(np.asarray(self._pinned))

    def labels(self, index: int) -> np.ndarray | None:
        """The labels along an activation's last axis; None if they differ along another.

        None also where there is no other axis: an unrolled recurrent layer splits vectors in which
        the batch is no axis of its own, and a vector of several images has no channels.
        """
        if self._of[index].ndim < 2:
            return None
        rows = self._of[index].reshape(-1, self._of[index].shape[-1])
        most = rows.max(axis=0)
        same = most.all() and ((rows == most) | (rows == 0)).all()
        return self._roots(most) if same else None

    def padded(self, index: int) -> bool:
        """Whether zeros stand around the values."""
        return not self._of[index].all()

    def pools_channels(self, operator: schema.OperatorT) -> bool:
        """Whether one of `POOLS` averages, or chooses, among values of one channel."""
        source = int(operator.inputs[0])
        if flatbuffer.operator_name(self._flat, operator) == "MEAN":
            axes = constant(self._flat, self._graph.tensors[operator.inputs[1]])
            rank = len(self._shape(source))
            if axes is None or not {0, rank - 1}.isdisjoint((axes % rank).ravel().tolist()):
                return False
        return self.labels(source) is not None

    # --- How labels pass an operator -----------------------------------------------------------

    def _pass(self, position: int) -> None:
        operator = self._graph.operators[position]
        kind, bend = flatbuffer.operator_name(self._flat, operator), fused(operator)
        inputs = activations(self._flat, operator)
        outputs = [int(i) for i in operator.outputs]
        layer = convolution(self._flat, operator)
        if layer is not None:
            self._pass_convolution(layer)
        elif kind in MOVES and inputs and bend == _NONE:
            self._of.update(moved(self._flat, position, self._of))
        elif kind in POOLS and bend == _NONE and self.pools_channels(operator):
            self._of[outputs[0]] = self._vector(outputs[0], self.labels(inputs[0]))
        elif kind in _SCALABLE and self._reads_once(operator):
            self._of[outputs[0]] = self._of[inputs[0]]
            if bend == _RELU6 or kind == "RELU6":
                self.clipped.add(outputs[0])
        elif kind in _UNITES and is_elementwise(self._flat, operator) and bend in _LETS_FACTORS:
            self._unite(self._of[inputs[0]], self._of[inputs[-1]])
            self._of[outputs[0]] = self._of[inputs[0]]
        elif kind == "MUL" and len(inputs) == 2 and bend in _LETS_FACTORS:
            self._pass_product(inputs, outputs[0])
        else:
            for index in inputs:
                self._pin(self._of[index])
            for index in outputs:
                self._pin(self._fresh(index))

    def _pass_convolution(self, layer: Convolution) -> None:
        fresh = self._fresh(layer.output)
        if layer.shares_weights or self.labels(layer.input) is None:
            self._pin(self._of[layer.input])
        if layer.shares_weights or layer.clip is None or self.labels(layer.input) is None:
            self._pin(fresh)
        if layer.activation == _RELU6:
            self.clipped.add(layer.output)

    def _pass_product(self, inputs: list[int], output: int) -> None:
        """One operand's factors pass; the other, a gate mostly, keeps its own at 1."""
        gate, through = sorted(inputs, key=lambda i: (np.prod(self._shape(i)), not self._fixed(i)))
        self._pin(self._of[gate])
        if self._shape(through) == self._shape(output) and through != gate:
            self._of[output] = self._of[through]
        else:
            self._pin(self._of[through])
            self._pin(self._fresh(output))

    def _reads_once(self, operator: schema.OperatorT) -> bool:
        """Whether it takes one activation, and that once, to one of the same shape."""
        sources = activations(self._flat, operator)
        alike = {self._shape(i) for i in (*sources, int(operator.outputs[0]))}
        return list(map(int, operator.inputs)).count(sources[0]) == len(sources) == len(alike)

    # --- Union and find ------------------------------------------------------------------------

    def _shape(self, index: int) -> tuple[int, ...]:
        return shape_of(self._graph.tensors[index])

    def _vector(self, index: int, channels: np.ndarray) -> np.ndarray:
        return channels.reshape([1] * (len(self._shape(index)) - 1) + [-1])

    def _fresh(self, index: int) -> np.ndarray:
        first = len(self._parents)
        channels = self._shape(index)[-1] if self._shape(index) else 1
        self._parents.extend(range(first, first + channels))
        self._of[index] = self._vector(index, np.arange(first, first + channels))
        return self._of[index]

    def _pin(self, labels: np.ndarray) -> None:
        self._pinned.extend(np.unique(labels).tolist())

    def _fixed(self, index: int) -> bool:
        return bool(np.isin(self._roots(self._of[index]), self.pinned).all())

    def _unite(self, one: np.ndarray, other: np.ndarray) -> None:
        pairs = np.stack([each.ravel() for each in np.broadcast_arrays(one, other)])
        for pair in np.unique(pairs, axis=1).T.tolist():
            least, most = sorted(map(self._find, pair))
            self._parents[most] = least

    def _find(self, label: int) -> int:
        while self._parents[label] != label:
            label = self._parents[label]
        return label

    def _roots(self, labels: np.ndarray) -> np.ndarray:
        names, places = np.unique(labels, return_inverse=True)
        return np.array([self._find(name) for name in names.tolist()])[places].reshape(labels.shape)


def fused(operator: schema.OperatorT) -> int:
    """The operator's fused activation."""
    return getattr(operator.builtinOptions, "fusedActivationFunction", _NONE)


def is_elementwise(flat: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Whether it takes two activations and gives one, all of one shape."""
    tensors = flat.subgraphs[0].tensors
    ends = [*map(int, operator.inputs), int(operator.outputs[0])]
    shapes = {shape_of(tensors[i]) for i in ends}
    return len(ends) == 3 and len(shapes) == 1 and {*ends[:2]} == {*activations(flat, operator)}


def moved(
    flat: schema.ModelT, position: int, values: Mapping[int, np.ndarray]
) -> dict[int, np.ndarray]:
    """What an operator that only moves values makes of others (labels, shifts) in their place.

    Args:
        values: for each activation an array that broadcasts to its shape.

    Returns:
        The same for the operator's outputs, a number a channel where that is all there is.
    """
    tensors = flat.subgraphs[0].tensors
    step = Step(flat, position)
    inputs = [np.broadcast_to(values[i], tensors[i].shape) for i in step.inputs]
    outputs = step([each.astype(np.float32) for each in inputs])
    found = {}
    for index, output in zip(step.outputs, outputs, strict=True):
        rows = output.reshape(-1, output.shape[-1])
        if (rows == rows[0]).all():
            output = rows[0].reshape([1] * (output.ndim - 1) + [-1])
        found[index] = output.astype(values[step.inputs[0]].dtype)
    return found
