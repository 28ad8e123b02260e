"""Leaky ReLUs, where there is no operator for them."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tflite
from tests.helpers.small_networks import FORMS, assert_same_function, enliven, kinds
from tflite.rewriting import simplify_for_deployment


def network():
    """Every spelling, on maps and on vectors, one of them behind a channel shuffle."""
    images = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="leaky_relu")(images)
    x = layers.LeakyReLU(0.1)(layers.BatchNormalization()(layers.Conv2D(8, 3, groups=2)(x)))
    x = ops.reshape(ops.swapaxes(ops.reshape(x, (-1, 4, 4, 2, 4)), -1, -2), (-1, 4, 4, 8))
    y = layers.ReLU(negative_slope=0.3)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = ops.leaky_relu(layers.Add()([x, y]), negative_slope=0.05)
    x = layers.Activation("leaky_relu")(layers.GlobalAveragePooling2D()(layers.Conv2D(8, 1)(x)))
    return enliven(keras.Model(images, layers.Dense(4)(x)))


@pytest.mark.parametrize(("target", "precision"), FORMS)
def test_every_spelling_is_the_same_function_in_every_form(target, precision):
    model = network()
    simplified = simplify_for_deployment(model, target, precision)
    assert_same_function(model, simplified)
    assert kinds(simplified).count("PReLU") == (5 if target == "coral" else 0)


@pytest.mark.slow
def test_leaky_relus_map_to_the_edge_tpu():
    images = np.random.default_rng(0).uniform(-1, 1, (12, 12, 12, 3)).astype(np.float32)
    report = tflite.convert(network(), target="coral", calibration=images).report
    assert report.edgetpu.ok, report.edgetpu
    assert report.operators["PRELU"] == 5
    assert report.agreement.sqnr_db > 30
