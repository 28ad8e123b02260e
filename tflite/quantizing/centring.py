"""How far each channel may be moved, and is, so that its range lies centred on 0.

Convolutions without an activation write channels that may be shifted; what reads them has to be
able to take the shift back. In a residual stream it is the sum that is centred: one convolution
that feeds the addition, and nothing else, takes the difference to the other summand's shift.
"""

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.quantizing.channels import MOVES, POOLS, Channels, fused, is_elementwise, moved
from tflite.quantizing.convolutions import convolution
from tflite.quantizing.execution import activations, shape_of
from tflite.quantizing.statistics import Statistics

_NONE = schema.ActivationFunctionType.NONE


def find_shifts(
    flat: schema.ModelT, channels: Channels, statistics: Mapping[int, Statistics]
) -> dict[int, np.ndarray]:
    """The shift of every activation that has one, a number a channel."""
    return _Search(flat, channels, statistics).shifts()


class _Search:
    def __init__(
        self, flat: schema.ModelT, channels: Channels, statistics: Mapping[int, Statistics]
    ) -> None:
        self._flat, self._channels, self._statistics = flat, channels, statistics
        self._operators = flat.subgraphs[0].operators
        self._layers = [convolution(flat, operator) for operator in self._operators]
        self._readers: dict[int, list[int]] = {}
        for position, operator in enumerate(self._operators):
            for index in activations(flat, operator):
                self._readers.setdefault(index, []).append(position)
        self._free = [
            layer.output
            for layer in self._layers
            if layer is not None and layer.activation == _NONE and not layer.shares_weights
        ]
        self._ends = {int(i) for i in flat.subgraphs[0].outputs}
        self._accepted: dict[int, bool] = {}
        self._of: dict[int, np.ndarray] = {}

    def shifts(self) -> dict[int, np.ndarray]:
        graph = self._flat.subgraphs[0]
        for index in graph.inputs:
            self._of[int(index)] = self._zero(int(index))
        balances = {self._balance(position) for position in range(len(self._operators))}
        for position, operator in enumerate(self._operators):
            output = int(operator.outputs[0])
            if output in self._free and output not in balances:
                self._of[output] = self._centre(output)
            elif self._is_sum(position):
                self._of[output] = self._add(position)
            elif self._is_any(position, MOVES) and self._is_shifted(operator):
                self._of.update(moved(self._flat, position, self._of))
            elif self._pools(position) and self._is_shifted(operator):
                shift = self._of[int(operator.inputs[0])].reshape(-1)
                self._of[output] = shift.reshape(self._zero(output).shape)
            else:
                self._of.update({int(i): self._zero(int(i)) for i in operator.outputs})
        return {
            index: shift.reshape(-1)
            for index, shift in self._of.items()
            if shift.any() and self._channels.labels(index) is not None
        }

    def _add(self, position: int) -> np.ndarray:
        operator = self._operators[position]
        balance, output = self._balance(position), int(operator.outputs[0])
        if balance is None:
            return sum(self._of[int(i)] for i in operator.inputs)
        (other,) = (i for i in map(int, operator.inputs) if i != balance)
        self._of[output] = self._centre(output)
        self._of[balance] = self._of[output] - self._of[other]
        return self._of[output]

    def _centre(self, index: int) -> np.ndarray:
        zero = self._zero(index)
        if index not in self._statistics or not self._accepts(index):
            return zero
        found = self._statistics[index]
        return ((found.low + found.high) / 2).reshape(zero.shape)

    def _accepts(self, index: int) -> bool:
        """Whether all that reads an activation can take a shift back, or hand it on."""
        if index not in self._accepted:
            self._accepted[index] = (
                index not in self._ends
                and not self._channels.padded(index)
                and all(self._takes(position) for position in self._readers.get(index, []))
            )
        return self._accepted[index]

    def _takes(self, position: int) -> bool:
        operator, layer = self._operators[position], self._layers[position]
        if layer is not None:
            labels = self._channels.labels(layer.input)
            return not layer.pads and not layer.shares_weights and labels is not None
        if self._is_sum(position):
            return self._balance(position) is not None or self._accepts(int(operator.outputs[0]))
        hands_on = self._is_any(position, MOVES) or self._pools(position)
        return hands_on and all(self._accepts(int(i)) for i in operator.outputs)

    def _balance(self, position: int) -> int | None:
        """The last summand whose shift is free, because nothing but this sum reads it."""
        if not self._is_sum(position):
            return None
        one, other = map(int, self._operators[position].inputs)
        free = [i for i in self._free if i in (one, other) and self._readers[i] == [position]]
        return free[-1] if free and one != other else None

    def _is_sum(self, position: int) -> bool:
        operator = self._operators[position]
        return self._is_any(position, {"ADD"}) and is_elementwise(self._flat, operator)

    def _pools(self, position: int) -> bool:
        pools = self._channels.pools_channels
        return self._is_any(position, POOLS) and pools(self._operators[position])

    def _is_any(self, position: int, kinds: set[str] | frozenset[str]) -> bool:
        operator = self._operators[position]
        return flatbuffer.operator_name(self._flat, operator) in kinds and fused(operator) == _NONE

    def _is_shifted(self, operator: schema.OperatorT) -> bool:
        return any(self._of[i].any() for i in activations(self._flat, operator))

    def _zero(self, index: int) -> np.ndarray:
        shape = shape_of(self._flat.subgraphs[0].tensors[index]) or (1,)
        return np.zeros([1] * (len(shape) - 1) + [shape[-1]])
