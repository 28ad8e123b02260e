"""Float .tflite files operator by operator, with weights that a seed fills."""

import numpy as np

from tests.helpers.flatgraph import FlatGraph, conv_options, depthwise_options
from tflite.quantizing.statistics import measure

NONE, RELU, RELU6 = 0, 1, 3
SAME, VALID = 0, 1


class FloatFile(FlatGraph):
    """A network of (1, size, size, channels) pictures."""

    def __init__(self, size=6, channels=3, seed=0):
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.size = size
        self.last = self.input((1, size, size, channels), "float32")

    def conv(self, x, out, kernel=1, activation=NONE, gains=None, padding=SAME, bias=0.0) -> int:
        """A convolution; `gains` multiply its output channels, `bias` is added to them."""
        shape = (out, kernel, kernel, self._channels(x))
        gains = np.ones(out) if gains is None else np.asarray(gains)
        weights = self.rng.normal(0, 1, shape) * gains.reshape(-1, 1, 1, 1)
        bias = self.rng.normal(0, 0.3, out) * gains + bias
        options = conv_options(padding=padding, fusedActivationFunction=activation)
        inputs = [x, self.constant(weights, "float32"), self.constant(bias, "float32")]
        return self._run("CONV_2D", inputs, out, options)

    def depthwise(self, x, activation=NONE) -> int:
        channels = self._channels(x)
        weights = self.rng.normal(0, 0.5, (1, 3, 3, channels))
        bias = self.rng.normal(0, 0.3, channels)
        options = depthwise_options(padding=SAME, fusedActivationFunction=activation)
        inputs = [x, self.constant(weights, "float32"), self.constant(bias, "float32")]
        return self._run("DEPTHWISE_CONV_2D", inputs, channels, options)

    def join(self, name, inputs, options=None, channels=None) -> int:
        return self._run(name, inputs, channels or self._channels(inputs[0]), options)

    def images(self, count=16, seed=1) -> np.ndarray:
        shape = tuple(self.graph.tensors[self.graph.inputs[0]].shape)
        return np.random.default_rng(seed).normal(0, 1, (count, *shape[1:])).astype(np.float32)

    def _channels(self, x) -> int:
        return int(self.graph.tensors[x].shape[-1])

    def _run(self, name, inputs, channels, options) -> int:
        output = self.activation((1, self.size, self.size, channels), "float32")
        return self.op(name, inputs, output, options)


def unevenness(data: bytes, images: np.ndarray) -> float:
    """The ratio between the largest and the smallest channel of what the first operator writes."""
    _, found, *_ = measure(data, images).values()
    reach = np.maximum(found.high, -found.low)
    return reach.max() / reach.min()
