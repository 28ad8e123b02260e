"""Grouped convolutions of one channel a group."""

import keras
from keras import layers

from tests.helpers.small_networks import assert_same_function, enliven, kinds, reports
from tflite.rewriting import simplify_for_deployment


def test_one_channel_a_group_is_a_depthwise_convolution():
    images = keras.Input((8, 8, 6))
    model = enliven(keras.Model(images, layers.Conv2D(12, 3, groups=6)(images)))
    simplified = simplify_for_deployment(model, "android")
    assert "DepthwiseConv2D" in kinds(simplified)
    assert_same_function(model, simplified)


def test_what_is_and_is_not_written_as_depthwise_is_reported():
    images = keras.Input((8, 8, 6))
    x = layers.Conv2D(12, 3, groups=6, name="even")(images)
    x = layers.Conv2D(12, 3, groups=12, strides=(1, 2), name="uneven")(x)
    report = reports(keras.Model(images, x))["depthwise"]
    assert [change.node for change in report.changed] == ["even"]
    assert [(left.node, left.reason) for left in report.left] == [("uneven", "it has two strides")]
