"""SqueezeNet and ShuffleNet: forms, routing of channels, and errors."""

import keras
import numpy as np
import pytest

import slimnets
from slimnets.nets.shufflenet_v1 import channel_shuffle
from slimnets.nets.shufflenet_v2 import route
from tests.helpers.closeness import assert_close
from tests.helpers.lively import lively, logits_and_predictions


def shuffle(x, groups):
    """Output channel i·g + k takes input channel k·n + i, written out."""
    n = x.shape[-1] // groups
    out = np.empty_like(x)
    for i in range(n):
        for k in range(groups):
            out[..., i * groups + k] = x[..., k * n + i]
    return out


@pytest.mark.parametrize("size", [4, None])
def test_channel_shuffle_is_the_papers_permutation(size):
    inputs = keras.Input((size, size, 12))
    model = keras.Model(inputs, channel_shuffle(inputs, 3, "x.shuffle"))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 12)).astype("float32")
    np.testing.assert_array_equal(model(x), shuffle(x, 3))


@pytest.mark.parametrize(("half", "units"), [(24, 4), (58, 4), (58, 8), (232, 4), (2, 1), (5, 3)])
def test_routing_gives_each_unit_the_channels_that_shuffling_would(half, units):
    """Run the reference's split, concat and shuffle on labels, and ours on slices of labels."""
    made = {b: [(b, c) for c in range(half)] for b in ["left", *range(units)]}
    net = np.array(
        [made[b][c] for c in range(half) for b in ("left", 0)],
        dtype=[("branch", "U4"), ("c", int)],
    )
    routing = route(half, units)
    waiting = [[] for _ in range(units + 1)]

    def store(branch):
        kept = [made[branch][c] for c in routing.produced[branch]]
        start = 0
        for exit_, channels in routing.cuts[branch]:
            waiting[exit_] += kept[start : start + channels]
            start += channels

    store("left")
    store(0)
    for unit in range(1, units):
        leaving = [(str(b), c) for b, c in net[half:].tolist()]
        read = [(str(b), c) for b, c in waiting[unit]]
        assert read == [leaving[place] for place in routing.reads[unit]]
        assert sorted(read) == sorted(leaving)
        store(unit)
        new = np.array(made[unit], dtype=net.dtype)
        net = shuffle(np.concatenate([net[:half], new]), 2)
    final = [(str(b), c) for b, c in net.tolist()]
    read = [(str(b), c) for b, c in waiting[units]]
    assert read == [final[place] for place in routing.reads[units]]
    assert sorted(read) == sorted(final)


def test_shufflenet_v2_has_no_transpose_and_no_reshape_of_maps():
    model = slimnets.shufflenet_v2((64, 64, 3))
    assert {type(op).__name__ for op in model.operations} == {
        "Activation",
        "BatchNormalization",
        "Concatenate",
        "Conv2D",
        "DepthwiseConv2D",
        "GetItem",
        "GlobalAveragePooling2D",
        "InputLayer",
        "MaxPooling2D",
        "Reshape",  # of the logits
        "ZeroPadding2D",
    }


def test_concatenations_are_short_enough_for_xnnpack():
    model = slimnets.shufflenet_v2((64, 64, 3), ratio=2.0)
    lengths = [len(x.input) for x in model.layers if isinstance(x, keras.layers.Concatenate)]
    assert max(lengths) <= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("shufflenet_v2", {"ratio": 0.5}),
        ("shufflenet_v1", {"groups": 8}),
        ("shufflenet_v1", {"groups": 3, "scale": 0.5}),
        ("squeezenet1_0", {}),
        ("squeezenet1_1", {"bypass": "complex"}),
    ],
)
def test_networks_take_any_size_save_and_predict(name, kwargs, tmp_path):
    build = getattr(slimnets, name)
    model = lively(build((None, None, 3), num_classes=5, **kwargs))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    image = np.random.default_rng(0).uniform(-1, 1, (2, 64, 57, 3)).astype("float32")
    fixed = build((64, 57, 3), num_classes=5, **kwargs)
    fixed.set_weights(model.get_weights())
    logits, got = logits_and_predictions(loaded)(image)
    assert_close(logits, logits_and_predictions(fixed)(image)[0], 1e-5)
    np.testing.assert_allclose(np.sum(got, -1), 1, atol=1e-5)


