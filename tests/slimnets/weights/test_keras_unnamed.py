"""`.h5` models with Keras's own names of layers, as MLPerf Tiny's vww_96.h5: by order, and checked.

The stand-in is built by tf_keras as `vww_model.py` of github.com/mlcommons/tiny builds it: biases
before batch norms, plain ReLU.
"""

import h5py
import numpy as np
import pytest

import slimnets
from slimnets import cli, evaluation
from slimnets.weights import load_weights
from tests.helpers.lively import lively

PLAIN = {"conv": {"activation": "relu"}, "depthwise": {"activation": "relu"}}
SIZE = 32


def stand_in(activation="relu"):
    from tf_keras import Model, layers

    def step(x, layer):
        x = layers.BatchNormalization()(layer(x))
        return layers.Activation(activation)(x)

    x = inputs = layers.Input((SIZE, SIZE, 3))
    x = step(x, layers.Conv2D(8, 3, 2, padding="same"))
    filters = 8
    for stride, wider in zip((1, 2, 1, 2, 1, 2, *5 * (1,), 2, 1), "1101010000010", strict=True):
        filters *= 1 + int(wider)
        x = step(x, layers.DepthwiseConv2D(3, stride, padding="same"))
        x = step(x, layers.Conv2D(filters, 1, padding="same"))
    x = layers.Flatten()(layers.AveragePooling2D(x.shape[1:3])(x))
    return Model(inputs, layers.Dense(2, activation="softmax")(x))


def value(rng, shape):
    if len(shape) == 1:
        return rng.uniform(0.5, 1.5, shape)
    fan_in = 9 if shape[-1] == 1 else np.prod(shape[:-1])
    return rng.normal(0, np.sqrt(2 / fan_in), shape)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Keras 2's file, and the model in it."""
    import tf_keras

    tf_keras.backend.clear_session()  # names count on from what was built before
    theirs = stand_in()
    rng = np.random.default_rng(0)
    theirs.set_weights([value(rng, w.shape) for w in theirs.get_weights()])
    path = tmp_path_factory.mktemp("vww") / "vww_96.h5"
    theirs.save(path)
    return path, theirs


def build(**options):
    options = {"depth_multiplier": 0.25, "num_classes": 2, **options}
    return lively(slimnets.mobilenet_v1((SIZE, SIZE, 3), **options))


def log_odds(model, images):
    return np.log(model.predict(images, verbose=0)) @ [1, -1]


def test_a_keras_2_model_without_names_gives_its_own_answers(saved):
    path, theirs = saved
    images = np.random.default_rng(1).uniform(0, 1, (3, SIZE, SIZE, 3)).astype(np.float32)
    expected = log_odds(theirs, images)
    assert np.ptp(expected) > 0.1
    for ours in (build(weights=path), build(arg_scope=PLAIN)):
        load_weights(ours, path)
        np.testing.assert_allclose(log_odds(ours, images), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"activation of .*vww_96\.h5 is relu, where Conv2d_0 .* is relu6: .*arg_scope="),
        ({"use_explicit_padding": True}, "use_explicit_padding=False"),
        ({"num_classes": 7, "arg_scope": PLAIN}, "num_classes=2, or pass strict=False"),
        ({"depth_multiplier": 0.5}, "of another shape: conv2d/kernel is"),
    ],
)
def test_another_function_is_refused_and_nothing_is_loaded(saved, options, message):
    ours = build(**options)
    before = ours.get_weights()
    with pytest.raises(ValueError, match=message):
        load_weights(ours, saved[0])
    assert all(map(np.array_equal, before, ours.get_weights()))


def test_weights_without_their_model_do_not_tell_enough(saved, tmp_path):
    saved[1].save_weights(tmp_path / "weights.h5")
    with h5py.File(tmp_path / "weights.h5") as file:
        assert "model_config" not in file.attrs
    with pytest.raises(ValueError, match=r"save the whole model"):
        load_weights(build(arg_scope=PLAIN), tmp_path / "weights.h5")


@pytest.mark.parametrize(
    "change",
    [
        ('"kernel_size": [3, 3]', '"kernel_size": "wide"'),
        ('"epsilon": 0.001', '"epsilon": []'),
        ('"layers": [', '"layers": [3, '),
        ("{", ""),
    ],
)
def test_a_damaged_description_is_told(saved, tmp_path, change):
    path = tmp_path / "damaged.h5"
    path.write_bytes(saved[0].read_bytes())
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"].replace(*change, 1)
        file.attrs.modify("model_config", text)
    with pytest.raises(ValueError, match=r"damaged\.h5 is not a readable weight file of Keras"):
        load_weights(build(arg_scope=PLAIN), path)


def test_the_command_makes_a_file_that_knows_how_mlperf_prepared_its_images(saved, tmp_path):
    out = tmp_path / "vww.keras"
    words = ["mobilenet_v1_025", f"{saved[0]}", f"{out}", "--num_classes=2", f"--input_size={SIZE}"]
    assert cli.main(["import-weights", *words]) == 0
    prepare = evaluation.open_keras(out).preprocessing
    assert (prepare.range, prepare.crop_fraction) == ((0.0, 1.0), 1.0)


def test_imagenet_never_means_them():
    from slimnets.weights.families import find_source
    from slimnets.weights.variants import Variant

    network = Variant("mobilenet_v1", {"depth_multiplier": 0.25})
    assert find_source("imagenet", lambda: network, 96).name == "mobilenet_v1_0.25_128"
    assert "vww_96" in slimnets.model_info("mobilenet_v1_025").weight_sources
