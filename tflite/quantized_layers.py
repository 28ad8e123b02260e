"""The operators of an int8 file as Keras layers that can be trained: fake quantization.

Each layer computes in float32 what the file's operator computes in integers, rounded to the very
same steps; gradients pass the rounding as if it were not there, and stop where a value is outside
of its range (Jacob et al. 2018, arXiv 1712.05877). Scales and zero points of activations are the
file's and stay: what is learned are weights and biases that do well with them.

Registered under "tflite", so that `.keras` files of such models load without further ado.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tflite.fake_operations import OPERATIONS

LARGEST = 127
_register = keras.saving.register_keras_serializable("tflite")


@_register
class FakeQuantizedInput(keras.layers.Layer):
    """Images in the steps of a file's input.

    Attributes:
        skeleton: the file without its weights, as text.
        target: the device that the file was made for.
    """

    def __init__(
        self,
        skeleton: str,
        target: str,
        step: Sequence[float] | None,
        pixels: Sequence[Sequence[float]] | None = None,
        **kwargs: Any,
    ) -> None:
        """How the file takes images.

        Args:
            skeleton, target: see the class.
            step: scale, zero point, exact zero point, least and greatest integer. The exact zero
                point is 127.5 where pixels of a network for [-1, 1] go into the file as they are,
                though the file had to call it 127 or 128.
            pixels: mean and standard deviation, a number a channel, by which images become pixels
                again, where the file normalizes them itself.
        """
        super().__init__(**kwargs)
        self.skeleton, self.target, self.step = skeleton, target, step
        self.pixels = pixels

    def call(self, images):
        if self.pixels is not None:
            mean, std = self.pixels
            images = images * ops.array(_plain(std)) + ops.array(_plain(mean))
        if self.step is None:
            return images
        scale, zero_point, exact, least, greatest = self.step
        return (ops.clip(ops.round(images / scale + exact), least, greatest) - zero_point) * scale

    def compute_output_shape(self, shape):
        return shape

    def get_config(self) -> dict[str, Any]:
        own = {
            "skeleton": self.skeleton,
            "target": self.target,
            "step": self.step,
            "pixels": self.pixels,
        }
        return {**super().get_config(), **own}


@_register
class FakeQuantizedOperation(keras.layers.Layer):
    """An operator without weights that are trained."""

    def __init__(
        self,
        kind: str,
        options: Mapping[str, Any],
        constants: Sequence[Sequence[int] | None] = (),
        steps: Sequence[Sequence[float] | None] = (None,),
        **kwargs: Any,
    ) -> None:
        """An operator by its name in the file.

        Args:
            kind: a key of `OPERATIONS`.
            options: as its function takes them.
            constants: for each input its shape if it is a constant, None if it is computed.
            steps: for each output scale and zero point; None: it is not rounded.
        """
        super().__init__(**kwargs)
        self.kind, self.options, self.steps = kind, dict(options), list(steps)
        self.constants = list(constants)

    def build(self, input_shape) -> None:
        self._values = [
            None
            if shape is None
            else self.add_weight(name=f"constant_{i}", shape=tuple(shape), trainable=False)
            for i, shape in enumerate(self.constants)
        ]

    def call(self, inputs):
        computed = iter(inputs if isinstance(inputs, list | tuple) else [inputs])
        values = [next(computed) if value is None else value for value in self._values]
        results = OPERATIONS[self.kind](*values, **_plain(self.options))
        results = results if isinstance(results, list | tuple) else [results]
        rounded = [_in_steps(x, step) for x, step in zip(results, self.steps, strict=True)]
        return rounded[0] if len(rounded) == 1 else rounded

    def get_config(self) -> dict[str, Any]:
        own = {
            "kind": self.kind,
            "options": self.options,
            "constants": self.constants,
            "steps": self.steps,
        }
        return {**super().get_config(), **own}


@_register
class FakeQuantizedConvolution(keras.layers.Layer):
    """A convolution, depthwise convolution or dense layer: int8 weights with a scale a channel.

    Attributes:
        kind: the operator's name in the file.
    """

    def __init__(
        self,
        kind: str,
        options: Mapping[str, Any],
        kernel_shape: Sequence[int],
        input_scale: float,
        step: Sequence[float] | None,
        sparse: bool = False,
        clusters: int = 0,
        **kwargs: Any,
    ) -> None:
        """Weights in Keras's layout: (height, width, in, out); depthwise (height, width, in, n).

        Args:
            kind: a key of `OPERATIONS`.
            options: as its function takes them.
            kernel_shape: of the weights.
            input_scale: of the int8 input; with the weights' scales it makes the steps of the bias.
            step: scale and zero point of the output; None: it is not rounded.
            sparse: weights that are 0 stay 0.
            clusters: weights of an output channel that are equal stay equal; so many values a
                channel has at most. 0: each weight on its own.
        """
        super().__init__(**kwargs)
        self.kind, self.options, self.step = kind, dict(options), step
        self.kernel_shape, self.input_scale = tuple(kernel_shape), input_scale
        self.sparse, self.clusters = sparse, clusters

    @property
    def depthwise(self) -> bool:
        return self.kind == "DEPTHWISE_CONV_2D"

    @property
    def channels(self) -> int:
        *_, inside, last = self.kernel_shape
        return inside * last if self.depthwise else last

    def build(self, input_shape) -> None:
        if self.clusters:
            shape = (self.channels, self.clusters)
            self.values = self.add_weight(name="values", shape=shape)
            self.members = self.add_weight(
                name="members", shape=self.kernel_shape, dtype="int32", trainable=False
            )
        else:
            self.kernel = self.add_weight(name="kernel", shape=self.kernel_shape)
        self.bias = self.add_weight(name="bias", shape=(self.channels,))
        self.scales = self.add_weight(name="scales", shape=(self.channels,), trainable=False)
        if self.sparse:
            self.mask = self.add_weight(name="mask", shape=self.kernel_shape, trainable=False)

    def start(self, integers: np.ndarray, scales: np.ndarray, bias: np.ndarray) -> None:
        """Takes over a file's int8 weights (in Keras's layout), their scales and its bias."""
        self.scales.assign(scales)
        self.bias.assign(bias)
        if self.sparse:
            self.mask.assign((integers != 0).astype(np.float32))
        real = integers * self._by_channel(np.asarray(scales, np.float32))
        if not self.clusters:
            self.kernel.assign(real)
            return
        rows = integers.reshape(-1, self.channels)
        values, members = np.zeros((self.channels, self.clusters)), np.zeros_like(rows, np.int32)
        for channel in range(self.channels):
            found, members[:, channel] = np.unique(rows[:, channel], return_inverse=True)
            values[channel, : len(found)] = found * scales[channel]
        self.values.assign(values)
        self.members.assign(members.reshape(self.kernel_shape))

    def integers(self) -> np.ndarray:
        """The int8 weights, in Keras's layout."""
        real = ops.convert_to_numpy(self._real())
        scales = ops.convert_to_numpy(self._by_channel(self.scales))
        return np.clip(np.rint(real / scales), -LARGEST, LARGEST).astype(np.int8)

    def call(self, inputs):
        kernel, scales = self._real(), self._by_channel(self.scales)
        steps = ops.clip(ops.round(kernel / scales), -LARGEST, LARGEST)
        kernel = kernel + ops.stop_gradient(steps * scales - kernel)
        unit = self.scales * self.input_scale
        bias = self.bias + ops.stop_gradient(ops.round(self.bias / unit) * unit - self.bias)
        result = OPERATIONS[self.kind](inputs, kernel, bias, **_plain(self.options))
        return _in_steps(result, self.step)

    def _real(self):
        if self.clusters:
            # Each weight's place among all values, a row a channel.
            first = np.arange(self.channels, dtype=np.int32) * self.clusters
            place = self.members + self._by_channel(first)
            kernel = ops.take(ops.reshape(self.values, (-1,)), place)
        else:
            kernel = self.kernel
        return kernel * self.mask if self.sparse else kernel

    def _by_channel(self, values):
        """A value an output channel, so that it can be multiplied with the weights."""
        return ops.reshape(values, self.kernel_shape[-2:]) if self.depthwise else values

    def get_config(self) -> dict[str, Any]:
        own = {
            "kind": self.kind,
            "options": self.options,
            "kernel_shape": self.kernel_shape,
            "input_scale": self.input_scale,
            "step": self.step,
            "sparse": self.sparse,
            "clusters": self.clusters,
        }
        return {**super().get_config(), **own}


def _in_steps(x, step: Sequence[float] | None):
    """int8's steps; the gradient is 1 inside their range and 0 outside."""
    if step is None:
        return x
    import tensorflow as tf

    scale, zero_point = step
    least, greatest = (-128 - zero_point) * scale, (127 - zero_point) * scale
    return tf.quantization.fake_quant_with_min_max_args(x, min=least, max=greatest)


def _plain(value: Any) -> Any:
    """Without the lists that Keras wraps around lists, to watch them."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def quantized_input(model: Any) -> FakeQuantizedInput | None:
    """The layer that a fake-quantized model begins with; None of any other model."""
    layers = getattr(model, "layers", ())
    return next((layer for layer in layers if isinstance(layer, FakeQuantizedInput)), None)
