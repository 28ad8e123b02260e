"""Zero padding that a convolution can do itself."""

import keras
from keras import layers

from tests.helpers.small_networks import assert_same_function, kinds, reports
from tflite.rewriting import simplify_for_deployment
from tflite.rewriting.passes import Left


def test_explicit_padding_becomes_same_padding_only_where_they_are_equal():
    for size, padding, equal in ((8, ((0, 1), (0, 1)), True), (8, 1, False), (9, 1, True)):
        images = keras.Input((size, size, 3))
        x = layers.ZeroPadding2D(padding)(images)
        model = keras.Model(images, layers.Conv2D(4, 3, strides=2)(x))
        simplified = simplify_for_deployment(model, "android")
        assert ("ZeroPadding2D" not in kinds(simplified)) == equal
        assert_same_function(model, simplified)


def test_padding_is_reported_done_or_left_with_the_reason():
    images = keras.Input((8, 8, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="equal")(images)
    x = layers.ZeroPadding2D(1, name="other")(layers.Conv2D(4, 3, strides=2)(x))
    x = layers.DepthwiseConv2D(3, strides=2)(x)
    report = reports(keras.Model(images, x))["padding"]
    assert [change.node for change in report.changed] == ["equal"]
    assert report.left == (Left("other", "zero padding", "SAME pads otherwise"),)
