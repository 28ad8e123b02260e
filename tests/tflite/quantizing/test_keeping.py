"""`keep`: layers that stay float32 in an int8 file, by name, and what that costs."""

import keras
import pytest
from keras import layers

import tflite
from tests.helpers.lively import lively
from tests.tflite.quantizing.test_effort import SIZE, pictures
from tflite.files import flatbuffer


def network() -> keras.Model:
    x = images = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.ReLU(6, name="act")(x)
    x = layers.DepthwiseConv2D(3, name="middle")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return lively(keras.Model(images, layers.Dense(5, name="head")(x)))


def weight_types(data: bytes) -> dict[str, str]:
    """The type of the weights of each layer with weights, by kind."""
    flat = flatbuffer.unpack(data)
    tensors = flat.subgraphs[0].tensors
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    return {
        flatbuffer.operator_name(flat, operator): flatbuffer.type_name(tensors[operator.inputs[1]])
        for operator in flat.subgraphs[0].operators
        if flatbuffer.operator_name(flat, operator) in kinds
    }


@pytest.mark.slow
@pytest.mark.parametrize("effort", ["fast", "normal"])
@pytest.mark.parametrize(
    ("pattern", "kind"),
    [("stem", "CONV_2D"), ("mid*", "DEPTHWISE_CONV_2D"), ("head", "FULLY_CONNECTED")],
)
def test_a_layer_named_stays_float32_and_the_others_do_not(pattern, kind, effort):
    converted = tflite.convert(
        network(), calibration=pictures(12, seed=1), keep={pattern: "float32"}, effort=effort
    )
    types = weight_types(converted.bytes)
    assert types.pop(kind) == "float32"
    assert set(types.values()) == {"int8"}
    assert converted.report.agreement.sqnr_db > 30
    assert not any("stay float32" in warning for warning in converted.report.warnings)


@pytest.mark.slow
def test_the_report_tells_the_price():
    images = pictures(12, seed=1)
    kept = tflite.convert(network(), calibration=images, keep={"*": "float32"}, effort="fast")
    whole = tflite.convert(network(), calibration=images, effort="fast")
    report = kept.report
    assert report.kept.patterns == ("*",)
    assert report.size > report.kept.size > report.kept.size_before
    assert abs(report.kept.size_before - whole.report.size) < 2000  # metadata
    assert "kept in float32: *, which costs" in str(report)
    assert report.to_dict()["kept"]["milliseconds"] > 0
    assert whole.report.kept is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": {"stme": "float32"}}, "'stme', which the model has not. Did you mean 'stem'"),
        ({"keep": {"stem": "int16"}}, "no kernel that takes int16 and int8"),
        ({"keep": {"stem": "half"}}, "must be 'float32', got 'half'"),
        ({"keep": {"stem": "float32"}, "precision": "dynamic"}, "keep is for precision='int8'"),
        ({"keep": {"stem": "float32"}, "target": "coral"}, "'coral' computes in integers only"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_any_work(options, message):
    with pytest.raises(ValueError, match=message):
        tflite.convert(network(), calibration=pictures(1, seed=1), **options)


@pytest.mark.parametrize("keep", [["stem"], "stem", {3: "float32"}])
def test_anything_but_names_and_types_is_refused(keep):
    with pytest.raises(TypeError, match="keep must map names of layers"):
        tflite.convert(network(), calibration=pictures(1, seed=1), keep=keep)


@pytest.mark.slow
def test_a_layer_of_which_nothing_is_left_is_named():
    with pytest.raises(ValueError, match="keep names 'dropout'"):
        tflite.convert(network(), calibration=pictures(4, seed=1), keep={"dropout": "float32"})
