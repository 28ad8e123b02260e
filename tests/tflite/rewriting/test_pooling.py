"""Average pooling as the kernels at hand can do it."""

import keras
import pytest
from keras import layers

from tests.helpers.small_networks import assert_same_function, kinds, reports
from tflite.rewriting import simplify_for_deployment
from tflite.rewriting.passes import Change, Left


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [7, 8])
def test_average_pooling_in_int8_is_a_convolution_with_the_border_right(size, padding):
    images = keras.Input((size, size, 3))
    model = keras.Model(images, layers.AveragePooling2D(3, 2, padding=padding)(images))
    simplified = simplify_for_deployment(model, "android")
    assert "AveragePooling2D" not in kinds(simplified)
    assert_same_function(model, simplified)


def test_a_window_as_large_as_the_map_is_a_mean_and_others_are_left_to_a_native_kernel():
    images = keras.Input((8, 8, 3))
    x = layers.AveragePooling2D(2, name="window")(images)
    model = keras.Model(images, layers.AveragePooling2D(4, name="whole")(x))
    simplified = simplify_for_deployment(model, "coral")
    assert_same_function(model, simplified)
    assert kinds(simplified)[1:] == ["AveragePooling2D", "GlobalAveragePooling2D"]
    report = reports(model, "coral")["pooling"]
    assert report.changed == (Change("whole", "average pool", "written as a mean"),)
    assert report.left == (Left("window", "average pool", "native kernel"),)
