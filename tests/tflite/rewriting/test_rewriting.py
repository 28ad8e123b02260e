"""The rewritten network is the same function, in the form that devices take."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.helpers.small_networks import (
    FORMS,
    assert_same_function,
    enliven,
    keras_swish,
    outputs,
    shuffle,
    shufflenet_unit,
    v3_block,
)
from tflite.measuring.inspector import inspect
from tflite.rewriting import simplify_for_deployment
from tflite.targets import TARGETS


def kinds(model: keras.Model) -> list[str]:
    return [type(operation).__name__ for operation in model.operations]


def activations(model: keras.Model) -> set[str]:
    found = (layer.get_config().get("activation") for layer in model.layers)
    return {name for name in found if name is not None}


# --- h-swish -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def v3():
    return v3_block()


@pytest.mark.parametrize(("target", "precision"), FORMS)
def test_v3_block_is_the_same_function_in_every_form(v3, target, precision):
    assert_same_function(v3, simplify_for_deployment(v3, target, precision))


@pytest.mark.parametrize(("target", "precision"), FORMS[1:3])
def test_keras_applications_v3_with_its_rescaling_is_the_same_function(target, precision):
    model = keras.applications.MobileNetV3Small(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None, classes=10
    )
    model = enliven(model)
    assert_same_function(model, simplify_for_deployment(model, target, precision))


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


def test_a_relu6_does_not_let_a_factor_pass():
    images = keras.Input((6, 6, 4))
    x = layers.Activation("hard_silu")(images * 20.0)
    model = keras.Model(images, layers.Conv2D(2, 1)(layers.ReLU(6.0)(x)))
    assert_same_function(model, simplify_for_deployment(model, "coral"))


def test_an_explicit_factor_that_several_read_is_not_scaled_for_one_of_them():
    images = keras.Input((6, 6, 4))
    swishes = [layers.Conv2D(4, 1, activation="hard_silu")(images) for _ in range(4)]
    product = layers.Multiply()(swishes[1:3])
    gate = layers.Activation("sigmoid")(swishes[0])
    x = layers.Add()([layers.Add()([swishes[0], product]), swishes[3]])
    x = layers.Multiply()([layers.Conv2D(4, 1)(x), gate])
    model = enliven(keras.Model(images, x))
    assert_same_function(model, simplify_for_deployment(model, "coral"))


def test_matching_one_summand_does_not_change_another_that_it_is_made_of():
    images = keras.Input((6, 6, 4))
    convolved = layers.Conv2D(4, 1)(images)
    gate = layers.Conv2D(4, 1, activation="hard_sigmoid")(images)
    product = layers.Multiply()([layers.Conv2D(4, 1, activation="hard_silu")(images), convolved])
    model = enliven(keras.Model(images, layers.Concatenate()([gate, convolved, product])))
    assert_same_function(model, simplify_for_deployment(model, "coral"))


def test_a_layer_called_twice_absorbs_a_factor_in_one_call_only():
    images = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 1, name="shared")
    x = shared(layers.Activation("hard_silu")(images))
    model = enliven(keras.Model(images, shared(layers.ReLU()(x))))
    assert_same_function(model, simplify_for_deployment(model, "coral"))


def test_calls_that_stay_alike_share_one_layer_again():
    images = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 1, name="shared")
    model = enliven(keras.Model(images, shared(layers.ReLU()(shared(images)))))
    simplified = simplify_for_deployment(model, "coral")
    assert_same_function(model, simplified)
    assert simplified.count_params() == model.count_params()


# --- Folding -------------------------------------------------------------------------------------


def normalization():
    return layers.Normalization(mean=(0.4, 0.5, 0.6), variance=(0.04, 0.05, 0.06))


@pytest.mark.parametrize(
    ("scaling", "padding", "left"),
    [
        (lambda: layers.Rescaling(1 / 127.5, -1.0), "valid", False),
        (lambda: layers.Rescaling(1 / 255.0), "same", False),
        (lambda: layers.Rescaling(1 / 127.5, -1.0), "same", True),
        (lambda: normalization(), "valid", False),
        (lambda: normalization(), "same", True),
    ],
)
def test_input_scaling_goes_into_the_first_convolution_where_no_border_tells(
    scaling, padding, left
):
    images = keras.Input((9, 9, 3))
    x = layers.Conv2D(4, 3, padding=padding)(scaling()(images))
    model = enliven(keras.Model(images, x))
    simplified = simplify_for_deployment(model, "android")
    assert_same_function(model, simplified)
    assert ("Add" in kinds(simplified)) == left


def test_batch_normalization_before_padding_is_left_alone():
    images = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(images)
    x = layers.Conv2D(4, 3, padding="same")(x)
    model = enliven(keras.Model(images, x))
    simplified = simplify_for_deployment(model, "android")
    assert "BatchNormalization" in kinds(simplified)
    assert_same_function(model, simplified)


def test_explicit_padding_becomes_same_padding_only_where_they_are_equal():
    for size, padding, equal in ((8, ((0, 1), (0, 1)), True), (8, 1, False), (9, 1, True)):
        images = keras.Input((size, size, 3))
        x = layers.ZeroPadding2D(padding)(images)
        model = keras.Model(images, layers.Conv2D(4, 3, strides=2)(x))
        simplified = simplify_for_deployment(model, "android")
        assert ("ZeroPadding2D" not in kinds(simplified)) == equal
        assert_same_function(model, simplified)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [7, 8])
def test_average_pooling_in_int8_is_a_convolution_with_the_border_right(size, padding):
    images = keras.Input((size, size, 3))
    model = keras.Model(images, layers.AveragePooling2D(3, 2, padding=padding)(images))
    simplified = simplify_for_deployment(model, "android")
    assert "AveragePooling2D" not in kinds(simplified)
    assert_same_function(model, simplified)


def test_a_relu_after_a_concatenation_moves_into_its_parts():
    images = keras.Input((8, 8, 3))
    pooled = layers.AveragePooling2D(3, 2, padding="same")(layers.ReLU()(images))
    convolved = layers.Conv2D(4, 3, strides=2, padding="same", name="convolved")(images)
    x = layers.ReLU(name="unit")(layers.Concatenate()([pooled, convolved]))
    model = enliven(keras.Model(images, x))
    simplified = simplify_for_deployment(model, "android")
    assert_same_function(model, simplified)
    assert type(simplified.get_layer("unit")) is layers.Concatenate


# --- Groups and shuffles -------------------------------------------------------------------------


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_shufflenet_unit_is_the_same_function_for_every_target(target):
    model = shufflenet_unit()
    simplified = simplify_for_deployment(model, target)
    assert_same_function(model, simplified)
    ranks = [
        len(tensor.shape)
        for op in simplified.operations
        for tensor in [op.output][:1]
        if not isinstance(tensor, (list, tuple))
    ]
    assert max(ranks) == 4
    grouped = [layer for layer in simplified.layers if getattr(layer, "groups", 1) > 1]
    assert bool(grouped) == (not TARGETS[target].splits_groups)


def test_coral_shuffles_without_a_transpose():
    simplified = simplify_for_deployment(shufflenet_unit(), "coral")
    assert not {"Transpose", "Permute", "Reshape"} & set(kinds(simplified))


def test_a_shuffle_of_a_concatenation_stays_and_is_four_dimensional():
    images = keras.Input((8, 8, 6))
    x = shuffle(layers.Concatenate()([images, layers.Conv2D(6, 1)(images)]), 2)
    model = enliven(keras.Model(images, layers.Conv2D(4, 3)(x)))
    simplified = simplify_for_deployment(model, "coral")
    assert "Transpose" in kinds(simplified)
    assert_same_function(model, simplified)


def cut_in_three(extra_reader: bool = False) -> keras.Model:
    images = keras.Input((8, 8, 6))
    x = layers.Activation("relu")(layers.Conv2D(12, 1)(images))
    pieces = [x[..., :3], x[..., 3:7], x[:, :, :, 7:]]
    joint = layers.Concatenate()([pieces[2], pieces[0]])
    outputs = [layers.Conv2D(4, 1)(joint), layers.DepthwiseConv2D(3, padding="same")(pieces[1])]
    outputs += [layers.Conv2D(4, 1)(x)] if extra_reader else []
    return enliven(keras.Model(images, layers.Add()(outputs)))


def test_slices_of_a_convolution_become_convolutions_in_int8():
    model = cut_in_three()
    simplified = simplify_for_deployment(model, "android")
    assert_same_function(model, simplified)
    assert "GetItem" not in kinds(simplified)
    convolutions = [x for x in simplified.layers if type(x) is layers.Conv2D]
    assert sorted(x.filters for x in convolutions) == [3, 4, 4, 5]


def test_slices_stay_in_float32_and_where_the_whole_is_read_too():
    for model, precision in ((cut_in_three(), "float32"), (cut_in_three(True), "int8")):
        simplified = simplify_for_deployment(model, "android", precision)
        assert_same_function(model, simplified)
        assert kinds(simplified).count("GetItem") == 3


def test_one_channel_a_group_is_a_depthwise_convolution():
    images = keras.Input((8, 8, 6))
    model = enliven(keras.Model(images, layers.Conv2D(12, 3, groups=6)(images)))
    simplified = simplify_for_deployment(model, "android")
    assert "DepthwiseConv2D" in kinds(simplified)
    assert_same_function(model, simplified)


# --- Shapes, names, and what is not known ---------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_batch_is_what_is_asked(v3, batch_size):
    simplified = simplify_for_deployment(v3, "android", batch_size=batch_size)
    assert simplified.input_shape == (batch_size, 16, 16, 3)
    assert simplified.output_shape == (batch_size, 10)
    if batch_size != 1:
        images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(outputs(simplified, images), outputs(v3, images), atol=1e-6)


def test_layers_that_act_only_in_training_are_gone():
    images = keras.Input((8, 8, 3))
    x = layers.RandomRotation(0.2)(layers.RandomFlip()(images))
    x = layers.GaussianNoise(0.1)(x)
    x = layers.SpatialDropout2D(0.5)(layers.Conv2D(4, 3, name="kept")(x))
    model = keras.Model(images, layers.Dropout(0.5)(x))
    simplified = simplify_for_deployment(model, "android")
    assert [layer.name for layer in simplified.layers[1:]] == ["kept"]
    assert_same_function(model, simplified)


def test_nested_models_and_what_is_not_known_survive():
    class Doubling(layers.Layer):
        def call(self, x):
            return x * 2.0

    entrance = keras.Input((8, 8, 3))
    inner = layers.Conv2D(4, 3, padding="same", activation="hard_silu", name="inner_conv")(entrance)
    inner = keras.Model(entrance, inner, name="inner")
    images = keras.Input((8, 8, 3))
    x = Doubling(name="doubling")(inner(images))
    x = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(3, 1, name="sequential_conv")])(x)
    x = inner(ops.sin(x))
    x = layers.LayerNormalization()(x)
    x = layers.Lambda(lambda value: value + 1.0)(x)
    left, right = ops.split(x, 2, axis=-1)
    x = left * ops.tanh(right[:, ::-1])
    model = enliven(keras.Model(images, x))
    for target, precision in FORMS[:3]:
        simplified = simplify_for_deployment(model, target, precision)
        assert_same_function(model, simplified)
        names = {layer.name for layer in simplified.layers}
        assert {"doubling", "inner_conv", "sequential_conv"} <= names


def test_the_model_given_is_not_modified(v3):
    before, config = v3.get_weights(), v3.to_json()
    calls = [len(operation._inbound_nodes) for operation in v3.operations]
    simplify_for_deployment(v3, "coral")
    assert all(np.array_equal(a, b) for a, b in zip(before, v3.get_weights(), strict=True))
    assert config == v3.to_json()
    assert calls == [len(operation._inbound_nodes) for operation in v3.operations]


def test_the_same_model_gives_the_same_names_and_weights(v3):
    first, second = (simplify_for_deployment(v3, "coral") for _ in range(2))
    assert [op.name for op in first.operations] == [op.name for op in second.operations]
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_mixed_precision_is_over_at_deployment():
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, dtype="mixed_float16")(images)
    model = keras.Model(images, layers.Dense(4, dtype="float32")(x))
    simplified = simplify_for_deployment(model, "android")
    assert {layer.compute_dtype for layer in simplified.layers} == {"float32"}


def test_the_simplified_model_can_be_saved(v3, tmp_path):
    simplified = simplify_for_deployment(v3, "coral")
    simplified.save(tmp_path / "simplified.keras")
    assert_same_function(v3, keras.models.load_model(tmp_path / "simplified.keras"))


# --- Bad input -----------------------------------------------------------------------------------


def test_a_subclassed_model_is_told_how_to_become_functional():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"subclassed model .*keras\.Model\(x, model\.call\(x\)\)"):
        simplify_for_deployment(Subclassed(), "android")


def test_an_unbuilt_model_is_told_how_to_be_built():
    with pytest.raises(ValueError, match="has not been built"):
        simplify_for_deployment(keras.Sequential([layers.Conv2D(3, 1)]), "android")


def test_several_inputs_or_outputs_are_named():
    a, b = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    with pytest.raises(ValueError, match=r"2 inputs \(left, right\)"):
        simplify_for_deployment(keras.Model([a, b], a + b), "android")
    with pytest.raises(ValueError, match="2 outputs"):
        simplify_for_deployment(keras.Model(a, [a + 1.0, a + 2.0]), "android")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("iphone",), "target must be one of android, cpu, coral, micro, got 'iphone'"),
        (("android", "int4"), "precision must be one of float32, .*, got 'int4'"),
        (("coral", "float16"), "target 'coral' takes precision int8, got 'float16'"),
    ],
)
def test_unknown_targets_and_precisions_are_answered_with_those_there_are(v3, arguments, message):
    with pytest.raises(ValueError, match=message):
        simplify_for_deployment(v3, *arguments)


def test_a_batch_of_nothing_is_refused(v3):
    with pytest.raises(ValueError, match="batch_size must be a positive number or None, got 0"):
        simplify_for_deployment(v3, "android", batch_size=0)


def test_what_is_no_keras_model_is_refused():
    with pytest.raises(ValueError, match=r"a keras\.Model is needed, got str"):
        simplify_for_deployment("model.keras", "android")


# --- Files ---------------------------------------------------------------------------------------


def int8_file(model: keras.Model) -> bytes:
    """TensorFlow's own converter with nothing around it."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape = (1, *model.input_shape[1:])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.normal(0.2, 1.0, shape).astype(np.float32)] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert()


