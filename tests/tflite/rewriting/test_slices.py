"""Slices of a convolution's output, cut in its weights."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tflite
from tests.helpers.small_networks import assert_same_function, enliven, kinds, reports
from tflite.rewriting import simplify_for_deployment


def cut_in_three(extra_reader: bool = False) -> keras.Model:
    images = keras.Input((8, 8, 6))
    x = layers.Activation("relu")(layers.Conv2D(12, 1)(images))
    pieces = [x[..., :3], x[..., 3:7], x[:, :, :, 7:]]
    joint = layers.Concatenate()([pieces[2], pieces[0]])
    outputs = [layers.Conv2D(4, 1)(joint), layers.DepthwiseConv2D(3, padding="same")(pieces[1])]
    outputs += [layers.Conv2D(4, 1)(x)] if extra_reader else []
    return enliven(keras.Model(images, layers.Add()(outputs)))


def test_slices_of_a_convolution_become_convolutions_in_int8():
    model = cut_in_three()
    simplified = simplify_for_deployment(model, "android")
    assert_same_function(model, simplified)
    assert "GetItem" not in kinds(simplified)
    convolutions = [x for x in simplified.layers if type(x) is layers.Conv2D]
    assert sorted(x.filters for x in convolutions) == [3, 4, 4, 5]


def test_slices_stay_in_float32_and_where_the_whole_is_read_too():
    for model, precision in ((cut_in_three(), "float32"), (cut_in_three(True), "int8")):
        simplified = simplify_for_deployment(model, "android", precision)
        assert_same_function(model, simplified)
        assert kinds(simplified).count("GetItem") == 3


def test_each_slice_is_reported_cut_or_left_with_the_reason():
    assert len(reports(cut_in_three())["slices"].changed) == 3
    for model, precision, reason in (
        (cut_in_three(), "float32", "wide matrix products win in float"),
        (cut_in_three(True), "int8", "the whole is read as well"),
    ):
        report = reports(model, "android", precision)["slices"]
        assert report.changed == ()
        assert {left.reason for left in report.left} == {reason}


@pytest.mark.slow
@pytest.mark.parametrize("parts", [2, [1, 5]], ids=["halves", "at indices"])
def test_a_split_of_which_a_piece_is_not_read_is_int8_all_the_same(parts):
    images = keras.Input((8, 8, 3))
    piece = ops.split(layers.Conv2D(8, 3)(images), parts, axis=-1)[1]
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1)(piece))
    model = enliven(keras.Model(images, layers.Dense(4)(x)))
    pictures = np.random.default_rng(0).uniform(-1, 1, (12, 8, 8, 3)).astype(np.float32)
    report = tflite.convert(model, target="coral", calibration=pictures).report
    assert report.edgetpu.ok
    assert report.agreement.sqnr_db > 30
