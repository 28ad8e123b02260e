"""Keras 3 models become tf_keras models and come back: same names, weights and outputs."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import slimnets
from slimnets.optimization import from_tf_keras, to_tf_keras
from tests.helpers.small_networks import enliven, v3_block

NETWORKS = {
    "mobilenet_v2_035": {"use_explicit_padding": True},
    "mobilenet_v3_small": {"depth_multiplier": 0.25},
    "squeezenet1_1": {},
    "shufflenet_v1": {"scale": 0.25},
    "shufflenet_v2": {"ratio": 0.5},
}
APPLICATIONS = {
    "MobileNet": {"alpha": 0.25},
    "MobileNetV3Small": {"alpha": 0.75},
}


def assert_same(model, twin, back):
    images = np.random.default_rng(0).normal(0, 1, (2, *model.input_shape[1:])).astype(np.float32)
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    for found in (twin(images, training=False).numpy(), back(images, training=False).numpy()):
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    for layer in model.layers:
        ours, theirs = layer.get_weights(), twin.get_layer(layer.name).get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def through(model):
    twin = to_tf_keras(model)
    return twin, from_tf_keras(twin)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_zoo_pass_the_bridge(name):
    small = {"input_shape": (32, 32, 3), "num_classes": 10}
    model = enliven(slimnets.create_model(name, **small, **NETWORKS[name]))
    assert_same(model, *through(model))


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_keras_applications_pass_the_bridge(name):
    function = getattr(keras.applications, name)
    options = {"weights": None, "input_shape": (32, 32, 3), "classes": 10}
    model = enliven(function(**options, **APPLICATIONS[name]))
    assert_same(model, *through(model))


def test_trained_weights_come_back_into_the_model():
    model = v3_block()
    twin = to_tf_keras(model)
    twin.compile("sgd", "sparse_categorical_crossentropy")
    images = np.random.default_rng(0).normal(0, 1, (8, 16, 16, 3)).astype(np.float32)
    twin.fit(images, np.arange(8), verbose=0)
    assert from_tf_keras(twin, into=model) is model
    assert_same(model, twin, from_tf_keras(twin))


def test_layers_called_twice_and_models_inside_a_model_pass():
    inner_input = keras.Input((8, 8, 4))
    inner = keras.Model(inner_input, layers.Conv2D(4, 3, padding="same")(inner_input))
    images = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 1, activation="relu6", kernel_regularizer="l2")
    model = enliven(keras.Model(images, shared(inner(shared(images)))))
    twin, back = through(model)
    probe = np.random.default_rng(0).normal(0, 1, (2, 8, 8, 4)).astype(np.float32)
    expected = model(probe).numpy()
    np.testing.assert_allclose(twin(probe).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(back(probe).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(float(sum(twin.losses)), float(sum(model.losses)), rtol=1e-5)


def test_slices_reshapes_and_constants_pass_also_when_read_from_a_file(tmp_path):
    """What folding for a device leaves, and what files turn into lists."""
    images = keras.Input((8, 8, 4))
    x = layers.Concatenate()([images[..., 1:], images[..., :1]])
    x = keras.ops.add(keras.ops.multiply(x, np.array([1, 2, 3, 4], np.float32)), 0.5)
    x = keras.ops.reshape(keras.ops.transpose(x, (0, 2, 3, 1)), (-1, 4, 64))
    keras.Model(images, layers.Dense(3)(x)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    assert_same(model, *through(model))


class Own(layers.Layer):
    def call(self, x):
        return x


@pytest.mark.slow
def test_segmenters_pass_and_what_the_other_resizing_cannot_do_is_named():
    model = enliven(
        slimnets.lraspp("mobilenet_v2_035", num_classes=4, input_shape=(33, 48, 3)),
    )
    assert_same(model, *through(model))
    images = keras.Input((20, 30, 3))
    padded = keras.layers.Resizing(16, 16, pad_to_aspect_ratio=True, name="padded")(images)
    with pytest.raises(ValueError, match=r"'padded' \(Resizing\) has pad_to_aspect_ratio=True"):
        to_tf_keras(keras.Model(images, padded))


def test_what_has_no_counterpart_is_named():
    images = keras.Input((8, 8, 3), name="in")
    for last, named in ((Own(name="mine"), "mine"), (layers.GaussianNoise(0.1, name="n"), "'n'")):
        with pytest.raises(ValueError, match=f"{named}.* no counterpart"):
            to_tf_keras(keras.Model(images, last(images)))
    odd = keras.Model(images, layers.Activation(abs, name="odd")(images))
    with pytest.raises(ValueError, match="'abs' of layer 'odd'"):
        to_tf_keras(odd)
    with pytest.raises(ValueError, match="subclassed model"):
        to_tf_keras(type("Mine", (keras.Model,), {"call": lambda self, x: x})())
    with pytest.raises(TypeError, match="Keras 3 model, got int"):
        to_tf_keras(3)


def test_tfmot_leaves_the_process_as_it_was():
    from slimnets.optimization import prune

    assert prune
    assert "TF_USE_LEGACY_KERAS" not in os.environ


def test_importing_slimnets_leaves_legacy_keras_alone():
    code = (
        "import os, sys, slimnets, slimnets.optimization\n"
        "assert 'tf_keras' not in sys.modules and 'TF_USE_LEGACY_KERAS' not in os.environ"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
