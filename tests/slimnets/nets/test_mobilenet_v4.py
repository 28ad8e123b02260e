"""MobileNetV4: the published sizes, the table's bookkeeping, and files that map whole."""

import keras
import numpy as np
import pytest

import slimnets
from slimnets.weights.families import of_model
from tests.helpers.lively import lively

# timm's networks of these names: trainable parameters, and multiply-adds in 10⁹ at the size
# (results/benchmark-infer-*.csv, two digits behind the point).
PUBLISHED = [
    ("small", {}, 224, 3_774_024, 0.19),
    ("small", {"depth_multiplier": 0.5}, 224, 2_238_952, 0.07),
    ("small", {"depth_multiplier": 0.35}, 224, 1_905_384, None),
    ("medium", {}, 224, 9_715_512, 0.84),
    ("large", {}, 384, 32_590_864, 6.43),
]


def conv(size, **kwargs):
    return getattr(slimnets, f"mobilenet_v4_conv_{size}")(**kwargs)


@pytest.mark.parametrize(
    ("size", "options", "pixels", "trainable", "gmacs"),
    [row if row[0] == "small" else pytest.param(*row, marks=pytest.mark.slow) for row in PUBLISHED],
)
def test_parameters_and_macs_are_the_published_ones(size, options, pixels, trainable, gmacs):
    model = conv(size, input_shape=(pixels, pixels, 3), **options)
    cost = slimnets.complexity(model)
    assert cost.trainable_params == trainable
    # timm's counter takes batch norms and activations as well: up to 2 % more.
    assert gmacs is None or 0.97 * gmacs - 0.005 < cost.macs / 1e9 < gmacs + 0.005
    assert of_model(model).options == options
    # Squeeze-excite and h-swish, which cost accuracy in int8, are not in it.
    assert {x.activation.__name__ for x in model.layers if hasattr(x, "activation")} <= {
        "relu",
        "linear",
        "softmax",
    }


@pytest.fixture(scope="module")
def small():
    return conv("small", input_shape=(96, 96, 3), num_classes=7, depth_multiplier=0.5)


def test_end_points_are_the_layers_of_the_table(small):
    points = slimnets.end_points(small)
    layers = [key for key in points if key.startswith("layer_") and "/" not in key]
    assert layers == [f"layer_{number}" for number in range(1, 19)]
    assert points["layer_5"].shape == (None, 12, 12, 32)
    assert "layer_11/depthwise_output" not in points  # a ConvNeXt block has none
    assert points["layer_11/expansion_output"].shape == (None, 6, 6, 192)
    assert [points[key].shape[-1] for key in ("layer_17", "layer_18", "Conv_head")] == [
        64,
        480,
        1280,
    ]


def test_past_the_output_stride_strides_become_dilation():
    net, points = slimnets.mobilenet_v4_conv_small_base(
        keras.Input((64, 64, 3)), output_stride=8, use_explicit_padding=True, depth_multiplier=0.35
    )
    assert net.shape[1:3] == points["layer_5"].shape[1:3] == (8, 8)
    model = keras.Model(points["layer_1"], net)
    rates = {
        layer.name: layer.dilation_rate[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.DepthwiseConv2D)
    }
    # The block that gives up its stride runs at the rate so far; then the rate grows.
    assert (rates["layer_6.depthwise.conv"], rates["layer_7.depthwise.conv"]) == (1, 2)
    assert (rates["layer_12.start.conv"], rates["layer_13.start.conv"]) == (2, 4)


def test_only_with_its_stem_unfixed_a_narrow_network_has_a_narrow_stem():
    narrow = {"input_shape": (32, 32, 3), "depth_multiplier": 0.5, "num_classes": 0}
    assert conv("small", **narrow).get_layer("layer_1.conv").filters == 32
    free = conv("small", fixed_stem=False, **narrow)
    assert free.get_layer("layer_1.conv").filters == 16
    assert of_model(free).options == {"depth_multiplier": 0.5, "fixed_stem": False}


@pytest.mark.parametrize(
    ("record", "message"),
    [((0, 0, 2, 4, 8), "no depthwise"), ((-1, 3, 1, 4, 8), "start"), ((3, 3, 1, 0, 8), "times")],
)
def test_a_record_that_cannot_be_built_is_refused(record, message):
    with pytest.raises(ValueError, match=message):
        slimnets.UniversalInvertedBottleneck(*record)


@pytest.mark.slow
def test_an_int8_file_is_one_partition_and_the_edge_tpus_whole(small):
    import tflite

    images = np.random.default_rng(0).uniform(-1, 1, (8, 96, 96, 3)).astype("float32")
    model = lively(small)
    coral = tflite.convert(model, target="coral", calibration=images, effort="fast")
    report = tflite.check_edgetpu(coral.bytes)
    assert (report.ok, report.mapped_share, report.offenders) == (True, 1.0, ())
    for target, precision in (("android", "int8"), ("cpu", "float32")):
        result = tflite.convert(
            model, target=target, precision=precision, calibration=images, effort="fast"
        )
        assert result.report.partitions == 1
