"""A model in the form that exporters trace: the same function, of operators they know."""

from __future__ import annotations

from typing import Any

import keras


def tracing_form(model: keras.Model, batch_norm: bool = False) -> keras.Model:
    """The model, or a copy with the same weights, that calls plain TensorFlow operators.

    Keras hands a grouped convolution to XLA, whose functions no exporter opens, and writes batch
    normalization as arithmetic.

    Args:
        model: a functional or sequential model.
        batch_norm: batch normalizations become one operator each, which exporters keep.
    """
    layers = model._flatten_layers(include_self=False)
    if not any(_replaced(layer, batch_norm) for layer in layers):
        return model

    def clone(layer: keras.Layer) -> keras.Layer:
        kind = _replaced(layer, batch_norm) or type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def _replaced(layer: Any, batch_norm: bool) -> type | None:
    if type(layer) is keras.layers.Conv2D and layer.groups > 1:
        return _PlainConv2D
    if batch_norm and type(layer) is keras.layers.BatchNormalization:
        return _FusedBatchNormalization
    return None


class _PlainConv2D(keras.layers.Conv2D):
    """Grouped by TensorFlow's own rule: the kernel takes fewer channels than there are."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        import tensorflow as tf

        return tf.nn.conv2d(
            inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate
        )


class _FusedBatchNormalization(keras.layers.BatchNormalization):
    """In inference, one FusedBatchNorm on the last axis of maps."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        import tensorflow as tf

        if training or len(inputs.shape) != 4 or self.axis not in (-1, 3):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma if self.scale else tf.ones(channels),
            offset=self.beta if self.center else tf.zeros(channels),
            mean=tf.convert_to_tensor(self.moving_mean),
            variance=tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=False,
        )
        return outputs.y
