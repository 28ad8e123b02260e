"""Constant factors travel only where every reader knows of them."""

import keras
from keras import layers, ops

from tests.helpers.small_networks import assert_same_function, enliven, reports
from tflite.rewriting import simplify_for_deployment


def test_a_relu6_does_not_let_a_factor_pass():
    images = keras.Input((6, 6, 4))
    x = layers.Activation("hard_silu")(images * 20.0)
    model = keras.Model(images, layers.Conv2D(2, 1)(layers.ReLU(6.0)(x)))
    assert_same_function(model, simplify_for_deployment(model, "coral"))


def test_an_explicit_factor_that_several_read_is_not_scaled_for_one_of_them():
    images = keras.Input((6, 6, 4))
    swishes = [layers.Conv2D(4, 1, activation="hard_silu")(images) for _ in range(4)]
    product = layers.Multiply()(swishes[1:3])
    gate = layers.Activation("sigmoid")(swishes[0])
    x = layers.Add()([layers.Add()([swishes[0], product]), swishes[3]])
    x = layers.Multiply()([layers.Conv2D(4, 1)(x), gate])
    model = enliven(keras.Model(images, x))
    assert_same_function(model, simplify_for_deployment(model, "coral"))


def test_matching_one_summand_does_not_change_another_that_it_is_made_of():
    images = keras.Input((6, 6, 4))
    convolved = layers.Conv2D(4, 1)(images)
    gate = layers.Conv2D(4, 1, activation="hard_sigmoid")(images)
    product = layers.Multiply()([layers.Conv2D(4, 1, activation="hard_silu")(images), convolved])
    model = enliven(keras.Model(images, layers.Concatenate()([gate, convolved, product])))
    assert_same_function(model, simplify_for_deployment(model, "coral"))


def test_a_layer_called_twice_absorbs_a_factor_in_one_call_only():
    images = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 1, name="shared")
    x = shared(layers.Activation("hard_silu")(images))
    model = enliven(keras.Model(images, shared(layers.ReLU()(x))))
    assert_same_function(model, simplify_for_deployment(model, "coral"))


def test_factors_are_reported_carried_and_those_left_with_what_needs_them():
    images = keras.Input((6, 6, 4))
    x = layers.MaxPooling2D()(layers.Activation("hard_silu")(images))
    x = layers.Conv2D(4, 1)(x)
    model = keras.Model(images, layers.Softmax()(layers.Activation("hard_silu")(x)))
    report = reports(model)["factors"]
    assert [change.what for change in report.changed] == ["constant factor"] * 2
    assert [left.reason for left in report.left] == ["read by Softmax"]


def test_an_explicit_factor_is_not_felt_by_another_reader_of_the_tensor():
    images = keras.Input((6, 6, 4))
    x = layers.Conv2D(4, 1, activation="hard_silu")(images)
    x = [layers.Activation("tanh")(x), ops.sin(x), layers.Conv2D(4, 1)(x)]
    model = enliven(keras.Model(images, layers.Concatenate()(x)))
    assert_same_function(model, simplify_for_deployment(model, "coral"))
    (left,) = reports(model, "coral")["factors"].left
    assert left.reason == "read by tanh, Sin"
