"""A file whose numbers are far from the network's is told as one, whatever its integers."""

import keras
import numpy as np
import pytest

import tflite


def drowned():
    """A network one weight of which, for a pixel that is always black, is 2,000 times the rest."""
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    kernel = rng.normal(0, 0.5, (48, 3))
    kernel[0] = 1000
    model.layers[-1].set_weights([kernel, np.zeros(3)])
    images = rng.random((16, 4, 4, 3), np.float32)
    images[:, 0, 0, 0] = 0
    return model, images


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_numbers_that_rounded_weights_spoil_are_told(precision):
    model, images = drowned()
    made = tflite.convert(model, precision=precision, calibration=images, effort="fast")
    said = [one for one in made.report.warnings if "dB beside Keras's, where 20 and more" in one]
    assert said
    assert f"the {precision} file's outputs" in said[0]
    assert ("try precision 'float16'" in said[0]) == (precision != "int8")
