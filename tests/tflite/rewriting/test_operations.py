"""What no layer makes is written with one operation each."""

import keras
from keras import layers, ops

from tests.helpers.small_networks import assert_same_function, kinds, reports, shuffle
from tflite.rewriting import simplify_for_deployment


def test_a_constant_of_1_or_0_costs_no_operation():
    images = keras.Input((4, 4, 3))
    for x, made in (
        (images * 2.0, ["Multiply"]),
        (images + 2.0, ["Add"]),
        (images * -2.0 + 3.0, ["Multiply", "Add"]),
        ((images + 2.0) * 0.5 - 1.0, ["Multiply"]),
    ):
        model = keras.Model(images, ops.sin(x))
        simplified = simplify_for_deployment(model, "android")
        assert_same_function(model, simplified)
        assert kinds(simplified)[1:] == [*made, "Sin"]
        report = reports(model)["operations"]
        assert [change.how for change in report.changed] == ["added or multiplied in the graph"]


def test_a_shuffle_is_three_operations_of_at_most_four_dimensions():
    images = keras.Input((8, 8, 6))
    model = keras.Model(images, shuffle(layers.Activation("tanh")(images), 2))
    simplified = simplify_for_deployment(model, "coral")
    assert_same_function(model, simplified)
    assert kinds(simplified)[2:] == ["Reshape", "Transpose", "Reshape"]
    assert max(len(operation.output.shape) for operation in simplified.operations) == 4
