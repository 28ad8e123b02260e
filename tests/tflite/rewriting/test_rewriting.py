"""The rewritten network is the same function, in the form that devices take."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.helpers.small_networks import (
    FORMS,
    assert_same_function,
    enliven,
    shufflenet_unit,
    v3_block,
)
from tflite.measuring.inspector import inspect
from tflite.rewriting import simplify_for_deployment


@pytest.mark.parametrize(("target", "precision"), FORMS)
def test_v3_block_is_the_same_function_in_every_form(v3, target, precision):
    assert_same_function(v3, simplify_for_deployment(v3, target, precision))


@pytest.mark.parametrize(("target", "precision"), FORMS[1:3])
def test_keras_applications_v3_with_its_rescaling_is_the_same_function(target, precision):
    model = keras.applications.MobileNetV3Small(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None, classes=10
    )
    model = enliven(model)
    assert_same_function(model, simplify_for_deployment(model, target, precision))


def test_nested_models_and_what_is_not_known_survive():
    class Doubling(layers.Layer):
        def call(self, x):
            return x * 2.0

    entrance = keras.Input((8, 8, 3))
    inner = layers.Conv2D(4, 3, padding="same", activation="hard_silu", name="inner_conv")(entrance)
    inner = keras.Model(entrance, inner, name="inner")
    images = keras.Input((8, 8, 3))
    x = Doubling(name="doubling")(inner(images))
    x = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(3, 1, name="sequential_conv")])(x)
    x = inner(ops.sin(x))
    x = layers.LayerNormalization()(x)
    x = layers.Lambda(lambda value: value + 1.0)(x)
    left, right = ops.split(x, 2, axis=-1)
    x = left * ops.tanh(right[:, ::-1])
    model = enliven(keras.Model(images, x))
    for target, precision in FORMS[:3]:
        simplified = simplify_for_deployment(model, target, precision)
        assert_same_function(model, simplified)
        names = {layer.name for layer in simplified.layers}
        assert {"doubling", "inner_conv", "sequential_conv"} <= names


def test_the_model_given_is_not_modified(v3):
    before, config = v3.get_weights(), v3.to_json()
    calls = [len(operation._inbound_nodes) for operation in v3.operations]
    simplify_for_deployment(v3, "coral")
    assert all(np.array_equal(a, b) for a, b in zip(before, v3.get_weights(), strict=True))
    assert config == v3.to_json()
    assert calls == [len(operation._inbound_nodes) for operation in v3.operations]


def test_the_same_model_gives_the_same_names_and_weights(v3):
    first, second = (simplify_for_deployment(v3, "coral") for _ in range(2))
    assert [op.name for op in first.operations] == [op.name for op in second.operations]
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_the_simplified_model_can_be_saved(v3, tmp_path):
    simplified = simplify_for_deployment(v3, "coral")
    simplified.save(tmp_path / "simplified.keras")
    assert_same_function(v3, keras.models.load_model(tmp_path / "simplified.keras"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("iphone",), "target must be one of android, cpu, coral, micro, got 'iphone'"),
        (("android", "int4"), "precision must be one of float32, .*, got 'int4'"),
        (("coral", "float16"), "target 'coral' takes precision int8, got 'float16'"),
    ],
)
def test_unknown_targets_and_precisions_are_answered_with_those_there_are(v3, arguments, message):
    with pytest.raises(ValueError, match=message):
        simplify_for_deployment(v3, *arguments)


def test_a_batch_of_nothing_is_refused(v3):
    with pytest.raises(ValueError, match="batch_size must be a positive whole number"):
        simplify_for_deployment(v3, "android", batch_size=0)


# --- Files ---------------------------------------------------------------------------------------


def int8_file(model: keras.Model) -> bytes:
    """TensorFlow's own converter with nothing around it."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape = (1, *model.input_shape[1:])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.normal(0.2, 1.0, shape).astype(np.float32)] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert()


@pytest.mark.slow
def test_int8_v3_block_is_one_partition_without_hard_swish(v3):
    report = inspect(int8_file(simplify_for_deployment(v3, "android")))
    assert not {"HARD_SWISH", "SHAPE", "PACK", "STRIDED_SLICE"} & set(report.histogram)
    assert len(report.runtime.partitions) == 1
    outside = {report.operations[index].name for index in report.runtime.outside}
    assert outside <= {"QUANTIZE", "SOFTMAX"}


@pytest.mark.slow
@pytest.mark.parametrize("network", [v3_block, shufflenet_unit])
def test_coral_files_stay_within_the_op_versions_of_the_edgetpu_compiler(network):
    versions = inspect(int8_file(simplify_for_deployment(network(), "coral"))).versions
    newest = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "MUL": 3, "CONCATENATION": 2}
    newest |= {"MEAN": 2, "RESHAPE": 1, "SPLIT": 3, "QUANTIZE": 2, "SOFTMAX": 2}
    assert set(versions) <= set(newest)
    assert all(max(versions[name]) <= newest[name] for name in versions)


@pytest.mark.slow
def test_int8_shufflenet_unit_is_one_partition_on_android():
    report = inspect(int8_file(simplify_for_deployment(shufflenet_unit(), "android")))
    assert len(report.runtime.partitions) == 1
    assert {report.operations[index].name for index in report.runtime.outside} <= {"QUANTIZE"}
