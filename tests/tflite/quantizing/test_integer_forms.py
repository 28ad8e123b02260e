"""Layers whose operators have no int8 kernel of their own."""

import keras
import numpy as np
import pytest
from keras import layers

import tflite
from tflite.files.records import read_graph

IMAGES = np.random.default_rng(0).uniform(0, 1, (12, 12, 12, 3)).astype(np.float32)


def network(layer):
    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 3))
    x = layer(layers.Conv2D(8, 3, strides=2, padding="same")(images))
    return keras.Model(images, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def inner_types(data):
    graph = read_graph(data)
    ends = {tensor.index for tensor in (*graph.inputs, *graph.outputs)}
    written = [tensor for operation in graph.operations for tensor in operation.outputs]
    return {tensor.type for tensor in written if tensor.index not in ends}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["android", "micro"])
@pytest.mark.parametrize(
    "layer",
    [
        layers.LayerNormalization(),
        layers.GroupNormalization(4),
        layers.UnitNormalization(),
        layers.RMSNormalization(),
        layers.Lambda(lambda x: keras.ops.square(x) - keras.ops.negative(x)),
    ],
    ids=["layer", "group", "unit", "rms", "square and negative"],
)
def test_normalizations_of_all_kinds_are_int8_throughout(layer, target):
    converted = tflite.convert(network(layer), target=target, calibration=IMAGES)
    assert inner_types(converted.bytes) <= {"int8", "int32"}
    assert converted.report.agreement.sqnr_db > 30


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 6.0, 0.5], ids=["relu", "relu6", "clipped"])
def test_a_transposed_convolution_that_ends_in_a_relu_maps_to_the_edge_tpu(limit):
    up = layers.Conv2DTranspose(6, 3, strides=2, padding="same", kernel_initializer="he_normal")
    model = network(keras.Sequential([up, layers.BatchNormalization(), layers.ReLU(limit)]))
    report = tflite.convert(model, target="coral", calibration=IMAGES, effort="fast").report
    assert report.edgetpu.ok, report.edgetpu
    assert report.operators["TRANSPOSE_CONV"] == 1
    assert report.agreement.sqnr_db > 30


@pytest.mark.slow
def test_an_operator_without_int8_form_stays_float_where_the_device_has_floats():
    converted = tflite.convert(network(layers.Lambda(keras.ops.sin)), calibration=IMAGES)
    assert "float32" in inner_types(converted.bytes)
    assert any("stay float32: SIN" in warning for warning in converted.report.warnings)
    assert converted.report.agreement.sqnr_db > 30


@pytest.mark.slow
@pytest.mark.parametrize("target", ["coral", "micro"])
def test_a_device_of_integers_only_refuses_it_and_names_it(target):
    with pytest.raises(ValueError, match=rf"{target}.* does not take: SIN"):
        tflite.convert(network(layers.Lambda(keras.ops.sin)), target=target, calibration=IMAGES)
