"""Batch normalization and scaling go into neighbours, where that is exact."""

import keras
import pytest
from keras import layers

from tests.helpers.small_networks import assert_same_function, enliven, kinds, reports
from tflite.rewriting import simplify_for_deployment
from tflite.rewriting.passes import Change


def normalization():
    return layers.Normalization(mean=(0.4, 0.5, 0.6), variance=(0.04, 0.05, 0.06))


@pytest.mark.parametrize(
    ("scaling", "padding", "left"),
    [
        (lambda: layers.Rescaling(1 / 127.5, -1.0), "valid", False),
        (lambda: layers.Rescaling(1 / 255.0), "same", False),
        (lambda: layers.Rescaling(1 / 127.5, -1.0), "same", True),
        (lambda: normalization(), "valid", False),
        (lambda: normalization(), "same", True),
    ],
)
def test_input_scaling_goes_into_the_first_convolution_where_no_border_tells(
    scaling, padding, left
):
    images = keras.Input((9, 9, 3))
    x = layers.Conv2D(4, 3, padding=padding)(scaling()(images))
    model = enliven(keras.Model(images, x))
    simplified = simplify_for_deployment(model, "android")
    assert_same_function(model, simplified)
    assert ("Add" in kinds(simplified)) == left


def test_batch_normalization_before_padding_is_left_alone():
    images = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(images)
    x = layers.Conv2D(4, 3, padding="same")(x)
    model = enliven(keras.Model(images, x))
    simplified = simplify_for_deployment(model, "android")
    assert "BatchNormalization" in kinds(simplified)
    assert_same_function(model, simplified)


def test_each_batch_normalization_is_reported_folded_or_left_with_the_reason():
    images = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="first")(images)
    x = layers.Conv2D(4, 3, padding="same", name="convolution")(x)
    x = layers.BatchNormalization(name="second")(x)
    x = layers.BatchNormalization(name="third")(layers.Activation("tanh", name="tanh")(x))
    model = enliven(keras.Model(images, layers.Dense(3, name="dense")(x)))
    report = reports(model)["folding"]
    assert report.changed == (
        Change("second", "batch norm", "folded into weights"),
        Change("third", "batch norm", "folded into weights"),
    )
    (left,) = report.left
    assert (left.node, left.what) == ("first", "batch norm")
    assert "zero padding" in left.reason
