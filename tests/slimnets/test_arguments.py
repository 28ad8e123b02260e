"""Arguments of another kind end in one line that says which, and what is taken."""

import math

import numpy as np
import pytest

import slimnets
from slimnets import data
from slimnets.arguments import check_arguments, check_scope_value
from slimnets.training.config import check_config


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"input_shape": 224}, ValueError, r"input_shape must be \(height, width, channels\).*224"),
        ({"input_shape": (True, 32, 3)}, ValueError, "input_shape"),
        ({"input_shape": "224"}, ValueError, "input_shape"),
        ({"use_explicit_padding": "yes"}, TypeError, "must be True or False, got 'yes'"),
        ({"minimalistic": 2}, TypeError, "minimalistic must be True or False, got 2"),
        ({"num_classes": True}, TypeError, "num_classes must be a whole number.*True"),
        ({"num_classes": "10"}, TypeError, "num_classes"),
        ({"num_classes": []}, TypeError, "num_classes"),
        ({"name": ""}, TypeError, "name must be text"),
        ({"prediction_fn": "softmaxx"}, ValueError, "prediction_fn.*'softmaxx'"),
    ],
)
def test_what_networks_share_is_checked_first(arguments, error, words):
    with pytest.raises(error, match=words):
        check_arguments(arguments)
    with pytest.raises(error, match=words):
        slimnets.mobilenet_v3_small(**{"input_shape": (32, 32, 3), **arguments})


def test_the_first_argument_of_a_network_is_its_shape():
    with pytest.raises(ValueError, match="input_shape"):
        slimnets.mobilenet_v1(224)
    assert slimnets.mobilenet_v1(np.array([32, 32, 3]), depth_multiplier=0.25, num_classes=0)


@pytest.mark.parametrize("epsilon", [math.nan, -1, 0, "small", True])
def test_an_epsilon_is_a_small_number(epsilon):
    with pytest.raises(ValueError, match=r"arg_scope\['batch_norm'\]\['epsilon'\]"):
        check_scope_value("batch_norm", "epsilon", epsilon)
    with (
        pytest.raises(ValueError, match="epsilon"),
        slimnets.arg_scope({"batch_norm": {"epsilon": epsilon}}),
    ):
        pass


@pytest.mark.parametrize("model", [None, 3, "mobilenet_v1", object()])
def test_what_is_no_model_is_named(model):
    for function in (slimnets.end_points, slimnets.export_torch, slimnets.complexity):
        with pytest.raises(TypeError, match=type(model).__name__):
            function(model)


@pytest.mark.parametrize("source", [None, 3, ["folder:x"], b"mnist"])
def test_a_data_source_is_told_by_its_name(source):
    with pytest.raises(TypeError, match="a data source is told by a name"):
        data.load(source)


def test_a_shift_moves_a_picture_within_itself():
    with pytest.raises(ValueError, match=r"config\.data\.shift must be less than.*got 5000"):
        check_config({"data": {"shift": 5000}})


@pytest.mark.parametrize("peak", [math.nan, math.inf, "fast"])
def test_a_learning_rate_is_a_number(peak):
    with pytest.raises(ValueError, match=r"config\.learning_rate\.peak"):
        check_config({"learning_rate": {"peak": peak}})


@pytest.mark.parametrize("depth_multiplier", [1e9, math.inf, math.nan])
def test_a_width_has_a_limit(depth_multiplier):
    with pytest.raises(ValueError, match="depth_multiplier must be greater than 0 and at most 100"):
        slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=depth_multiplier)