@pytest.mark.parametrize("size", [57, 58, 59, 60])
def test_squeezenets_pools_keep_partial_windows(size):
    """Ceil mode as in PyTorch: ceil((n - 3) / 2) + 1, whatever the size's parity."""
    inputs = keras.Input((size, size, 4))
    net, _ = slimnets.mobilenet_v1_base(inputs, conv_defs=[slimnets.MaxPool(3, 2, "ceil")])
    expected = -(-(size - 3) // 2) + 1
    assert net.shape[1:3] == (expected, expected)
    x = np.random.default_rng(0).uniform(0, 1, (1, size, size, 4)).astype("float32")
    padded = np.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0)))
    windows = np.stack(
        [
            padded[:, r : r + 2 * expected - 1 : 2, c : c + 2 * expected - 1 : 2]
            for r in range(3)
            for c in range(3)
        ]
    )
    np.testing.assert_array_equal(keras.Model(inputs, net)(x), windows.max(0))


@pytest.mark.parametrize(
    ("bypass", "adds"),
    [(None, 0), ("simple", 4), ("complex", 8)],  # the paper's figure 2
)
def test_bypasses_stand_where_the_paper_puts_them(bypass, adds):
    model = slimnets.squeezenet1_0((64, 64, 3), bypass=bypass)
    added = [x.name for x in model.layers if isinstance(x, keras.layers.Add)]
    assert len(added) == adds
    if bypass == "simple":
        assert added == ["fire3", "fire5", "fire7", "fire9"]


def test_squeezenets_end_points_are_the_papers():
    assert list(slimnets.end_points(slimnets.squeezenet1_0((64, 64, 3)))) == [
        "conv1", "maxpool1", "fire2", "fire3", "fire4", "maxpool4", "fire5", "fire6", "fire7",
        "fire8", "maxpool8", "fire9", "conv10", "global_pool", "Logits", "Predictions",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: slimnets.shufflenet_v2(ratio=0.75), "ratio must be one of 0.5, 1.0, 1.5, 2.0, got 0.75"),  # noqa: E501
        (lambda: slimnets.shufflenet_v1(groups=5), "groups must be one of 1, 2, 3, 4, 8, got 5"),
        (lambda: slimnets.shufflenet_v1(groups=4, scale=0.25), "groups=4 does not divide the 17"),
        (lambda: slimnets.shufflenet_v1(scale=0), "scale must be a number greater than 0, got 0"),
        (lambda: slimnets.squeezenet1_0(bypass="residual"), "'simple' or 'complex', got 'residual'"),  # noqa: E501
        (lambda: slimnets.squeezenet1_0(num_classes=-3), "num_classes must be"),
        (lambda: slimnets.Fire(0, 1, 1), "squeeze must be an integer of at least 1, got 0"),
        (lambda: slimnets.ShuffleStage(7, 4), "depth must be even, got 7"),
        (lambda: slimnets.MaxPool(3, 2, "same"), "'valid', 'fixed' or 'ceil', got 'same'"),
    ],
)  # fmt: skip
def test_bad_input_gets_an_error_that_says_what_is_allowed(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_shufflenet_v2s_device_file_has_no_transpose_and_no_5d_reshape(precision):
    import tflite

    model = lively(slimnets.shufflenet_v2((64, 64, 3), ratio=0.5, num_classes=7))
    images = np.random.default_rng(0).uniform(-1, 1, (12, 64, 64, 3)).astype("float32")
    file = tflite.convert(model, precision=precision, calibration=images, effort="fast")
    report = tflite.inspect(file.bytes)
    assert "TRANSPOSE" not in report.histogram
    assert max(len(tensor.shape) for tensor in report.tensors) <= 4
    assert len(report.runtime.partitions) == 1
