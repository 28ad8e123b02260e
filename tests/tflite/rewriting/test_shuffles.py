"""Channel shuffles that cost nothing, or a 4-D transpose."""

import keras
import pytest
from keras import layers, ops

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


@pytest.mark.parametrize(
    "exchange",
    [
        lambda x: ops.swapaxes(x, -1, 3),
        lambda x: ops.moveaxis(x, 3, -1),
        lambda x: ops.transpose(x, (0, 1, 2, -1, 3)),
        layers.Permute((1, 2, 4, 3)),
    ],
    ids=["swapaxes", "moveaxis", "transpose", "permute"],
)
def test_a_shuffle_is_found_however_axes_are_exchanged(exchange):
    images = keras.Input((8, 8, 6))
    x = exchange(layers.Reshape((8, 8, 2, 3))(layers.Conv2D(6, 3, padding="same")(images)))
    model = enliven(keras.Model(images, layers.Conv2D(4, 3)(layers.Reshape((8, 8, 6))(x))))
    simplified = simplify_for_deployment(model, "coral")
    assert kinds(simplified) == ["InputLayer", "Conv2D", "Conv2D"]
    assert_same_function(model, simplified)


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
