"""No shape is computed at run time."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.helpers.small_networks import assert_same_function, kinds, outputs, reports
from tflite.rewriting import simplify_for_deployment


@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_batch_is_what_is_asked(v3, batch_size):
    simplified = simplify_for_deployment(v3, "android", batch_size=batch_size)
    assert simplified.input_shape == (batch_size, 16, 16, 3)
    assert simplified.output_shape == (batch_size, 10)
    if batch_size != 1:
        images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(outputs(simplified, images), outputs(v3, images), atol=1e-6)


def test_softmax_is_taken_of_vectors():
    images = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D(keepdims=True)(images)
    model = keras.Model(
        images, layers.Flatten()(layers.Activation("softmax")(layers.Conv2D(5, 1)(x)))
    )
    simplified = simplify_for_deployment(model, "coral")
    assert_same_function(model, simplified)
    assert kinds(simplified)[-2:] == ["Flatten", "Activation"]
    assert [change.what for change in reports(model)["shapes"].changed] == ["softmax"]


def test_pooling_keeps_its_dimensions_where_a_reshape_would_restore_them(v3):
    (change,) = reports(v3)["shapes"].changed
    assert (change.what, change.how) == ("reshape", "done by the pooling before it")
