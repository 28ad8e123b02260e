"""What is read of a Keras model."""

import keras
import numpy as np
from keras import layers, ops

from tests.helpers.small_networks import FORMS, assert_same_function, enliven
from tflite.rewriting import simplify_for_deployment


def test_an_activation_with_weights_of_its_own_keeps_them():
    slope = keras.initializers.RandomUniform(0.1, 0.4, seed=0)
    shared = layers.PReLU(slope, shared_axes=[1, 2])
    images = x = keras.Input((8, 8, 3))
    for activation in (shared, layers.PReLU(slope), shared, layers.LayerNormalization()):
        x = layers.Conv2D(4, 3, padding="same", activation=activation)(x)
        x = layers.ReLU()(layers.Add()([x, layers.Dense(4, activation=shared)(x)]))
    model = enliven(keras.Model(images, x))
    for target, precision in FORMS:
        assert_same_function(model, simplify_for_deployment(model, target, precision))


def test_an_array_of_float64_makes_nothing_after_it_float64():
    images = keras.Input((8, 8, 3))
    rows = np.linspace(0.5, 2.0, 8).reshape(8, 1, 1)
    x = ops.exp(images * rows + np.float64(0.5)) - np.linspace(0.0, 1.0, 3)
    model = keras.Model(images, layers.Conv2D(4, 3)(x))
    simplified = simplify_for_deployment(model, "android")
    assert_same_function(model, simplified)
    assert {operation.output.dtype for operation in simplified.operations} == {"float32"}
