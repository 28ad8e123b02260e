"""Channel shuffles that cost nothing, or a 4-D transpose."""

import keras
from keras import layers

from tests.helpers.small_networks import (
    assert_same_function,
    enliven,
    kinds,
    reports,
    shuffle,
    shufflenet_unit,
)
from tflite.rewriting import simplify_for_deployment


def test_coral_shuffles_without_a_transpose():
    simplified = simplify_for_deployment(shufflenet_unit(), "coral")
    assert not {"Transpose", "Permute", "Reshape"} & set(kinds(simplified))


def test_a_shuffle_of_a_concatenation_stays_and_is_four_dimensional():
    images = keras.Input((8, 8, 6))
    x = shuffle(layers.Concatenate()([images, layers.Conv2D(6, 1)(images)]), 2)
    model = enliven(keras.Model(images, layers.Conv2D(4, 3)(x)))
    simplified = simplify_for_deployment(model, "coral")
    assert "Transpose" in kinds(simplified)
    assert_same_function(model, simplified)


def test_each_shuffle_is_reported_done_or_left_with_the_reason():
    model = shufflenet_unit()
    (change,) = reports(model, "coral")["shuffles"].changed
    assert (change.what, change.how) == ("channel shuffle", "done by the convolution before it")
    (left,) = reports(model, "android")["shuffles"].left
    assert left.reason == "no convolution before it can do it for free"
