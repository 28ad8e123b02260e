"""Checkpoints of TensorFlow's Object Detection API: what the API itself says with the same values.

Names, shapes and outputs come from the API (`tests/reference/make_object_detection.py`).
"""

import json

import keras
import numpy as np
import pytest
from rich.console import Console

import slimnets
from slimnets import sidecar
from slimnets.cli import import_weights
from slimnets.cli.command_flags import Flags
from slimnets.weights import load_weights, source_requirements
from slimnets.weights.families import of_model
from tests.helpers.checkpoints import write_checkpoint
from tests.reference import dense_golden

pytestmark = pytest.mark.slow  # whole detectors

TF = {"style": "tensorflow"}
V2 = {"backbone": "mobilenet_v2", **TF}
V2_035 = {**V2, "depth_multiplier": 0.35, "shrink_last": True, "min_depth": 16}
SMALL = {"input_shape": (64, 64, 3)}
# The API's gates of squeeze-excite are relu6(x + 3) * 0.16667, and not a sixth.
GATE = np.float32(6 * 0.16667)


def values(name):
    """The API's variables; the layer behind each gate has what its gate has too much."""
    found = dense_golden.load(f"dense_tf_ssdlite_{name}").weights()
    for gate in [key for key in found if key.endswith("squeeze_excite/Conv_1/weights")]:
        found[gate.replace("squeeze_excite/Conv_1", "project")] *= GATE
    return found


def as_trained(variables):
    """Averages beside poorer raw weights, optimizer slots, counters, ranges for quantization."""
    raw = {name: value + 1 for name, value in variables.items()}
    averages = {f"{name}/ExponentialMovingAverage": v for name, v in variables.items()}
    slots = {f"OptimizeLoss/{name}/Momentum": v for name, v in variables.items()}
    ranges = {
        "BoxPredictor_0/ClassPredictor/weights_quant/min": np.float32(0),
        "FeatureExtractor/MobilenetV2/expanded_conv_2/add/add_quant/max": np.float32(6),
        "BoxPredictor_0/BoxEncodingPredictor_depthwise/act_quant/max/biased": np.float32(6),
    }
    return raw | averages | slots | ranges | {"global_step": np.int64(7)}


@pytest.fixture(scope="module")
def variables():
    return values("v2_x0.35")


@pytest.fixture(scope="module")
def checkpoint(variables, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("v2") / "model.ckpt", as_trained(variables))


@pytest.mark.parametrize(
    ("name", "kwargs", "params"),
    [  # What the API says it trains; the papers have 4.3, 3.22 and 1.77 M, with other classes.
        ("v1_x0.25", {"backbone": "mobilenet_v1_025", "num_classes": 3}, 296_552),
        ("v2_x0.35", {"backbone": "mobilenet_v2", "num_classes": 3}, 460_124),
        ("v3_small", {"backbone": "mobilenet_v3_small"}, 1_785_743),
        ("v2", {"backbone": "mobilenet_v2"}, 4_500_543),
        ("v3_large", {}, 3_248_255),
    ],
)
def test_a_checkpoint_gives_the_apis_heads_and_anchors(name, kwargs, params, tmp_path):
    wanted = dense_golden.load(f"dense_tf_ssdlite_{name}")
    path = write_checkpoint(tmp_path / "model.ckpt", values(name))
    model = slimnets.ssdlite(
        input_shape=(wanted.height, wanted.width, 3), weights=path, **TF, **kwargs
    )
    assert slimnets.complexity(model).trainable_params == params
    heads = model(wanted.images())
    for kind in ("scores", "boxes"):
        got, (shape, mean, std) = np.asarray(heads[kind]), wanted.stats[kind]
        assert list(got.shape) == shape
        assert abs(got.mean() - mean) <= 1e-4 * std
        error = np.abs(dense_golden.sampled(got) - wanted.arrays[kind]).max() / std
        assert error <= 1e-4, f"{kind}: {error:.1e} of a standard deviation"
    y, x, height, width = slimnets.anchors(model)[::7].T
    corners = np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], -1)
    np.testing.assert_allclose(corners, wanted.arrays["anchors"], atol=1e-6)


def kernel(model, layer):
    return model.get_layer(layer).kernel.numpy()


def test_averages_count_and_a_trainings_leftovers_do_not(checkpoint, variables):
    model = slimnets.ssdlite(num_classes=3, weights=checkpoint, **SMALL, **V2)
    predictor = variables["BoxPredictor_3/BoxEncodingPredictor/weights"]
    np.testing.assert_array_equal(kernel(model, "boxes_3.predict.conv"), predictor)
    # min_depth, shrink_last and depth_multiplier were found in the checkpoint.
    assert str(of_model(model)) == (
        "ssdlite(backbone=mobilenet_v2, depth_multiplier=0.35, shrink_last=True, min_depth=16, "
        "style=tensorflow) with 3 classes"
    )
    assert source_requirements(checkpoint, "ssdlite") == V2_035
    assert source_requirements(checkpoint) == {}  # as a classifier's


