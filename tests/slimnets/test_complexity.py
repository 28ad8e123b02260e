"""Counts against the cost formulas worked out by hand and keras.applications' published ones."""

import keras
import pytest
from keras import layers

import slimnets


def count(build, shape=(8, 10, 6)):
    inputs = keras.Input(shape)
    return slimnets.complexity(keras.Model(inputs, build(inputs)))


@pytest.mark.parametrize(
    ("layer", "params", "macs"),
    [
        (layers.Conv2D(4, 3, use_bias=False), 3 * 3 * 6 * 4, 3 * 3 * 6 * 4 * 6 * 8),
        (layers.Conv2D(4, 3, strides=2, padding="same"), 3 * 3 * 6 * 4 + 4, 216 * 4 * 5),
        (layers.Conv2D(4, 1, groups=2, use_bias=False), 6 * 4 // 2, 6 * 4 // 2 * 80),
        (layers.DepthwiseConv2D(3, use_bias=False), 3 * 3 * 6, 3 * 3 * 6 * 6 * 8),
        (layers.SeparableConv2D(4, 3, use_bias=False), 54 + 24, (54 + 24) * 48),
        (layers.Conv2DTranspose(4, 2, strides=2, use_bias=False), 96, 96 * 80),
        (layers.Dense(5), 6 * 5 + 5, 6 * 5 * 80),
        (layers.BatchNormalization(), 24, 0),
        (layers.MaxPooling2D(), None, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else None,
)
def test_one_layer_costs_what_the_formula_says(layer, params, macs):
    cost = count(layer)
    assert cost.macs == macs
    assert cost.flops == 2 * macs
    assert [row.params for row in cost.layers] == ([] if params is None else [params])


def test_a_shared_layer_has_its_parameters_once_and_its_macs_each_time():
    shared = layers.Conv2D(6, 1, use_bias=False)
    cost = count(lambda x: shared(shared(x)))
    assert (cost.params, cost.macs) == (36, 2 * 36 * 80)


def test_nested_models_are_counted():
    inner = keras.Sequential([keras.Input((8, 10, 6)), layers.Conv2D(4, 1)], name="inner")
    cost = count(inner)
    assert cost.macs == 24 * 80
    assert cost.layers[0].name.startswith("inner.")


def test_layers_whose_cost_is_not_known_are_named():
    def attention(x):
        x = layers.Reshape((80, 6))(x)
        return layers.MultiHeadAttention(2, 3, name="attention")(x, x)

    cost = count(attention)
    assert cost.uncounted == ("attention (MultiHeadAttention)",)
    assert "Without the MACs of attention (MultiHeadAttention)" in str(cost)
    assert "Without" not in str(count(layers.Conv2D(4, 1)))


def test_keras_applications_mobilenet_v2_has_its_published_cost():
    model = keras.applications.MobileNetV2(weights=None)
    cost = slimnets.complexity(model)
    assert (cost.params, cost.trainable_params) == (3_538_984, 3_504_872)
    assert cost.macs == 300_774_272  # 300 M in the paper's table 4


def test_what_cannot_be_counted_is_said():
    with pytest.raises(TypeError, match=r"takes a keras\.Model, got str"):
        slimnets.complexity("mobilenet_v1")
    with pytest.raises(ValueError, match="Build the model with a fixed height and width"):
        slimnets.complexity(slimnets.mobilenet_v1((None, None, 3), depth_multiplier=0.25))
    with pytest.raises(ValueError, match="is not built"):
        slimnets.complexity(keras.Sequential([layers.Dense(2)]))
