"""What Keras 3 has and tf_keras has not: activations, and operations of tensors, as layers.

All are registered, so that tf_keras can clone and save models that hold them, as
tensorflow-model-optimization does.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

_register = tf_keras.utils.register_keras_serializable("slimnets")


@_register
def relu6(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu6(x)


@_register
def hard_sigmoid(x: tf.Tensor) -> tf.Tensor:
    """That of Keras 3 and of the papers, relu6(x + 3) / 6; tf_keras's is 0.2·x + 0.5, clipped."""
    return tf.nn.relu6(x + 3.0) / 6.0


@_register
def hard_silu(x: tf.Tensor) -> tf.Tensor:
    return x * hard_sigmoid(x)


# By Keras 3's names; of all others tf_keras has the same function by the same name.
ACTIVATIONS = {
    "relu6": relu6,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "hard_swish": hard_silu,
}


@_register
class Arithmetic(tf_keras.layers.Layer):
    """`add`, `subtract`, `multiply` or `divide` of a tensor and constants, in their order."""

    def __init__(self, operation: str, left: Any = None, right: Any = None, **kwargs: Any) -> None:
        """`left` or `right` is a number or nested lists of them; None stands for the tensor."""
        super().__init__(**kwargs)
        self.operation, self.left, self.right = operation, left, right

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        left = inputs if self.left is None else self.left
        right = inputs if self.right is None else self.right
        return getattr(tf, self.operation)(left, right)

    def get_config(self) -> dict[str, Any]:
        own = {"operation": self.operation, "left": self.left, "right": self.right}
        return {**super().get_config(), **own}


@_register
class Part(tf_keras.layers.Layer):
    """`inputs[...]`, by a (start, stop, step) for each axis."""

    def __init__(self, bounds: list[list[int | None]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bounds = bounds

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs[tuple(slice(*bound) for bound in self.bounds)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bounds": self.bounds}
