"""What is read of a Keras model."""

import keras
from keras import layers

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
