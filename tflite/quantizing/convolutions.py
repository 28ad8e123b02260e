"""The operators of a file that multiply by constants: convolutions and dense layers.

Weights as schema.fbs lays them out: CONV_2D [out, height, width, in / groups],
DEPTHWISE_CONV_2D [1, height, width, out], FULLY_CONNECTED [out, in].
"""

import copy
from functools import cached_property

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.quantizing.execution import constant

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}
KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_NONE = schema.ActivationFunctionType.NONE
_RELU = schema.ActivationFunctionType.RELU
_RELU6 = schema.ActivationFunctionType.RELU6
# Where fused activations bend, as (low, high); others are not met in the networks of this package.
CLIPS = {_NONE: (-np.inf, np.inf), _RELU: (0.0, np.inf), _RELU6: (0.0, 6.0)}


class Convolution:
    """A CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED with constant weights.

    Attributes:
        operator, kind: as in the file.
        input, output: indices of its activations.
    """

    def __init__(self, flat: schema.ModelT, operator: schema.OperatorT) -> None:
        self.flat = flat
        self.operator = operator
        self.kind = flatbuffer.operator_name(flat, operator)
        self.input, self.output = int(operator.inputs[0]), int(operator.outputs[0])
        self._tensors = flat.subgraphs[0].tensors

    @property
    def activation(self) -> int:
        return self.operator.builtinOptions.fusedActivationFunction

    @property
    def clip(self) -> tuple[float, float] | None:
        """The least and greatest value its fused activation lets through; None if it is curved."""
        return CLIPS.get(self.activation)

    @property
    def weights(self) -> np.ndarray:
        return constant(self.flat, self._tensors[self.operator.inputs[1]])

    @property
    def bias(self) -> np.ndarray:
        """One number a channel; zeros where the operator has none."""
        if self._bias_tensor is None:
            return np.zeros(self.channels, np.float32)
        return constant(self.flat, self._bias_tensor).reshape(-1)

    @property
    def channels(self) -> int:
        return self.weights.shape[-1 if self.kind == "DEPTHWISE_CONV_2D" else 0]

    @cached_property
    def shares_weights(self) -> bool:
        """Whether another operator reads the same weights, as when a layer is called twice."""
        weights = int(self.operator.inputs[1])
        readers = (o for o in self.flat.subgraphs[0].operators if o is not self.operator)
        return any(weights in map(int, other.inputs) for other in readers)

    @property
    def kernel(self) -> tuple[int, int]:
        return (1, 1) if self.kind == "FULLY_CONNECTED" else self.weights.shape[1:3]

    @property
    def pads(self) -> bool:
        """Whether zeros are set around its input."""
        padding = getattr(self.operator.builtinOptions, "padding", schema.Padding.VALID)
        return padding == schema.Padding.SAME and self.kernel != (1, 1)

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of a convolution's output."""
        height, width = self._tensors[self.output].shape[1:3]
        return int(height), int(width)

    @property
    def groups(self) -> int:
        """How many sets of output channels there are that read the same inputs."""
        if self.kind == "FULLY_CONNECTED":
            return 1
        size = int(self._tensors[self.input].shape[-1])
        return size if self.kind == "DEPTHWISE_CONV_2D" else size // self.weights.shape[-1]

    @property
    def inputs_of(self) -> np.ndarray:
        """Which input channels an output channel sees, and in which order: ints (out, in)."""
        seen = self.rows(self.weights).shape[-1]
        group = np.arange(self.channels) // (self.channels // self.groups)
        return group[:, np.newaxis] * seen + np.arange(seen)

    def rows(self, weights: np.ndarray) -> np.ndarray:
        """Weights as (out, height · width, in): one row an output channel."""
        if self.kind == "DEPTHWISE_CONV_2D":
            weights = np.moveaxis(weights, -1, 0)[..., np.newaxis]
        return weights.reshape(self.channels, self.kernel[0] * self.kernel[1], -1)

    def from_rows(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `rows`."""
        if self.kind == "DEPTHWISE_CONV_2D":
            return np.ascontiguousarray(rows[..., 0].T).reshape(self.weights.shape)
        return rows.reshape(self.weights.shape)

    def assign(self, weights: np.ndarray | None = None, bias: np.ndarray | None = None) -> None:
        """Replaces constants in the file, without touching other operators that share them."""
        if weights is not None:
            self._put(1, weights)
        if bias is not None:
            self._put(2, bias)

    def quantize(self, weights: np.ndarray, scales: np.ndarray) -> None:
        """Replaces the weights by int8 ones with a scale for each output channel."""
        self._put(1, weights)
        found = self._tensors[self.operator.inputs[1]].quantization
        if len(found.scale) == 1:
            scales = scales[:1]
        self._set_scales(1, scales, found.quantizedDimension)

    def quantize_bias(self, bias: np.ndarray) -> None:
        """Replaces the bias by int32 steps of the input's scale times the weights'."""
        step = float(self._tensors[self.input].quantization.scale[0])
        scales = np.float32(step) * np.asarray(self.weight_scales, np.float32)
        limits = np.iinfo(np.int32)
        steps = np.clip(np.rint(bias / scales.astype(np.float64)), limits.min, limits.max)
        self._put(2, steps.astype(np.int32))
        self._set_scales(2, scales, 0)

    @property
    def weight_scales(self) -> np.ndarray:
        """Of int8 weights: one, or one an output channel."""
        return np.asarray(self._tensors[self.operator.inputs[1]].quantization.scale)

    def _set_scales(self, position: int, scales: np.ndarray, axis: int) -> None:
        tensor = self._tensors[self.operator.inputs[position]]
        tensor.quantization = schema.QuantizationParametersT(
            scale=np.asarray(scales, np.float32),
            zeroPoint=np.zeros(len(scales), np.int64),
            quantizedDimension=axis,
        )

    @property
    def _bias_tensor(self) -> schema.TensorT | None:
        inputs = self.operator.inputs
        return self._tensors[inputs[2]] if len(inputs) > 2 and inputs[2] >= 0 else None

    def _put(self, position: int, values: np.ndarray) -> None:
        """A tensor of its own with a buffer of its own: equal constants share both in a file."""
        inputs = np.array(self.operator.inputs, np.int32)
        if len(inputs) <= position or inputs[position] < 0:
            tensor = schema.TensorT(hasRank=True)
            tensor.name = flatbuffer.text(self._tensors[self.output].name) + "/bias"
            inputs = np.resize(inputs, position + 1)
        else:
            tensor = copy.copy(self._tensors[inputs[position]])
        tensor.shape = np.asarray(values.shape, np.int32)
        tensor.type = _TYPES[values.dtype.name]
        data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.flat.buffers.append(schema.BufferT(data=data))
        tensor.buffer = len(self.flat.buffers) - 1
        self._tensors.append(tensor)
        inputs[position] = len(self._tensors) - 1
        self.operator.inputs = inputs


def convolution(flat: schema.ModelT, operator: schema.OperatorT) -> Convolution | None:
    """The operator as a `Convolution`; None if it is none, or its weights are computed."""
    if flatbuffer.operator_name(flat, operator) not in KINDS:
        return None
    weights = flat.subgraphs[0].tensors[operator.inputs[1]]
    return None if constant(flat, weights) is None else Convolution(flat, operator)


def drop_unused(flat: schema.ModelT) -> dict[int, int]:
    """Removes tensors and buffers that nothing uses any more; gives each tensor's new index."""
    graph = flat.subgraphs[0]
    used = {int(i) for i in (*graph.inputs, *graph.outputs)}
    used |= {int(i) for o in graph.operators for i in (*o.inputs, *o.outputs) if i >= 0}
    place = {-1: -1, **{old: new for new, old in enumerate(sorted(used))}}
    for operator in graph.operators:
        operator.inputs = np.asarray([place[int(i)] for i in operator.inputs], np.int32)
        operator.outputs = np.asarray([place[int(i)] for i in operator.outputs], np.int32)
    graph.inputs = np.asarray([place[int(i)] for i in graph.inputs], np.int32)
    graph.outputs = np.asarray([place[int(i)] for i in graph.outputs], np.int32)
    for signature in flat.signatureDefs or []:
        for end in (*signature.inputs, *signature.outputs):
            end.tensorIndex = place[int(end.tensorIndex)]
    graph.tensors = [graph.tensors[old] for old in sorted(used)]
    kept = {0, *(int(t.buffer) for t in graph.tensors)}
    kept |= {int(entry.buffer) for entry in flat.metadata or []}
    renumbered = {old: new for new, old in enumerate(sorted(kept))}
    for tensor in graph.tensors:
        tensor.buffer = renumbered[int(tensor.buffer)]
    for entry in flat.metadata or []:
        entry.buffer = renumbered[int(entry.buffer)]
    flat.buffers = [flat.buffers[old] for old in sorted(kept)]
    return place
