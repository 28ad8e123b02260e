"""MobileNetV1 against TF-Slim's published facts (the tables of its docstring and its tests)."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import slimnets
from tests.helpers.closeness import (
    FLOAT64,
    assert_close,
    assert_same_probabilities,
    double_precision,
)
from tests.helpers.lively import lively

SIZES = {  # α: total, trainable, {resolution: MACs}; TF-Slim mobilenet_v1.md and docstring
    1.0: (4_253_864, 4_231_976, {224: 568_740_352, 192: 418_121_728, 160: 290_675_200, 128: 186_400_768}),  # noqa: E501
    0.75: (2_601_976, 2_585_560, {224: 325_400_448, 192: 239_273_472, 160: 166_396_800, 128: 106_770_432}),  # noqa: E501
    0.5: (1_342_536, 1_331_592, {224: 149_497_088, 192: 109_970_432, 160: 76_524_800, 128: 49_160_192}),  # noqa: E501
    0.25: (475_544, 470_072, {224: 41_030_272, 192: 30_212_608, 160: 21_059_200, 128: 13_570_048}),
}  # fmt: skip

# TF-Slim mobilenet_v1.py's docstring, α=1 at 224: convolution weights and multiply-adds.
BODY = """
MobilenetV1/Conv2d_0/Conv2D 864 10838016
MobilenetV1/Conv2d_1_depthwise/depthwise 288 3612672
MobilenetV1/Conv2d_1_pointwise/Conv2D 2048 25690112
MobilenetV1/Conv2d_2_depthwise/depthwise 576 1806336
MobilenetV1/Conv2d_2_pointwise/Conv2D 8192 25690112
MobilenetV1/Conv2d_3_depthwise/depthwise 1152 3612672
MobilenetV1/Conv2d_3_pointwise/Conv2D 16384 51380224
MobilenetV1/Conv2d_4_depthwise/depthwise 1152 903168
MobilenetV1/Conv2d_4_pointwise/Conv2D 32768 25690112
MobilenetV1/Conv2d_5_depthwise/depthwise 2304 1806336
MobilenetV1/Conv2d_5_pointwise/Conv2D 65536 51380224
MobilenetV1/Conv2d_6_depthwise/depthwise 2304 451584
MobilenetV1/Conv2d_6_pointwise/Conv2D 131072 25690112
MobilenetV1/Conv2d_7_depthwise/depthwise 4608 903168
MobilenetV1/Conv2d_7_pointwise/Conv2D 262144 51380224
MobilenetV1/Conv2d_8_depthwise/depthwise 4608 903168
MobilenetV1/Conv2d_8_pointwise/Conv2D 262144 51380224
MobilenetV1/Conv2d_9_depthwise/depthwise 4608 903168
MobilenetV1/Conv2d_9_pointwise/Conv2D 262144 51380224
MobilenetV1/Conv2d_10_depthwise/depthwise 4608 903168
MobilenetV1/Conv2d_10_pointwise/Conv2D 262144 51380224
MobilenetV1/Conv2d_11_depthwise/depthwise 4608 903168
MobilenetV1/Conv2d_11_pointwise/Conv2D 262144 51380224
MobilenetV1/Conv2d_12_depthwise/depthwise 4608 225792
MobilenetV1/Conv2d_12_pointwise/Conv2D 524288 25690112
MobilenetV1/Conv2d_13_depthwise/depthwise 9216 451584
MobilenetV1/Conv2d_13_pointwise/Conv2D 1048576 51380224
Total 3185088 567716352
"""

# Resolution and depth of each end point at 224 (TF-Slim mobilenet_v1_test.py).
SHAPES = {
    "Conv2d_0": (112, 32),
    "Conv2d_1_depthwise": (112, 32), "Conv2d_1_pointwise": (112, 64),
    "Conv2d_2_depthwise": (56, 64), "Conv2d_2_pointwise": (56, 128),
    "Conv2d_3_depthwise": (56, 128), "Conv2d_3_pointwise": (56, 128),
    "Conv2d_4_depthwise": (28, 128), "Conv2d_4_pointwise": (28, 256),
    "Conv2d_5_depthwise": (28, 256), "Conv2d_5_pointwise": (28, 256),
    "Conv2d_6_depthwise": (14, 256), "Conv2d_6_pointwise": (14, 512),
    "Conv2d_7_depthwise": (14, 512), "Conv2d_7_pointwise": (14, 512),
    "Conv2d_8_depthwise": (14, 512), "Conv2d_8_pointwise": (14, 512),
    "Conv2d_9_depthwise": (14, 512), "Conv2d_9_pointwise": (14, 512),
    "Conv2d_10_depthwise": (14, 512), "Conv2d_10_pointwise": (14, 512),
    "Conv2d_11_depthwise": (14, 512), "Conv2d_11_pointwise": (14, 512),
    "Conv2d_12_depthwise": (7, 512), "Conv2d_12_pointwise": (7, 1024),
    "Conv2d_13_depthwise": (7, 1024), "Conv2d_13_pointwise": (7, 1024),
}  # fmt: skip


def base(size=224, **kwargs):
    return slimnets.mobilenet_v1_base(keras.Input((size, size, 3)), **kwargs)


@pytest.fixture(scope="module")
def small():
    return lively(slimnets.mobilenet_v1((64, 64, 3), depth_multiplier=0.25, num_classes=7))


@pytest.mark.parametrize("alpha", SIZES)
@pytest.mark.parametrize("size", [224, 192, 160, 128])
def test_parameters_and_macs_are_the_published_ones(alpha, size):
    model = slimnets.mobilenet_v1((size, size, 3), depth_multiplier=alpha)
    cost = slimnets.complexity(model)
    total, trainable, macs = SIZES[alpha]
    assert (cost.params, cost.trainable_params, cost.macs) == (total, trainable, macs[size])


def test_the_body_table_is_tf_slims_to_the_digit():
    inputs = keras.Input((224, 224, 3))
    net, _ = slimnets.mobilenet_v1_base(inputs)
    lines = str(slimnets.complexity(keras.Model(inputs, net, name="MobilenetV1"))).splitlines()
    printed = [" ".join(line.replace(",", "").split()) for line in lines[1:-1]]
    assert printed == BODY.strip().splitlines()


def test_the_body_at_three_quarters_and_128():
    inputs = keras.Input((128, 128, 3))
    net, _ = slimnets.mobilenet_v1_base(inputs, depth_multiplier=0.75)
    rows = [row for row in slimnets.complexity(keras.Model(inputs, net)).layers if row.macs]
    assert sum(row.params for row in rows) == 1_800_144
    assert sum(row.macs for row in rows) == 106_002_432


@pytest.mark.parametrize(
    ("table", "macs", "params"),
    [  # millions, from the paper's tables 4 and 5
        ("MOBILENET_V1_FULL_CONV_DEFS", 4866, 29.3),
        ("MOBILENET_V1_SHALLOW_DEFS", 307, 2.9),
    ],
)
def test_the_papers_ablations_have_the_papers_size(table, macs, params):
    cost = slimnets.complexity(slimnets.mobilenet_v1(conv_defs=getattr(slimnets, table)))
    assert cost.macs / 1e6 == pytest.approx(macs, abs=1.5)
    assert cost.trainable_params / 1e6 == pytest.approx(params, abs=0.05)


@pytest.mark.parametrize(
    ("alpha", "trainable"), [(1, 3_315_428), (0.75, 1_897_924), (0.5, 872_868), (0.25, 240_260)]
)
def test_the_cifar_form_has_the_stated_size(alpha, trainable):
    cost = slimnets.complexity(slimnets.mobilenet_v1_cifar(depth_multiplier=alpha))
    assert cost.trainable_params == trainable
    if alpha == 1:
        assert cost.macs == 46_446_592


@pytest.mark.parametrize(
    ("name", "alpha"), [("075", 0.75), ("050", 0.5), ("025", 0.25)]
)  # fmt: skip
def test_ready_made_widths(name, alpha):
    model = getattr(slimnets, f"mobilenet_v1_{name}")((32, 32, 3))
    assert model.count_params() == SIZES[alpha][0]


@pytest.mark.parametrize("output_stride", [None, 32, 16, 8])
def test_end_points_have_tf_slims_names_order_and_shapes(output_stride):
    _, end_points = base(output_stride=output_stride)
    floor = 224 // (output_stride or 32)
    expected = {k: (None, max(n, floor), max(n, floor), c) for k, (n, c) in SHAPES.items()}
    assert {key: tuple(t.shape) for key, t in end_points.items()} == expected
    assert list(end_points) == list(expected)


@pytest.mark.parametrize("end_point", SHAPES)
def test_building_stops_at_any_end_point(end_point):
    net, end_points = base(final_endpoint=end_point)
    assert list(end_points) == list(SHAPES)[: list(SHAPES).index(end_point) + 1]
    assert tuple(net.shape) == (None, SHAPES[end_point][0], SHAPES[end_point][0], net.shape[-1])


def test_end_points_survive_saving_and_cloning(small, tmp_path):
    small.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    names = [*SHAPES, "AvgPool_1a", "Logits", "Predictions"]
    for model in (small, loaded, keras.models.clone_model(small)):
        assert list(slimnets.end_points(model)) == names


def test_end_points_of_a_foreign_model_are_refused():
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="has no end points"):
        slimnets.end_points(keras.Model(inputs, keras.layers.Dense(2)(inputs)))


def test_widths_scale_with_depth_multiplier_and_stop_at_min_depth():
    def depths(**kwargs):
        return [t.shape[-1] for key, t in base(64, **kwargs)[1].items() if "depthwise" not in key]

    full = depths()
    assert depths(depth_multiplier=0.5) == [d // 2 for d in full]
    assert depths(depth_multiplier=2) == [2 * d for d in full]
    assert depths(depth_multiplier=0.01) == [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 10, 10]
    assert depths(depth_multiplier=0.01, min_depth=16) == [16] * 14
    assert depths(depth_multiplier=0.3)[0] == 9  # int(32 · 0.3), not rounded to 8


@pytest.mark.parametrize(
    ("size", "kwargs", "shape"),
    [
        (224, {}, (None, 1000)),
        (64, {}, (None, 1000)),  # the window shrinks to the 2×2 map
        (256, {}, (None, 1000)),  # only the top-left 7×7 of 8×8
        (None, {}, (None, 1000)),
        (None, {"global_pool": True}, (None, 1000)),
        (224, {"spatial_squeeze": False}, (None, 1, 1, 1000)),
        (320, {"spatial_squeeze": False}, (None, 2, 2, 1000)),
        (512, {"spatial_squeeze": False}, (None, 5, 5, 1000)),
        (320, {"global_pool": True}, (None, 1000)),
        (320, {"global_pool": True, "spatial_squeeze": False}, (None, 1, 1, 1000)),
        (224, {"num_classes": 0}, (None, 1, 1, 256)),
        (224, {"num_classes": None}, (None, 1, 1, 256)),
        (320, {"num_classes": None}, (None, 2, 2, 256)),
    ],
)
def test_head_output_shapes(size, kwargs, shape):
    model = slimnets.mobilenet_v1((size, size, 3), depth_multiplier=0.25, **kwargs)
    assert tuple(model.output.shape) == shape


def test_a_network_of_unknown_size_runs_at_any_size_its_head_takes():
    options = {"depth_multiplier": 0.25, "num_classes": 5, "prediction_fn": None}
    with double_precision():
        model = lively(slimnets.mobilenet_v1((None, None, 3), **options))
        fixed = slimnets.mobilenet_v1((224, 224, 3), **options)
    fixed.set_weights(model.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype("float32")
    assert_close(model(image), fixed(image), 1e-6)  # logits are float32 whatever is before them
    anywhere = slimnets.mobilenet_v1((None, None, 3), depth_multiplier=0.25, global_pool=True)
    assert anywhere(np.zeros((2, 50, 71, 3), "float32")).shape == (2, 1000)


def test_prediction_fn_none_returns_the_logits(small):
    logits = slimnets.mobilenet_v1(
        (64, 64, 3), depth_multiplier=0.25, num_classes=7, prediction_fn=None
    )
    logits.set_weights(small.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    assert_same_probabilities(small(image), ops.softmax(logits(image)), 2e-6)
    assert np.allclose(np.sum(small(image), axis=-1), 1)


def test_inputs_may_be_a_keras_tensor():
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    model = slimnets.mobilenet_v1(inputs=scaled, depth_multiplier=0.25, num_classes=3)
    assert model(np.zeros((1, 32, 32, 3), "uint8")).shape == (1, 3)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: base(depth_multiplier=0), ValueError, "depth_multiplier must be greater than 0"),
        (lambda: base(depth_multiplier=-0.5), ValueError, "greater than 0.*got -0.5"),
        (lambda: base(depth_multiplier=float("nan")), ValueError, "greater than 0.*got nan"),
        (lambda: base(depth_multiplier="0.5"), TypeError, "must be a number greater than 0"),
        (lambda: base(min_depth=0), ValueError, "min_depth must be an integer of at least 1"),
        (lambda: base(output_stride=12), ValueError, "must be None, 8, 16 or 32, got 12"),
        (lambda: base(final_endpoint="Conv2d_3_pointwse"), ValueError, "mean 'Conv2d_3_pointwise'"),
        (lambda: base(final_endpoint="Conv2d_14"), ValueError, "Unknown final_endpoint"),
        (lambda: base(conv_defs=[("conv", 3)]), ValueError, r"'tuple' at conv_defs\[0\]"),
        (lambda: base(conv_defs=[]), ValueError, "non-empty tuple of records"),
        (lambda: slimnets.Conv(3, 0, 32), ValueError, "stride must be an integer of at least 1"),
        (lambda: slimnets.Conv((3, 5), 1, 32), ValueError, "kernel must be square"),
        (lambda: slimnets.DepthSepConv(3, 1, 2.5), ValueError, "depth must be an integer"),
        (lambda: slimnets.mobilenet_v1((224, 224)), ValueError, "height, width, channels"),
        (lambda: slimnets.mobilenet_v1((64, 64, None)), ValueError, "height, width, channels"),
        (lambda: slimnets.mobilenet_v1(inputs=keras.Input((8,))), ValueError, "must have rank 4"),
        (lambda: slimnets.mobilenet_v1((320, 320, 3)), ValueError, "pass global_pool=True"),
        (lambda: slimnets.mobilenet_v1(num_classes=-1), ValueError, "num_classes must be"),
        (lambda: slimnets.mobilenet_v1(dropout_keep_prob=0), ValueError, r"in \(0, 1\], got 0"),
    ],
)
def test_bad_input_gets_an_error_that_says_what_is_allowed(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_custom_conv_defs_as_tf_slim_users_write_them():
    table = [slimnets.Conv([3, 3], 2, 16), slimnets.DepthSepConv([3, 3], 2, 24)]
    net, end_points = base(64, conv_defs=table)
    assert list(end_points) == ["Conv2d_0", "Conv2d_1_depthwise", "Conv2d_1_pointwise"]
    assert tuple(net.shape) == (None, 16, 16, 24)


def test_fixed_padding_equals_same_at_stride_1_and_not_at_stride_2():
    keras.utils.set_random_seed(0)  # some initial weights let next to nothing through the ReLUs
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")

    def pair(table):
        models = []
        for explicit in (False, True):
            inputs = keras.Input((32, 32, 3))
            with double_precision():
                net, _ = slimnets.mobilenet_v1_base(
                    inputs, conv_defs=table, use_explicit_padding=explicit
                )
            models.append(keras.Model(inputs, net))
        models[1].set_weights(models[0].get_weights())
        return [model(image).numpy() for model in models]

    same, fixed = pair([slimnets.Conv(3, 1, 8), slimnets.DepthSepConv(5, 1, 8)])
    assert_close(same, fixed, FLOAT64)
    same, fixed = pair([slimnets.Conv(3, 2, 8), slimnets.DepthSepConv(3, 2, 8)])
    assert same.shape == fixed.shape
    assert np.abs(same - fixed).max() > 1e-2


def test_fixed_padding_is_what_pytorch_pads():
    """Against a direct computation: k//2 zeros on each side, every second window."""
    inputs = keras.Input((6, 6, 1))
    net, _ = slimnets.mobilenet_v1_base(
        inputs, conv_defs=[slimnets.Conv(3, 2, 8)], use_explicit_padding=True
    )
    model = keras.Model(inputs, net)
    model.get_layer("Conv2d_0.conv").set_weights([np.ones((3, 3, 1, 8), "float32")])
    image = np.random.default_rng(0).uniform(0, 0.5, (6, 6)).astype("float32")
    padded = np.pad(image, 1)
    windows = [[padded[r : r + 3, c : c + 3].sum() for c in (0, 2, 4)] for r in (0, 2, 4)]
    expected = np.minimum(np.array(windows) / np.sqrt(1 + 1e-3), 6)
    np.testing.assert_allclose(model(image[None, :, :, None])[0, :, :, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(("output_stride", "size"), [(8, 257), (16, 257)])
def test_atrous_outputs_sampled_are_the_undilated_networks(output_stride, size):
    """Same weights, and the coarse positions out of the dense map: equal away from borders."""
    image = np.random.default_rng(1).uniform(-1, 1, (1, size, size, 3)).astype("float32")
    outputs = []
    for stride in (32, output_stride):
        inputs = keras.Input((size, size, 3))
        with double_precision():
            net, _ = slimnets.mobilenet_v1_base(
                inputs, depth_multiplier=0.25, output_stride=stride, use_explicit_padding=True
            )
        outputs.append(lively(keras.Model(inputs, net)))
    outputs[1].set_weights(outputs[0].get_weights())
    coarse, dense = (model(image).numpy() for model in outputs)
    step = 32 // output_stride
    sampled = dense[:, ::step, ::step]
    assert sampled.shape == coarse.shape
    assert coarse.std() > 0.1
    assert_close(sampled, coarse, FLOAT64)


@pytest.mark.slow
def test_mixed_precision_trains_and_predicts_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=0.25, num_classes=3)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("Conv2d_0.conv").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"
    model.compile("sgd", "sparse_categorical_crossentropy")
    images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype("float32")
    loss = model.train_on_batch(images, np.arange(8) % 3)
    assert np.isfinite(loss)


_RELOAD = """
import sys, keras, numpy as np
model = keras.models.load_model(sys.argv[1])
assert "slimnets" not in sys.modules
image = np.random.default_rng(3).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
np.save(sys.argv[2], np.asarray(model(image)))
"""


@pytest.mark.slow
def test_a_saved_network_loads_in_a_new_process_that_never_saw_slimnets(small, tmp_path):
    small.save(tmp_path / "m.keras")
    command = [sys.executable, "-c", _RELOAD, str(tmp_path / "m.keras"), str(tmp_path / "y.npy")]
    subprocess.run(command, check=True, cwd=tmp_path)
    image = np.random.default_rng(3).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    assert_same_probabilities(np.load(tmp_path / "y.npy"), small(image), 2e-6)


_JAX = """
import sys, keras, numpy as np, slimnets
assert keras.backend.backend() == "jax"
model = slimnets.mobilenet_v1((32, 32, 3), num_classes=7, conv_defs=slimnets.MOBILENET_V1_DEFS[:5])
model.load_weights(sys.argv[1])
image = np.random.default_rng(3).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
np.save(sys.argv[2], np.asarray(model(image)))
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
def test_the_same_network_builds_on_the_jax_backend(tmp_path):
    table = slimnets.MOBILENET_V1_DEFS[:5]  # JAX compiles each layer: a short body will do
    model = lively(slimnets.mobilenet_v1((32, 32, 3), num_classes=7, conv_defs=table))
    model.save_weights(tmp_path / "m.weights.h5")
    files = [str(tmp_path / "m.weights.h5"), str(tmp_path / "y.npy")]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", _JAX, *files], check=True, env=environment)
    image = np.random.default_rng(3).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    assert_same_probabilities(np.load(tmp_path / "y.npy"), model(image), 1e-5)
