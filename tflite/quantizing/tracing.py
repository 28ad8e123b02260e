"""A Keras model as one function of a batch, as the engine takes it."""

from typing import TYPE_CHECKING

import numpy as np

from tflite.images import ImageInput

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

INPUT_NAME = "image"
# Tensors are named SCOPE_1/layer/operation.
SCOPE = "network"


def trace(
    model: "keras.Model", batch_size: int | None, image: ImageInput | None
) -> "tf.types.experimental.ConcreteFunction":
    """The model's inference on float32 (batch_size, height, width, channels).

    Args:
        model: with one image input and one output.
        batch_size: None leaves it open.
        image: how pixels become the model's input, if that is known; where it says so, the
            function takes pixels and does that by itself.
    """
    import keras
    import tensorflow as tf

    # A scope of a fixed name: Keras numbers models as they are made, and the same model has to
    # give the same bytes.
    network = keras.Model(model.inputs[0], model.outputs[0], name=SCOPE)

    def call(pixels):
        if image is not None and image.in_graph:
            pixels = _normalize(pixels, image)
        return network(pixels, training=False)

    shape = (batch_size, *model.inputs[0].shape[1:])
    spec = tf.TensorSpec(shape, tf.float32, name=INPUT_NAME)
    return tf.function(call, input_signature=[spec], autograph=False).get_concrete_function()


def _normalize(pixels: "tf.Tensor", image: ImageInput) -> "tf.Tensor":
    """(pixels - mean) / std as one depthwise 1×1 convolution.

    That is a single operator, which every delegate has, and int8 gives it a scale per channel.
    """
    import tensorflow as tf

    std = np.asarray(image.std, np.float64)
    filters = np.reshape(1 / std, (1, 1, -1, 1)).astype(np.float32)
    bias = (-np.asarray(image.mean, np.float64) / std).astype(np.float32)
    scaled = tf.nn.depthwise_conv2d(pixels, filters, strides=[1, 1, 1, 1], padding="VALID")
    return tf.nn.bias_add(scaled, bias)
