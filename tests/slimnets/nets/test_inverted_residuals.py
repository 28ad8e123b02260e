"""MobileNetV2, V3 and EdgeTPU: end points, atrous forms, options and errors."""

import keras
import numpy as np
import pytest

import slimnets
from tests.helpers.closeness import FLOAT64, assert_close, double_precision
from tests.helpers.lively import lively, logits_and_predictions

# Output of each TF-Slim layer at 224: resolution and depth (tables of the papers).
V2 = [(112, 32), (112, 16), *[(56, 24)] * 2, *[(28, 32)] * 3, *[(14, 64)] * 4, *[(14, 96)] * 3,
      *[(7, 160)] * 3, (7, 320), (7, 1280)]  # fmt: skip
V3_LARGE = [(112, 16), (112, 16), *[(56, 24)] * 2, *[(28, 40)] * 3, *[(14, 80)] * 4,
            *[(14, 112)] * 2, *[(7, 160)] * 3, (7, 960)]  # fmt: skip
V3_SMALL = [(112, 16), (56, 16), *[(28, 24)] * 2, *[(14, 40)] * 3, *[(14, 48)] * 2,
            *[(7, 96)] * 3, (7, 576)]  # fmt: skip
EDGETPU = [(112, 32), (112, 16), *[(56, 32)] * 4, *[(28, 48)] * 4, *[(14, 96)] * 8,
           *[(7, 160)] * 4, (7, 192), (7, 1280)]  # fmt: skip
BASES = {
    "mobilenet_v2_base": V2,
    "mobilenet_v3_large_base": V3_LARGE,
    "mobilenet_v3_small_base": V3_SMALL,
    "mobilenet_edgetpu_base": EDGETPU,
}


def build(name, size=224, **kwargs):
    return getattr(slimnets, name)(keras.Input((size, size, 3)), **kwargs)


@pytest.mark.parametrize("output_stride", [None, 16, 8])
@pytest.mark.parametrize("name", BASES)
def test_layers_have_tf_slims_names_and_shapes(name, output_stride):
    _, end_points = build(name, output_stride=output_stride)
    floor = 224 // (output_stride or 32)
    got = [end_points[f"layer_{i + 1}"].shape for i in range(len(BASES[name]))]
    assert [tuple(s) for s in got] == [
        (None, max(n, floor), max(n, floor), c) for n, c in BASES[name]
    ]


def test_blocks_have_tf_slims_inner_end_points():
    _, end_points = build("mobilenet_v2_base")
    assert list(end_points)[:6] == [
        "layer_1",
        "layer_2/depthwise_output",
        "layer_2/output",
        "layer_2",
        "layer_3/expansion_output",
        "layer_3/depthwise_output",
    ]
    assert tuple(end_points["layer_15/expansion_output"].shape) == (None, 14, 14, 576)
    assert tuple(end_points["layer_15/depthwise_output"].shape) == (None, 7, 7, 576)
    assert list(end_points)[-1] == "layer_19"


def test_end_points_of_a_model_keep_tf_slims_keys():
    inputs = keras.Input((64, 64, 3))
    net, built = slimnets.mobilenet_v2_base(inputs, depth_multiplier=0.35)
    read = slimnets.end_points(keras.Model(inputs, net))
    assert list(read) == list(built)
    assert all(read[key] is built[key] for key in built)


