"""The matrix product that a processor's speed is measured by."""

import numpy as np
import pytest

import tflite
from tflite.litert import open_interpreter
from tflite.measuring.peak import MACS, matrix_product


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_it_is_one_operator_of_so_many_macs_that_xnnpack_takes(kind):
    report = tflite.inspect(matrix_product(kind))
    assert report.histogram == {"FULLY_CONNECTED": 1}
    assert report.macs == MACS == 256 * 512 * 512
    assert report.runtime.outside == ()


def test_it_multiplies():
    interpreter = open_interpreter(matrix_product("float32"))
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = np.random.default_rng(1).uniform(-1, 1, entry["shape"]).astype(np.float32)
    interpreter.set_tensor(entry["index"], rows)
    interpreter.invoke()
    weights = np.random.default_rng(0).integers(-100, 100, (512, 512))
    np.testing.assert_allclose(
        interpreter.get_tensor(end["index"]), rows @ weights.T, rtol=0, atol=0.05
    )