def test_other_classes_keep_all_but_the_score_heads(checkpoint, variables, caplog):
    model = slimnets.ssdlite(
        "mobilenet_v2_035", num_classes=5, weights=checkpoint, **SMALL, style="tensorflow"
    )
    for k in (0, 5):
        depthwise = variables[f"BoxPredictor_{k}/ClassPredictor_depthwise/depthwise_weights"]
        np.testing.assert_array_equal(kernel(model, f"scores_{k}.depthwise.conv"), depthwise)
    assert kernel(model, "scores_0.predict.conv").shape[-1] == 3 * 6
    assert "everything but BoxPredictor_0/ClassPredictor/weights" in caplog.text
    assert "the source has 3 classes, the model 5 classes" in caplog.text
    with pytest.raises(ValueError, match=r"Build the model with num_classes=3, or pass strict="):
        load_weights(model, checkpoint)
    load_weights(model, checkpoint, strict=False)


@pytest.mark.parametrize(
    ("kwargs", "model"),
    [
        (TF, r"ssdlite\(.*style=tensorflow\)"),
        ({"backbone": "mobilenet_v1", **TF}, r"ssdlite\(backbone=mobilenet_v1,"),
        ({"backbone": "mobilenet_v2"}, r"ssdlite\(backbone=mobilenet_v2,.*min_depth=16\)"),
        ({**V2, "depth_multiplier": 0.5}, r"ssdlite\(.*depth_multiplier=0\.5"),
        ({**V2, "min_depth": 8}, r"ssdlite\(.*shrink_last=True, style"),
    ],
)
def test_another_detector_is_refused_with_the_one_that_fits(checkpoint, kwargs, model):
    fits = r"ssdlite\(backbone=mobilenet_v2, depth_multiplier=0\.35, shrink_last=True, min_depth=16"
    with pytest.raises(ValueError, match=rf"source looks like {fits}.*model.* is {model}"):
        slimnets.ssdlite(num_classes=3, weights=checkpoint, **SMALL, **kwargs)


def test_a_segmenter_does_not_take_a_whole_detector(checkpoint):
    model = slimnets.lraspp("mobilenet_v2_035", **SMALL)
    with pytest.raises(ValueError, match=r"like ssdlite\(.*Object Detection API; .*is lraspp\("):
        load_weights(model, checkpoint)


def test_classifiers_and_segmenters_take_the_backbone(checkpoint, variables, caplog):
    last = variables["FeatureExtractor/MobilenetV2/Conv_1/weights"]
    widths = {"depth_multiplier": 0.35, "shrink_last": True, "min_depth": 16}
    classifier = slimnets.mobilenet_v2(weights=checkpoint, num_classes=4, **SMALL, **widths)
    np.testing.assert_array_equal(kernel(classifier, "layer_19.conv"), last)
    assert "BoxPredictor_0/BoxEncodingPredictor/weights" in caplog.text
    segmenter = slimnets.lraspp("mobilenet_v2", weights=checkpoint, **SMALL, **widths)
    np.testing.assert_array_equal(kernel(segmenter, "layer_19.conv"), last)
    with pytest.raises(ValueError, match=r"looks like mobilenet_v2\(.*min_depth=16\), the model"):
        load_weights(slimnets.mobilenet_v2_035(**SMALL), checkpoint, strict=False)


def test_of_other_detectors_the_backbone_is_taken(variables, caplog):
    dense = {name: v for name, v in variables.items() if "Predictor_depthwise" not in name}
    widths = {k: v for k, v in V2_035.items() if k not in V2}
    model = slimnets.ssdlite(weights=dense, **SMALL, **V2, **widths)
    last = variables["FeatureExtractor/MobilenetV2/Conv_1/weights"]
    np.testing.assert_array_equal(kernel(model, "layer_19.conv"), last)
    assert "FeatureExtractor/MobilenetV2/layer_19_1_Conv2d_2_1x1_89/weights" in caplog.text


def run(*words):
    argv = ["slimnets import-weights", *map(str, words)]
    define = Flags(argv)
    import_weights.define_flags(define)
    return import_weights.run(define.values(argv)[1:], define.values, Console(quiet=True))


def test_import_weights_finds_backbone_and_form(checkpoint, variables, tmp_path):
    out = tmp_path / "boxes.keras"
    with pytest.raises(ValueError, match=r"Pass --num_classes=3, or pass --nostrict"):
        run("ssdlite", checkpoint, out, "--input_size=64")
    result = run("ssdlite", checkpoint, out, "--input_size=64", "--num_classes=3")
    assert result["tensors"] == len(variables) == 404
    assert (result["kept"], result["left"]) == ([], [])
    json.dumps(result)
    model = keras.models.load_model(out)
    predictor = variables["BoxPredictor_1/ClassPredictor/weights"]
    np.testing.assert_array_equal(kernel(model, "scores_1.predict.conv"), predictor)
    described = sidecar.read(out, model)
    assert described.options == {**V2_035, "num_classes": 3, "input_shape": (64, 64, 3)}
    # 2x / 255 - 1, of all of a picture, whatever its shape.
    how = described.preprocessing
    assert (how.size, how.crop_fraction, how.keep_aspect_ratio) == ((64, 64), 1.0, False)
    assert how.range == (-1.0, 1.0)
    again = slimnets.create_model(described.network, **described.options)
    assert again.count_params() == model.count_params()
