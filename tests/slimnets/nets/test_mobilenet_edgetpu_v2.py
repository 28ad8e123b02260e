"""MobileNetEdgeTPUV2: timm's sizes, the Model Garden's blocks, and files for every device."""

import numpy as np
import pytest

import slimnets
from slimnets.weights.families import of_model
from tests.helpers.lively import lively

XS = "mobilenet_edgetpu_v2_xs"
# Trainable parameters of timm's networks, and their multiply-adds at 224, counted there.
TIMM = {
    XS: (4_459_880, 688_214_528),
    "mobilenet_edgetpu_v2_s": (5_986_456, 1_198_002_688),
    "mobilenet_edgetpu_v2_m": (8_462_888, 1_835_637_440),
    "mobilenet_edgetpu_v2_l": (10_921_640, 2_530_786_432),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_parameters_and_macs_are_timms(name):
    model = slimnets.create_model(name)
    cost = slimnets.complexity(model)
    assert (cost.trainable_params, cost.macs) == TIMM[name]
    assert str(of_model(model)) == f"{name} with 1000 classes"


@pytest.fixture(scope="module")
def model():
    net = slimnets.mobilenet_edgetpu_v2_xs((32, 32, 3), num_classes=7)
    return lively(net)


def test_its_table_is_told_from_all_others(model):
    assert str(of_model(model)) == f"{XS} with 7 classes"
    assert of_model(slimnets.mobilenet_edgetpu((32, 32, 3))).network == "mobilenet_edgetpu"


def test_expansions_are_full_grouped_and_pointwise_as_in_the_references(model):
    points = slimnets.end_points(model)
    assert [name for name in points if "/" not in name][:22] == [f"layer_{i}" for i in range(1, 23)]
    groups = [model.get_layer(f"layer_{i}.expand.conv").groups for i in range(3, 10)]
    assert groups == [1, 2, 1, 3, 1, 3, 1]  # of 64 channels each
    assert model.get_layer("layer_9.expand.conv").kernel_size == (3, 3)
    assert model.get_layer("layer_10.expand.conv").kernel_size == (1, 1)
    assert model.get_layer("layer_22.conv").filters == 1280


def test_groups_that_do_not_divide_a_width_are_an_error():
    with pytest.raises(ValueError, match="layer_6 expands 24 channels to 96, which groups of 64"):
        slimnets.mobilenet_edgetpu_v2_xs((32, 32, 3), depth_multiplier=0.5)
    with pytest.raises(TypeError, match="expand must be a Factor, got 128"):
        slimnets.GroupedInvertedResidual(3, 128, 32, 1, 64)


@pytest.mark.slow
def test_groups_become_convolutions_of_their_own_for_coral(model):
    import tflite

    images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype("float32")
    file = tflite.convert(model, target="coral", calibration=images, effort="fast")
    assert file.report.operators["CONV_2D"] == 42 - 3 + 2 + 3 + 3
    report = tflite.check_edgetpu(file.bytes)
    assert (report.ok, report.mapped_share, report.offenders) == (True, 1.0, ())
