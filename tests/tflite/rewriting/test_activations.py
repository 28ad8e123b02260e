"""ReLUs where a kernel can fuse them."""

import keras
from keras import layers

from tests.helpers.small_networks import assert_same_function, enliven, kinds, reports
from tflite.rewriting import simplify_for_deployment
from tflite.rewriting.passes import Left


def test_a_relu_after_a_concatenation_moves_into_its_parts():
    images = keras.Input((8, 8, 3))
    pooled = layers.AveragePooling2D(3, 2, padding="same")(layers.ReLU()(images))
    convolved = layers.Conv2D(4, 3, strides=2, padding="same", name="convolved")(images)
    x = layers.ReLU(name="unit")(layers.Concatenate()([pooled, convolved]))
    model = enliven(keras.Model(images, x))
    simplified = simplify_for_deployment(model, "android")
    assert_same_function(model, simplified)
    assert type(simplified.get_layer("unit")) is layers.Concatenate


def test_a_relu_of_what_is_never_negative_is_dropped():
    images = keras.Input((8, 8, 3))
    x = layers.MaxPooling2D()(layers.Activation("sigmoid")(images))
    model = keras.Model(images, layers.ReLU(name="needless")(layers.Add()([x, x])))
    simplified = simplify_for_deployment(model, "android")
    assert_same_function(model, simplified)
    assert kinds(simplified)[1:] == ["Activation", "MaxPooling2D", "Add"]


def test_a_relu6_that_moves_into_a_part_is_not_felt_by_another_reader_of_it():
    """The part had a ReLU of its own, needless and dropped, that both read."""
    images = keras.Input((8, 8, 3))
    x = layers.Activation("sigmoid")(images)
    part = layers.DepthwiseConv2D(
        3, use_bias=False, depthwise_initializer=keras.initializers.Constant(2.0)
    )(x)
    positive = layers.ReLU()(part)
    joint = layers.Concatenate()([positive, layers.Conv2D(4, 3)(images)])
    x = layers.Concatenate()([positive, layers.ReLU(6.0)(joint)])
    model = keras.Model(images, x)
    assert_same_function(model, simplify_for_deployment(model, "android", "float32"))


def test_a_relu_that_stays_behind_a_concatenation_is_reported_with_the_reason():
    images = keras.Input((8, 8, 3))
    joint = layers.Concatenate()([layers.Conv2D(4, 1)(images), layers.Activation("tanh")(images)])
    report = reports(keras.Model(images, layers.ReLU(name="stays")(joint)))["activations"]
    assert report.left == (
        Left("stays", "ReLU", "not every part of its concatenation can fuse it"),
    )
