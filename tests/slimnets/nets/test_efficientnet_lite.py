"""EfficientNet-Lite: the published sizes, the table, and a file that is the Edge TPU's whole."""

import keras
import numpy as np
import pytest

import slimnets
from slimnets.weights.families import of_model
from tests.helpers.lively import lively

# Resolution and depth after each stage of B0 at 224 (the paper's table 1), stem and head included.
LITE0 = [(112, 32), (112, 16), (56, 24), (28, 40), (14, 80), (14, 112), (7, 192), (7, 320),
         (7, 1280)]  # fmt: skip
# README.md of the TPU repository's models/official/efficientnet/lite: parameters and multiply-adds
# in millions. Its multiply-adds also count batch norms and activations: a few per cent more.
PUBLISHED = [(4.7, 407), (5.4, 631), (6.1, 899), (8.2, 1440), (13.0, 2640)]


def lite(number, **kwargs):
    return getattr(slimnets, f"efficientnet_lite{number}")(**kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_parameters_and_macs_are_the_published_ones(number):
    cost = slimnets.complexity(lite(number))
    params, macs = PUBLISHED[number]
    assert round(cost.trainable_params / 1e6, 1) == params
    assert 0.94 * macs < cost.macs / 1e6 < macs
    exact = {0: 4_652_008, 4: 13_006_568}  # timm's efficientnet_lite0 and _lite4
    assert cost.trainable_params == exact.get(number, cost.trainable_params)


def test_lite0_has_the_papers_stages():
    model = lite(0, num_classes=0)
    points = slimnets.end_points(model)
    assert [k for k in points if "/" not in k][:18] == [f"layer_{i}" for i in range(1, 19)]
    ends = [1, 2, 4, 6, 9, 12, 16, 17, 18]  # the stem, the last block of each stage, the head
    assert [points[f"layer_{i}"].shape[2:] for i in ends] == LITE0
    fives = [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.DepthwiseConv2D) and layer.kernel_size == (5, 5)
    ]
    assert len(fives) == 2 + 3 + 4


def test_layers_are_the_references():
    model = lite(2, input_shape=(32, 32, 3))
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {(x.epsilon, x.momentum) for x in norms} == {(1e-3, 0.99)}
    activations = {
        x.activation.__name__ for x in model.layers if isinstance(x, keras.layers.Activation)
    }
    assert activations == {"relu6", "softmax"}
    dropouts = [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert dropouts == [pytest.approx(0.3)]
    # Stem and head stay as they are; nothing follows the first block's 1×1 but batch norm.
    assert model.get_layer("layer_1.conv").filters == 32
    assert model.get_layer("layer_23.conv").filters == 1280
    assert isinstance(model.get_layer("layer_2_output"), keras.layers.Identity)


def test_kernels_start_as_wide_as_the_references():
    """Normal with the variance 2 / (k² · outputs), where a depthwise kernel has one output."""
    model = lite(0, input_shape=(32, 32, 3))
    for layer, fan_out in (("layer_17.expand", 1152), ("layer_16.depthwise", 25)):
        kernel = np.asarray(model.get_layer(f"{layer}.conv").kernel)
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_out), rtol=0.05)


def test_past_the_output_stride_strides_become_dilation():
    model = lite(
        0, input_shape=(64, 64, 3), output_stride=8, use_explicit_padding=True, num_classes=0
    )
    points = slimnets.end_points(model)
    assert points["layer_18"].shape[1:3] == (8, 8)
    rates = {x.dilation_rate for x in model.layers if isinstance(x, keras.layers.DepthwiseConv2D)}
    assert rates == {(1, 1), (2, 2), (4, 4)}


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 5))]
)
def test_each_is_told_from_the_others_and_has_its_own_pictures(number):
    model = lite(number, input_shape=(32, 32, 3), num_classes=7)
    assert str(of_model(model)) == f"efficientnet_lite{number} with 7 classes"
    prepare = slimnets.preprocessing(f"efficientnet_lite{number}")
    assert prepare.size == (slimnets.model_info(f"efficientnet_lite{number}").size,) * 2
    pixels = np.array([[[0, 127, 255]]], np.uint8)
    np.testing.assert_allclose(prepare.normalize(pixels), [[[-127 / 128, 0, 1]]], rtol=1e-6)


@pytest.mark.slow
def test_lite0_maps_to_the_edge_tpu_whole():
    import tflite

    model = lively(lite(0, input_shape=(64, 64, 3), num_classes=7))
    images = np.random.default_rng(0).uniform(-1, 1, (8, 64, 64, 3)).astype("float32")
    file = tflite.convert(model, target="coral", calibration=images, effort="fast")
    report = tflite.check_edgetpu(file.bytes)
    assert (report.ok, report.mapped_share, report.offenders) == (True, 1.0, ())
