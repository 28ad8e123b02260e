"""Every row of the table says what Keras does."""

import importlib

import keras
import numpy as np
import pytest
from keras import layers

from tests.helpers.small_networks import assert_same_function, enliven, kinds, outputs
from tflite.rewriting import simplify_for_deployment
from tflite.rewriting.kinds import ACTIVATIONS, KINDS
from tflite.rewriting.operations import BUILDERS

_OPERATIONS = [importlib.import_module(f"keras.src.ops.{n}") for n in ("numpy", "nn", "core")]
# Of the layers that have no defaults for all their arguments.
_ARGUMENTS = {
    "AlphaDropout": (0.1,),
    "AveragePooling": (2,),
    "Conv": (4, 2),
    "Dense": (4,),
    "DepthwiseConv": (2,),
    "Dropout": (0.1,),
    "Gaussian": (0.1,),
    "Permute": ((2, 1, 3),),
    "RandomBrightness": (0.1,),
    "RandomColorDegeneration": (0.1,),
    "RandomContrast": (0.1,),
    "RandomHue": (0.1,),
    "RandomPosterization": (4,),
    "RandomRotation": (0.1,),
    "RandomSaturation": (0.1,),
    "RandomSharpness": (0.1,),
    "RandomShear": (0.1,),
    "RandomTranslation": (0.1, 0.1),
    "RandomZoom": (0.1,),
    "RepeatVector": (2,),
    "Reshape": ((-1, 3),),
    "SeparableConv": (4, 2),
    "SpatialDropout": (0.1,),
}


def rows(*traits: str) -> list[str]:
    """Names of the layers that have one of the traits."""
    return [
        name
        for name, row in KINDS.items()
        if hasattr(layers, name) and any(getattr(row, trait) for trait in traits)
    ]


def make(name: str) -> layers.Layer:
    arguments = next((v for k, v in _ARGUMENTS.items() if name.startswith(k)), ())
    return getattr(layers, name)(*arguments)


def input_shape(name: str) -> tuple[int, ...]:
    if name == "RepeatVector":
        return (6,)
    rank = next((rank for rank in (1, 2, 3) if f"{rank}D" in name), 2)
    return (*(6, 4, 5)[:rank], 3)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_row_is_of_something_there_is(name):
    if name.startswith("ops."):
        assert any(hasattr(module, name.removeprefix("ops.")) for module in _OPERATIONS)
    else:
        assert hasattr(layers, name) or name in BUILDERS


@pytest.mark.parametrize("name", rows("linear"))
def test_a_linear_layer_takes_what_lies_around_it(name):
    """Its weights have the layout that the row gives: a scale per channel lands on its channel."""
    shape = input_shape(name)
    images = keras.Input(shape)
    x = layers.Normalization(mean=(0.4, 0.5, 0.6), variance=(0.5, 1.0, 2.0))(images)
    x = layers.BatchNormalization()(make(name)(x))
    model = enliven(keras.Model(images, layers.Activation("hard_silu")(x * 0.3)))
    simplified = simplify_for_deployment(model, "coral")
    assert_same_function(model, simplified)
    assert "BatchNormalization" not in kinds(simplified)
    if KINDS[name].linear.by_channel:
        assert kinds(simplified)[1] == name


@pytest.mark.parametrize("name", rows("homogeneous", "jointly_homogeneous", "keeps_sign"))
def test_a_layer_takes_factors_and_keeps_signs_as_its_row_says(name):
    several = KINDS[name].jointly_homogeneous or name == "Multiply"
    shape = input_shape(name)
    layer = make(name)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(1, *shape)).astype(np.float32) for _ in range(2 if several else 1)]

    def run(*arrays):
        return keras.ops.convert_to_numpy(layer(list(arrays) if several else arrays[0]))

    if name != "Multiply":
        # A power of two: nothing is rounded.
        np.testing.assert_array_equal(run(*(4.0 * v for v in values)), 4.0 * run(*values))
    if KINDS[name].keeps_sign:
        assert run(*(np.abs(v) for v in values)).min() >= 0.0


@pytest.mark.parametrize("name", rows("training_only"))
def test_a_layer_of_training_gives_out_its_input_at_inference(name):
    shape = input_shape(name)
    images = keras.Input(shape)
    model = keras.Model(images, layers.ReLU()(make(name)(images)))
    simplified = simplify_for_deployment(model, "android")
    assert kinds(simplified) == ["InputLayer", "Activation"]
    values = np.random.default_rng(0).uniform(0, 1, (1, *shape)).astype(np.float32)
    np.testing.assert_array_equal(outputs(simplified, values), outputs(model, values))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_an_activation_is_what_its_row_says(name):
    row = ACTIVATIONS[name]
    function = keras.activations.get(name)
    values = np.random.default_rng(0).normal(0, 3, (1, 6, 8)).astype(np.float32)

    def run(array):
        return keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(array)))

    assert np.allclose(run(4.0 * values), 4.0 * run(values), atol=1e-5) == row.homogeneous
    assert (run(values).min() >= 0.0) == row.positive
    alone = run(values[..., :1])
    assert np.allclose(alone, run(values)[..., :1], atol=1e-5) == row.elementwise