@pytest.mark.parametrize("end_point", ["layer_1", "layer_4/expansion_output", "layer_7"])
def test_building_stops_at_an_end_point(end_point):
    _, end_points = build("mobilenet_v2_base", final_endpoint=end_point)
    assert list(end_points)[-1] == end_point


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("mobilenet_v2_base", slimnets.MOBILENET_V2_DEFS),
        # Squeeze-excite means over a map, and the dense map's mean is another number: the
        # minimalistic tables have none.
        ("mobilenet_v3_large_base", slimnets.minimalistic(slimnets.MOBILENET_V3_LARGE_DEFS)),
        ("mobilenet_v3_small_base", slimnets.minimalistic(slimnets.MOBILENET_V3_SMALL_DEFS)),
        ("mobilenet_edgetpu_base", slimnets.MOBILENET_EDGETPU_DEFS),
    ],
)
def test_atrous_outputs_sampled_are_the_undilated_networks(name, table, output_stride):
    image = np.random.default_rng(1).uniform(-1, 1, (1, 129, 129, 3)).astype("float32")
    outputs = []
    for stride in (32, output_stride):
        inputs = keras.Input((129, 129, 3))
        with double_precision():  # V2's sums of residuals, then its ReLU6, magnify rounding
            net, _ = getattr(slimnets, name)(
                inputs,
                conv_defs=table,
                depth_multiplier=0.35,
                output_stride=stride,
                use_explicit_padding=True,
            )
        outputs.append(lively(keras.Model(inputs, net)))
    coarse, dense = (model(image).numpy() for model in outputs)
    sampled = dense[:, :: 32 // output_stride, :: 32 // output_stride]
    assert sampled.shape == coarse.shape
    assert coarse.std() > 0.1
    assert_close(sampled, coarse, FLOAT64)


def test_atrous_keeps_5x5_kernels_and_h_swish_right_up_to_squeeze_excite():
    """V3-Large's first five blocks past stride 8 have no squeeze-excite between them."""
    table = tuple(
        slimnets.InvertedResidual(r.kernel, r.expand, r.depth, False, r.activation, r.stride)
        if isinstance(r, slimnets.InvertedResidual)
        else r
        for r in slimnets.MOBILENET_V3_LARGE_DEFS
    )
    test_atrous_outputs_sampled_are_the_undilated_networks("mobilenet_v3_large_base", table, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "mobilenet_edgetpu"]
)
def test_networks_take_any_size_save_and_predict(name, tmp_path):
    build = getattr(slimnets, name)
    model = lively(build((None, None, 3), depth_multiplier=0.35, num_classes=5))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    image = np.random.default_rng(0).uniform(-1, 1, (2, 40, 57, 3)).astype("float32")
    logits, got = logits_and_predictions(loaded)(image)
    assert_close(logits, logits_and_predictions(model)(image)[0], 1e-5)
    np.testing.assert_allclose(np.sum(got, -1), 1, atol=1e-5)
    features = build((64, 64, 3), depth_multiplier=0.35, num_classes=0)
    assert tuple(features.output.shape[:3]) == (None, 1, 1)


def test_dense_prediction_keeps_the_map():
    model = slimnets.mobilenet_v3_small(
        (65, 65, 3), output_stride=8, global_pool=False, spatial_squeeze=False, num_classes=21
    )
    assert tuple(model.output.shape) == (None, 9, 9, 21)


def test_the_default_dropout_comes_from_the_scope():
    def rate(**kwargs):
        table = slimnets.MOBILENET_V2_DEFS[:2]  # the scope reaches a short network as a long one
        model = slimnets.mobilenet_v2((32, 32, 3), conv_defs=table, **kwargs)
        return [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]

    assert rate() == [pytest.approx(0.2)]
    assert rate(dropout_keep_prob=0.9) == [pytest.approx(0.1)]
    assert rate(arg_scope=slimnets.training_scope(dropout_keep_prob=1.0)) == []
    assert rate(arg_scope=slimnets.training_scope(is_training=False)) == []


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small"])
def test_decay_is_on_standard_convolutions_only(name):
    scope = slimnets.training_scope(weight_decay=1e-3)
    model = getattr(slimnets, name)((32, 32, 3), depth_multiplier=0.35, arg_scope=scope)
    squares = sum(
        float(np.sum(np.square(layer.kernel)))
        for layer in model.layers
        if type(layer) is keras.layers.Conv2D
    )
    assert float(sum(model.losses)) == pytest.approx(0.5e-3 * squares, rel=1e-5)


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v3_small"])
def test_minimalistic_has_no_squeeze_excite_h_swish_or_5x5(name):
    model = getattr(slimnets, name)((32, 32, 3), minimalistic=True)
    kernels = {x.kernel_size for x in model.layers if isinstance(x, keras.layers.DepthwiseConv2D)}
    assert kernels == {(3, 3)}
    assert not [x for x in model.layers if "squeeze_excite" in x.name]
    functions = {x.activation.__name__ for x in model.layers if hasattr(x, "activation")}
    assert functions == {"relu", "linear", "softmax"}


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: slimnets.mobilenet_v2(depth_multiplier=0), ValueError, "must be greater than 0"),
        (lambda: slimnets.mobilenet_v2(output_stride=4), ValueError, "None, 8, 16 or 32, got 4"),
        (
            lambda: build("mobilenet_v2_base", final_endpoint="layer_3/expansion"),
            ValueError,
            "Did you mean 'layer_3/expansion_output'",
        ),
        (
            lambda: slimnets.mobilenet_v2((64, 64, 3), global_pool=False),
            ValueError,
            "map is 2×2",
        ),
        (
            lambda: slimnets.InvertedResidual(3, 0, 16, False, "relu", 1),
            ValueError,
            "expand must be an integer of at least 1",
        ),
        (lambda: slimnets.Factor(-1), ValueError, "times must be a number above 0"),
    ],
)
def test_bad_input_gets_an_error_that_says_what_is_allowed(build, error, message):
    with pytest.raises(error, match=message):
        build()
