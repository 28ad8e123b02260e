"""One spelling for each meaning, and nothing that acts only in training."""

import keras
from keras import layers

from tests.helpers.small_networks import assert_same_function, reports
from tflite.rewriting import simplify_for_deployment
from tflite.rewriting.passes import Change, Left


def test_layers_that_act_only_in_training_are_gone():
    images = keras.Input((8, 8, 3))
    x = layers.RandomRotation(0.2)(layers.RandomFlip()(images))
    x = layers.GaussianNoise(0.1)(x)
    x = layers.SpatialDropout2D(0.5)(layers.Conv2D(4, 3, name="kept")(x))
    model = keras.Model(images, layers.Dropout(0.5)(x))
    simplified = simplify_for_deployment(model, "android")
    assert [layer.name for layer in simplified.layers[1:]] == ["kept"]
    assert_same_function(model, simplified)


def test_mixed_precision_is_over_at_deployment():
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, dtype="mixed_float16")(images)
    model = keras.Model(images, layers.Dense(4, dtype="float32")(x))
    simplified = simplify_for_deployment(model, "android")
    assert {layer.compute_dtype for layer in simplified.layers} == {"float32"}


def test_layers_beyond_its_knowledge_are_left_with_the_reason():
    class Doubling(layers.Layer):
        def call(self, x):
            return x * 2.0

    images = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(axis=1, name="rows")(layers.Dropout(0.1, name="drop")(images))
    report = reports(keras.Model(images, Doubling(name="doubling")(x)))["normal_form"]
    assert report.changed == (Change("drop", "Dropout", "removed"),)
    assert report.left == (
        Left("rows", "BatchNormalization", "normalizes another axis than channels"),
        Left("doubling", "Doubling", "not a layer of Keras's own"),
    )
