"""What writes files stands behind one function of one file."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import tflite

# Converter, quantizer and TensorFlow's private modules; `import tensorflow` alone is tracing.
_ENGINE = re.compile(r"tf\.lite|tensorflow\.lite|TFLiteConverter\(|mlir_quantize|_experimental_")


def test_only_the_engine_calls_tensorflows_converter_and_quantizer():
    root = Path(tflite.__file__).parent
    callers = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if _ENGINE.search(path.read_text("utf-8"))
    }
    assert callers == {"quantizing/engine.py"}


@pytest.mark.slow
def test_an_operator_without_16_bits_is_named_and_a_way_out_with_it():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, activation="elu")])
    images = np.random.default_rng(0).uniform(0, 1, (4, 8, 8, 3)).astype("float32")
    with pytest.raises(ValueError, match="no ELU of 16-bit activations; precision='int8' or"):
        tflite.convert(model, precision="int16x8", calibration=images)
