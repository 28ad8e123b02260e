"""h-swish and its kin, written as integer delegates take them."""

import keras
import pytest
from keras import layers, ops

from tests.helpers.small_networks import (
    activations,
    assert_same_function,
    enliven,
    keras_swish,
    kinds,
    reports,
)
from tflite.rewriting import simplify_for_deployment


def test_every_sixth_is_absorbed_by_weights(v3):
    simplified = simplify_for_deployment(v3, "coral")
    assert not {"HardSilu", "HardSigmoid"} & set(kinds(simplified))
    assert not {"hard_silu", "hard_sigmoid", "hard_swish"} & activations(simplified)
    # Two factors to a product (3 h-swishes and a squeeze-excite), and none is a constant.
    products = [op for op in simplified.operations if type(op).__name__ == "Multiply"]
    assert len(products) == 4
    assert all(isinstance(op, layers.Multiply) for op in products)


def test_float_files_keep_the_native_h_swish(v3):
    simplified = simplify_for_deployment(v3, "android", "float16")
    assert {"hard_silu", "hard_sigmoid"} <= activations(simplified)


def test_squeeze_excite_gate_takes_its_three_into_the_bias(v3):
    simplified = simplify_for_deployment(v3, "coral")
    additions = [op for op in simplified.operations if type(op).__name__ == "Add"]
    assert len(additions) == 3 + 1  # each h-swish has one, and the residual sum


@pytest.mark.parametrize(
    "swish",
    [
        lambda x: ops.hard_silu(x),
        lambda x: x * ops.hard_sigmoid(x),
        lambda x: x * ops.clip(x + 3.0, 0, 6) / 6.0,
        lambda x: x * ops.relu6(3.0 + x) * (1.0 / 6.0),
        lambda x: keras_swish(x),
        lambda x: layers.Multiply()([layers.Activation("hard_sigmoid")(x), x]),
        lambda x: layers.Conv2D(4, 1, activation="hard_silu")(x),
        lambda x: layers.Dense(4, activation=keras.activations.hard_sigmoid)(x),
        lambda x: layers.ReLU(max_value=1.0)(x),
    ],
)
@pytest.mark.parametrize("ending", ["convolution", "output", "softmax", "sum with the input"])
def test_every_spelling_before_every_kind_of_reader(swish, ending):
    images = keras.Input((6, 6, 4))
    x = y = layers.Conv2D(4, 3, name="before")(images)
    x = swish(x)
    if ending == "convolution":
        x = layers.Conv2D(3, 1)(layers.MaxPooling2D()(x))
    elif ending == "softmax":
        x = layers.Softmax()(x)
    elif ending == "sum with the input":
        x = swish(layers.Add()([x, y]))
    model = enliven(keras.Model(images, x))
    simplified = simplify_for_deployment(model, "coral")
    assert_same_function(model, simplified)
    assert not {"hard_silu", "hard_sigmoid"} & activations(simplified)


def test_each_is_reported_rewritten_or_left_to_its_kernel(v3):
    written = [change.what for change in reports(v3)["hard_swish"].changed]
    assert sorted(written) == ["h-sigmoid", "h-swish", "h-swish"]
    report = reports(v3, "android", "float32")["hard_swish"]
    assert report.changed == ()
    assert [left.reason for left in report.left] == ["native kernel"] * 3