@pytest.mark.slow
def test_int8_v3_block_is_one_partition_without_hard_swish(v3):
    report = inspect(int8_file(simplify_for_deployment(v3, "android")))
    assert not {"HARD_SWISH", "SHAPE", "PACK", "STRIDED_SLICE"} & set(report.histogram)
    assert len(report.runtime.partitions) == 1
    outside = {report.operations[index].name for index in report.runtime.outside}
    assert outside <= {"QUANTIZE", "SOFTMAX"}


@pytest.mark.slow
@pytest.mark.parametrize("network", [v3_block, shufflenet_unit])
def test_coral_files_stay_within_the_op_versions_of_the_edgetpu_compiler(network):
    versions = inspect(int8_file(simplify_for_deployment(network(), "coral"))).versions
    newest = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "MUL": 3, "CONCATENATION": 2}
    newest |= {"MEAN": 2, "RESHAPE": 1, "SPLIT": 3, "QUANTIZE": 2, "SOFTMAX": 2}
    assert set(versions) <= set(newest)
    assert all(max(versions[name]) <= newest[name] for name in versions)


@pytest.mark.slow
def test_int8_shufflenet_unit_is_one_partition_on_android():
    report = inspect(int8_file(simplify_for_deployment(shufflenet_unit(), "android")))
    assert len(report.runtime.partitions) == 1
    assert {report.operations[index].name for index in report.runtime.outside} <= {"QUANTIZE"}
