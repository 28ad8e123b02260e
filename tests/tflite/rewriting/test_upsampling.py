"""Upsampling by whole factors: the same pixels, in operators that the target has."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tflite
from tests.helpers.small_networks import FORMS, assert_same_function, enliven, kinds, reports
from tflite.rewriting import simplify_for_deployment


def network(layer):
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 5, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="hard_silu")(images)
    return enliven(keras.Model(images, layers.Conv2D(2, 3)(layer(x))))


WHOLE = {
    "nearest": layers.UpSampling2D(2),
    "nearest by 3 and 1": layers.UpSampling2D((3, 1)),
    "nearest by 12 and 7": layers.UpSampling2D((12, 7)),
    "bilinear": layers.UpSampling2D(2, interpolation="bilinear"),
    "bilinear by 3 and 4": layers.UpSampling2D((3, 4), interpolation="bilinear"),
    "bilinear by 1 and 5": layers.UpSampling2D((1, 5), interpolation="bilinear"),
    "resizing": layers.Resizing(12, 20, interpolation="nearest"),
    "bilinear resizing": layers.Resizing(18, 10),
    "operation": lambda x: ops.image.resize(x, (12, 10)),
}
OTHER = {
    "no whole factor": layers.Resizing(9, 8),
    "smaller": layers.Resizing(3, 5, interpolation="nearest"),
    "bicubic": layers.UpSampling2D(2, interpolation="bicubic"),
    "antialiased": lambda x: ops.image.resize(x, (12, 10), antialias=True),
    "padded": layers.Resizing(12, 12, pad_to_aspect_ratio=True),
    "cropped": layers.Resizing(12, 12, crop_to_aspect_ratio=True),
}


@pytest.mark.parametrize(("target", "precision"), FORMS)
@pytest.mark.parametrize("layer", [*WHOLE.values(), *OTHER.values()], ids=[*WHOLE, *OTHER])
def test_every_form_is_the_same_function(layer, target, precision):
    model = network(layer)
    assert_same_function(model, simplify_for_deployment(model, target, precision))


@pytest.mark.parametrize("layer", WHOLE.values(), ids=WHOLE)
def test_coral_needs_no_half_pixels_for_whole_factors(layer):
    found = kinds(simplify_for_deployment(network(layer), "coral"))
    assert "ResizeNearest" in found
    assert not {"UpSampling2D", "Resizing", "Resize"} & set(found)


@pytest.mark.parametrize("layer", OTHER.values(), ids=OTHER)
def test_what_has_no_exact_form_stays(layer):
    assert "ResizeNearest" not in kinds(simplify_for_deployment(network(layer), "coral"))


@pytest.mark.parametrize(
    "layer",
    [
        layers.UpSampling2D(1),
        layers.Resizing(6, 5),
        layers.Resizing(6, 5, interpolation="bicubic"),
        lambda x: ops.image.resize(x, (6, 5), interpolation="lanczos3", antialias=True),
    ],
    ids=["upsampling", "bilinear", "bicubic", "lanczos"],
)
def test_resizing_to_the_size_that_is_there_is_gone(layer):
    model = network(layer)
    for target, precision in FORMS:
        simplified = simplify_for_deployment(model, target, precision)
        assert_same_function(model, simplified)
        assert not {"UpSampling2D", "Resizing", "Resize", "ResizeNearest"} & set(kinds(simplified))


def test_a_factor_with_a_large_prime_is_left_to_the_one_operator():
    found = kinds(simplify_for_deployment(network(layers.UpSampling2D(7)), "android"))
    assert "ResizeNearest" in found
    assert "Concatenate" not in found


def test_the_report_says_what_was_not_written_and_why():
    report = reports(network(layers.Resizing(9, 8)), "coral")["upsampling"]
    (left,) = report.left
    assert left.what == "bilinear upsampling"
    assert "whole factors" in left.reason


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_upsampling_maps_to_the_edge_tpu_and_stays_in_one_partition(interpolation):
    model = network(layers.UpSampling2D(2, interpolation=interpolation))
    images = np.random.default_rng(0).uniform(-1, 1, (10, 6, 5, 3)).astype(np.float32)
    coral = tflite.convert(model, target="coral", calibration=images, effort="fast").report
    assert coral.edgetpu.ok
    assert coral.agreement.sqnr_db > 25
    for precision in ("float32", "int8"):
        file = tflite.convert(model, precision=precision, calibration=images, effort="fast")
        report = file.report
        assert report.partitions == 1
        assert not {"TILE", "RESIZE_NEAREST_NEIGHBOR"} & set(report.operators)
