"""Concatenations of many parts stay the same function, and in one partition."""

import keras
import numpy as np
import pytest
from keras import layers

import tflite
from tests.helpers.small_networks import assert_same_function, kinds, reports
from tflite.rewriting import simplify_for_deployment
from tflite.rewriting.passes import Change


def network(parts: int, axis: int = -1) -> keras.Model:
    images = keras.Input((6, 6, 3))
    found = [layers.Conv2D(2 + i % 3, 1)(images) for i in range(parts)]
    if axis != -1:
        found = [layers.Conv2D(2, 1)(each) for each in found]
    return keras.Model(images, layers.Concatenate(axis, name="all")(found))


@pytest.mark.parametrize(("parts", "steps"), [(5, 1), (6, 2), (7, 3), (26, 7), (31, 9)])
def test_many_parts_are_joined_five_at_a_time(parts, steps):
    model = network(parts)
    simplified = simplify_for_deployment(model, "android")
    assert kinds(simplified).count("Concatenate") == steps
    assert_same_function(model, simplified)


def test_one_part_many_times():
    images = keras.Input((4, 4, 3))
    x = layers.Conv2D(2, 1)(images)
    model = keras.Model(images, layers.Concatenate()([x] * 12))
    assert_same_function(model, simplify_for_deployment(model, "android"))


def test_other_axes_and_other_targets():
    model = network(7, axis=1)
    assert_same_function(model, simplify_for_deployment(model, "android"))
    for target in ("coral", "micro"):
        assert kinds(simplify_for_deployment(model, target)).count("Concatenate") == 1
    (change,) = reports(model, "android")["concatenations"].changed
    assert change == Change("all", "concatenation", "done by 5 at a time")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_they_stay_in_one_partition(precision):
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype(np.float32)
    report = tflite.convert(
        network(7), precision=precision, calibration=images, effort="fast"
    ).report
    assert report.partitions == 1
    assert set(report.outside) <= {"QUANTIZE"}
