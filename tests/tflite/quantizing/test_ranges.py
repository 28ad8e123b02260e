"""No range is too narrow for XNNPACK."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tflite
from tflite.measuring.inspector import inspect
from tflite.quantizing.ranges import widen_for_delegates
from tflite.rewriting import simplify_for_deployment


def calibrated(weight: float) -> bytes:
    """An h-swish network as calibration leaves it; `weight` decides how large activations are."""
    import tensorflow as tf

    images = keras.Input((8, 8, 4))
    x = images
    for _ in range(2):
        x = layers.Conv2D(4, 1, kernel_initializer=keras.initializers.Constant(weight))(x)
        x = layers.Activation("hard_silu")(x)
    model = simplify_for_deployment(keras.Model(images, layers.Conv2D(4, 1)(x)), "android")
    rng = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.uniform(-1, 1, (1, 8, 8, 4)).astype(np.float32)] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_calibrate_only = True
    return bytes(converter.convert())


def outside(file: bytes) -> set[str]:
    from tensorflow.lite.python.convert import mlir_quantize

    report = inspect(bytes(mlir_quantize(file)))
    return {report.operations[index].name for index in report.runtime.outside}


@pytest.mark.slow
def test_tiny_activations_stay_in_one_partition():
    file = calibrated(weight=1e-4)
    assert "ADD" in outside(file), "the case that this is about"
    assert "ADD" not in outside(widen_for_delegates(file))


@pytest.mark.slow
def test_ordinary_ranges_are_left_as_calibrated():
    file = calibrated(weight=0.5)
    assert widen_for_delegates(file) is file


@pytest.mark.slow
@pytest.mark.parametrize("kind", [layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose])
def test_a_layer_that_died_is_no_reason_to_refuse_the_file(kind):
    arguments = {
        "kernel_size": 3,
        "activation": "relu",
        "bias_initializer": keras.initializers.Constant(-9),
    }
    if kind is not layers.DepthwiseConv2D:
        arguments["filters"] = 4
    images = keras.Input((12, 12, 4))
    dead = kind(**arguments)(layers.Conv2D(4, 3, activation="relu")(images))
    model = keras.Model(images, layers.Conv2D(4, 3, bias_initializer="ones")(dead))
    samples = np.random.default_rng(0).uniform(0, 1, (8, 12, 12, 4)).astype(np.float32)
    report = tflite.convert(model, precision="int8", calibration=samples, effort="fast").report
    assert report.partitions == 1
    assert report.agreement.max_abs_error < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "limited",
    [
        lambda x: x - ops.maximum(x, 2.0),
        lambda x: x + ops.clip(x, -4.0, 4.0),
        ops.celu,
    ],
    ids=["maximum", "clip", "celu"],
)
def test_what_is_read_beside_a_minimum_is_not_clipped_to_its_range(limited):
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    wide = keras.initializers.RandomNormal(stddev=1.0)
    x = limited(layers.Conv2D(8, 3, kernel_initializer=wide)(images))
    model = keras.Model(images, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-1, 1, (12, 8, 8, 3)).astype(np.float32)
    report = tflite.convert(model, calibration=pictures, effort="fast").report
    assert report.agreement.sqnr_db > 26
