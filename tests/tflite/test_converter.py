"""`convert`: what is in the files, that they agree with Keras, and what it refuses."""

import json
import os
import types

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import slimnets
import tflite
from tests.helpers.closeness import assert_close, assert_same_probabilities
from tests.helpers.lively import lively

SIZE = 32
PREPROCESSING = types.SimpleNamespace(
    mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), value_range=(-1, 1), size=(SIZE, SIZE)
)
TORCHVISION = types.SimpleNamespace(
    mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), value_range=(0, 1), size=(SIZE, SIZE)
)


def small_model(activation="softmax", padding_layer=False) -> keras.Model:
    x = inputs = keras.Input((SIZE, SIZE, 3))
    if padding_layer:
        x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = keras.layers.Conv2D(
        8, 3, strides=2, padding="valid" if padding_layer else "same", use_bias=False
    )(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("relu6")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("relu6")(x)
    x = keras.layers.Conv2D(16, 1)(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Dropout(0.2)(x)
    x = keras.layers.Conv2D(5, 1)(x)
    x = keras.layers.Reshape((5,))(x)
    return lively(keras.Model(inputs, keras.layers.Activation(activation)(x), name="small"))


def smooth_images(n=16, seed=0) -> np.ndarray:
    """uint8 images with structure at several scales."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).repeat(SIZE // 4, 1).repeat(SIZE // 4, 2)
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def pixels():
    return smooth_images()


@pytest.fixture(scope="module")
def images(pixels):
    return pixels.astype(np.float32) / 127.5 - 1


@pytest.fixture(scope="module")
def int8(model, images):
    return tflite.convert(model, calibration=images, preprocessing=PREPROCESSING)


def run(data: bytes, values: np.ndarray, **options) -> np.ndarray:
    """The raw outputs of one invocation a value, by LiteRT alone."""
    interpreter = Interpreter(model_content=data, **options)
    interpreter.allocate_tensors()
    outputs = []
    for value in values:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(outputs)


def ends(data: bytes) -> tuple[dict, dict]:
    interpreter = Interpreter(model_content=data)
    return interpreter.get_input_details()[0], interpreter.get_output_details()[0]


def operators(data: bytes) -> set[str]:
    interpreter = Interpreter(model_content=data)
    return {op["op_name"] for op in interpreter._get_ops_details()}


# --- Float files -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 5e-6), ("float16", 2e-3)])
def test_float_files_give_keras_probabilities(model, images, precision, tolerance):
    result = tflite.convert(model, precision=precision, preprocessing=PREPROCESSING)
    expected = model.predict(images, verbose=0)
    assert_same_probabilities(run(result.bytes, images), expected, tolerance)


@pytest.mark.slow
def test_a_float_file_holds_a_static_folded_graph(model):
    data = tflite.convert(model, precision="float32").bytes
    found, _ = ends(data)
    assert list(found["shape_signature"]) == [1, SIZE, SIZE, 3]
    allowed = {"CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "AVERAGE_POOL_2D", "RESHAPE", "SOFTMAX"}
    assert operators(data) <= allowed | {"FULLY_CONNECTED"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "name"),
    [("softmax", "probabilities"), ("sigmoid", "probabilities"), ("linear", "logits")],
)
def test_the_signature_says_what_the_output_is(activation, name):
    result = tflite.convert(small_model(activation), precision="float32")
    signatures = Interpreter(model_content=result.bytes).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": [name]}}


# --- int8 files --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("padding_layer", [False, True])
@pytest.mark.parametrize(("kind", "zero_points"), [("uint8", (127, 128)), ("int8", (-1, 0))])
def test_integer_inputs_take_raw_bytes_whatever_the_images_cover(
    images, kind, zero_points, padding_layer
):
    dark = 0.3 * images - 0.2
    result = tflite.convert(
        small_model(padding_layer=padding_layer),
        calibration=dark,
        preprocessing=PREPROCESSING,
        input_type=kind,
        output_type=kind,
    )
    found, _ = ends(result.bytes)
    scale, zero_point = found["quantization"]
    assert found["dtype"] == np.dtype(kind)
    assert scale == np.float32(1 / 127.5)
    assert zero_point in zero_points


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_an_input_that_is_concatenated_still_takes_raw_bytes(images, kind):
    """The quantizer alone gives it the scale of the concatenation."""
    x = keras.Input((SIZE, SIZE, 3))
    y = keras.layers.Conv2D(4, 3, padding="same", activation="relu6")(x)
    y = keras.layers.Conv2D(4, 3)(keras.layers.Concatenate()([y, x]))
    net = lively(keras.Model(x, keras.layers.GlobalAveragePooling2D()(y)))
    result = tflite.convert(
        net, calibration=images, preprocessing=PREPROCESSING, input_type=kind, output_type="float32"
    )
    scale, zero_point = ends(result.bytes)[0]["quantization"]
    assert scale == np.float32(1 / 127.5)
    values = np.rint(images / scale + zero_point)
    outputs = run(
        result.bytes, np.clip(values, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
    )
    expected = net.predict(images, verbose=0)
    assert np.abs(outputs - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.slow
def test_an_input_of_0_to_1_has_scale_1_over_255(model, images):
    preprocessing = types.SimpleNamespace(mean=0.0, std=1.0, value_range=(0, 1))
    result = tflite.convert(
        model, calibration=images / 2 + 0.5, preprocessing=preprocessing, input_type="int8"
    )
    assert ends(result.bytes)[0]["quantization"] == (np.float32(1 / 255), -128)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8", "uint8", "float32"])
def test_int8_files_agree_with_keras_whatever_their_ends(model, images, kind):
    result = tflite.convert(
        model,
        calibration=images,
        preprocessing=PREPROCESSING,
        input_type=kind,
        output_type=kind,
    )
    found, output = ends(result.bytes)
    assert found["dtype"] == output["dtype"] == np.dtype(kind)
    scale, zero_point = found["quantization"] if kind != "float32" else (1, 0)
    values = images if kind == "float32" else np.rint(images / scale + zero_point)
    limits = (-np.inf, np.inf) if kind == "float32" else (np.iinfo(kind).min, np.iinfo(kind).max)
    raw = run(result.bytes, np.clip(values, *limits).astype(kind)).astype(np.float32)
    scale, zero_point = output["quantization"] if kind != "float32" else (1, 0)
    probabilities = (raw - zero_point) * scale
    expected = model.predict(images, verbose=0)
    assert (probabilities.argmax(-1) == expected.argmax(-1)).mean() >= 0.9
    assert np.abs(probabilities - expected).max() < 0.06


@pytest.mark.slow
def test_an_int8_file_is_integer_inside_with_a_scale_per_channel(int8):
    interpreter = Interpreter(model_content=int8.bytes)
    kinds = {details["dtype"] for details in interpreter.get_tensor_details()}
    assert kinds <= {np.int8, np.uint8, np.int32}
    weights = [d for d in interpreter.get_tensor_details() if len(d["shape"]) == 4]
    assert sorted(len(d["quantization_parameters"]["scales"]) for d in weights)[-1] >= 16


@pytest.mark.slow
def test_channels_with_their_own_mean_are_normalized_inside_the_file(model, pixels):
    inputs = (pixels / 255 - TORCHVISION.mean) / TORCHVISION.std
    for precision, kind in (("float32", np.float32), ("int8", np.uint8)):
        result = tflite.convert(
            model, precision=precision, calibration=inputs, preprocessing=TORCHVISION
        )
        found, output = ends(result.bytes)
        assert found["dtype"] == kind
        if kind == np.uint8:
            assert found["quantization"] == (1.0, 0)
        outputs = run(result.bytes, pixels.astype(kind)).astype(np.float32)
        scale, zero_point = output["quantization"] if kind == np.uint8 else (1, 0)
        expected = model.predict(inputs.astype(np.float32), verbose=0)
        probabilities = (outputs - zero_point) * scale
        if kind == np.float32:
            assert_same_probabilities(probabilities, expected, 5e-6)
        else:
            np.testing.assert_allclose(probabilities, expected, rtol=0, atol=0.06)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (0.0, 255.0), (-0.97, 0.9)]
)
def test_without_preprocessing_a_usual_range_that_images_fill_is_assumed_and_reported(
    model, images, low, high
):
    filling = low + (images - images.min()) * (high - low) / np.ptp(images)
    result = tflite.convert(model, calibration=filling)
    expected = (-1.0, 1.0) if low == -0.97 else (low, high)
    (warning,) = (w for w in result.report.warnings if "no preprocessing" in w)
    assert f"assumed to expect {expected[0]:g}..{expected[1]:g}" in warning
    assert ends(result.bytes)[0]["quantization"][0] == pytest.approx(
        (expected[1] - expected[0]) / 255, rel=1e-6
    )
    assert tflite.read_metadata(result.bytes).image.range == pytest.approx(expected)


@pytest.mark.slow
def test_without_preprocessing_other_images_give_their_own_range_and_no_advice(model, images):
    result = tflite.convert(model, calibration=images * np.float32(0.7))
    scale = ends(result.bytes)[0]["quantization"][0]
    assert scale == pytest.approx(0.7 * np.ptp(images) / 255, rel=1e-3)
    assert tflite.read_metadata(result.bytes).image is None
    assert any("fills none of the usual ranges" in w for w in result.report.warnings)


@pytest.mark.slow
def test_other_batch_sizes(model, images):
    four = tflite.convert(model, calibration=images[:6], batch_size=4, preprocessing=PREPROCESSING)
    assert list(ends(four.bytes)[0]["shape_signature"]) == [4, SIZE, SIZE, 3]
    open_batch = tflite.convert(model, precision="float32", batch_size=None)
    assert list(ends(open_batch.bytes)[0]["shape_signature"]) == [-1, SIZE, SIZE, 3]
    found = tflite.Predictor(open_batch.bytes).predict(images, preprocessed=True)
    assert_same_probabilities(found, model.predict(images, verbose=0), 5e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "least_sqnr"), [("dynamic", 30), ("int16x8", 35)])
def test_weights_of_8_bits_under_wider_activations_agree_better(
    model, images, precision, least_sqnr
):
    result = tflite.convert(
        model, precision=precision, calibration=images, preprocessing=PREPROCESSING
    )
    found, output = ends(result.bytes)
    assert found["dtype"] == output["dtype"] == np.float32
    expected, outputs = model.predict(images, verbose=0), run(result.bytes, images)
    noise = np.square(outputs - expected).sum()
    assert 10 * np.log10(np.square(expected).sum() / noise) > least_sqnr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "kind"),
    [("android", np.uint8), ("cpu", np.uint8), ("coral", np.uint8), ("micro", np.int8)],
)
def test_each_target_has_its_own_ends(model, images, target, kind):
    result = tflite.convert(model, target=target, calibration=images, preprocessing=PREPROCESSING)
    found, output = ends(result.bytes)
    assert found["dtype"] == output["dtype"] == kind
    assert result.report.target == target
    if target == "coral":
        assert result.report.edgetpu.ok
        assert "100.0% of the MACs" in str(result.report)
    else:
        assert result.report.edgetpu is None


@pytest.mark.slow
def test_tensorflow_lite_micro_gives_the_same_output(tmp_path):
    """MobileNetV1 0.25 at 96 pixels, the network of TFLite Micro's person detection."""
    from tflite_micro import runtime

    net = lively(slimnets.mobilenet_v1_025(input_shape=(96, 96, 3), num_classes=10))
    pixels = smooth_images(12).repeat(3, 1).repeat(3, 2)
    result = tflite.convert(
        net,
        tmp_path / "person.tflite",
        target="micro",
        calibration=pixels / 127.5 - 1,
        preprocessing=slimnets.preprocessing(net),
        effort="fast",
    )
    values = (pixels.astype(np.int16) - 128).astype(np.int8)
    # Reference kernels count alike on every processor; a phone's fast ones round some sums
    # otherwise, each processor's in its own way, and a step in one layer can become two.
    expected = run(result.bytes, values, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    fast = run(result.bytes, values)
    assert np.abs(fast.astype(int) - expected).max() <= 2
    assert result.firmware.header == tmp_path / "person.h"
    # The first calibration image, as the firmware is given it.
    first = ", ".join(map(str, values[0].ravel()[:8]))
    assert f"kTestInput[27648] = {{\n    {first}" in result.firmware.source.read_text()
    arena = result.firmware.arena.size_bytes
    micro = runtime.Interpreter.from_bytes(result.bytes, arena_size=arena)
    for value, reference in zip(values, expected, strict=True):
        micro.set_input(value[np.newaxis], 0)
        micro.invoke()
        assert np.abs(micro.get_output(0)[0].astype(int) - reference).max() <= 1


@pytest.mark.slow
def test_mobilenet_v3_stays_in_one_partition_and_agrees():
    """h-swish in int8 breaks TensorFlow's own file into 20 pieces (deploy.md, section 1)."""
    net = keras.applications.MobileNetV3Small(
        input_shape=(64, 64, 3),
        weights=None,
        include_preprocessing=False,
        classifier_activation=None,
        classes=10,
    )
    pixels = smooth_images(12).repeat(2, 1).repeat(2, 2)
    result = tflite.convert(lively(net), calibration=pixels / 127.5 - 1, effort="fast")
    assert result.report.partitions == 1
    assert set(result.report.outside) <= {"QUANTIZE"}
    assert result.report.agreement.sqnr_db > 15


@pytest.mark.slow
def test_a_model_trained_in_mixed_precision_becomes_a_float32_file(images):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x = inputs = keras.Input((SIZE, SIZE, 3))
        x = keras.layers.Conv2D(8, 3, strides=2, activation="relu6")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        net = lively(keras.Model(inputs, keras.layers.Dense(5, dtype="float32")(x)))
    finally:
        keras.config.set_dtype_policy("float32")
    data = tflite.convert(net, precision="float32").bytes
    assert "CAST" not in operators(data)
    # Keras computes this one in float16, whose steps are 1e-3 of a value.
    assert_close(run(data, images), net.predict(images, verbose=0), 5e-3)


class Fft(keras.layers.Layer):
    def call(self, x):
        import tensorflow as tf

        return tf.math.real(tf.signal.fft2d(tf.cast(x, tf.complex64)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda kernel: np.where(np.abs(kernel) < np.median(np.abs(kernel)), 0, kernel), "50%"),
        (lambda kernel: np.round(kernel, 1), "share values"),
    ],
)
def test_refitting_says_that_it_undoes_pruning_and_clustering(change, what):
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)
    x = image = keras.Input((8, 8, 3))
    for _ in range(2):
        x = keras.layers.Conv2D(32, 3, activation="relu")(x)
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.GlobalMaxPooling2D()(x)))
    kernel = model.layers[2].kernel
    kernel.assign(change(np.asarray(kernel)))

    def told(effort):
        result = tflite.convert(model, precision="int8", calibration=images, effort=effort)
        return [warning for warning in result.report.warnings if "pruned or clustered" in warning]

    assert told("fast") == []
    (warning,) = told("normal")
    assert what in warning
    assert "effort='fast'" in warning


def test_a_custom_layer_that_cannot_be_converted_is_named():
    x = keras.Input((8, 8, 3))
    net = keras.Model(x, Fft(name="spectrum")(x))
    with pytest.raises(ValueError, match=r"cannot convert.*custom layers: spectrum \(Fft\)"):
        tflite.convert(net, precision="float32")


@pytest.mark.slow
def test_weights_too_large_for_float16_do_not_become_a_file(tmp_path):
    x = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(4, 1)
    net = keras.Model(x, keras.layers.GlobalAveragePooling2D()(layer(x)))
    layer.kernel.assign(np.full((1, 1, 3, 4), 1e6, np.float32))
    with pytest.raises(RuntimeError, match="beyond 65504 do not fit float16"):
        tflite.convert(net, tmp_path / "x.tflite", precision="float16")
    assert not list(tmp_path.iterdir())


# --- Files on the disk -------------------------------------------------------------------------


@pytest.mark.slow
def test_the_file_and_its_report_are_written(model, images, tmp_path):
    out = tmp_path / "net.tflite"
    result = tflite.convert(model, out, calibration=images, preprocessing=PREPROCESSING)
    assert result.path == out
    assert out.read_bytes() == result.bytes
    report = json.loads((tmp_path / "net.report.json").read_text())
    assert report["size"] == out.stat().st_size
    assert report["agreement"]["top1_agreement"] >= 0.9
    folded = next(one for one in report["rewriting"] if one["name"] == "folding")["changed"]
    assert "batch norm" in {change["what"] for change in folded}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.report.json", "net.tflite"]


@pytest.mark.slow
def test_a_keras_file_converts_as_the_model_does(model, tmp_path):
    model.save(tmp_path / "model.keras")
    from_file = tflite.convert(tmp_path / "model.keras", precision="float32")
    assert from_file.bytes == tflite.convert(model, precision="float32").bytes


def test_nothing_is_converted_for_a_folder_that_is_not_there(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        tflite.convert(model, tmp_path / "nowhere" / "x.tflite", precision="float32")


def test_nothing_is_converted_for_a_folder_that_is_a_file(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        tflite.convert(model, tmp_path / "file" / "x.tflite", precision="float32")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no read-only folder known here")
def test_nothing_is_converted_for_a_read_only_folder(model):
    """/proc refuses new files even to root."""
    with pytest.raises(PermissionError, match="folder /proc is not writable"):
        tflite.convert(model, "/proc/x.tflite", precision="float32")


@pytest.mark.skipif(os.name != "posix", reason="devices are files on POSIX only")
def test_nothing_is_converted_for_a_device(model):
    """A rename would put a file in the place of /dev/null."""
    with pytest.raises(OSError, match=r"/dev/null is a device.*give the path of a file"):
        tflite.convert(model, os.devnull, precision="float32")
    assert not os.path.isfile(os.devnull)


# --- What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float23"}, "Did you mean 'float32'"),
        ({"target": "corla"}, "Did you mean 'coral'"),
        ({"target": "coral", "precision": "float16"}, "'coral' takes precision int8"),
        ({"input_type": "int16"}, "must be int8 or uint8 or float32, got 'int16'"),
        ({"precision": "float32", "input_type": "uint8"}, "input_type of a float32 file"),
        ({"batch_size": 0}, "batch_size must be a positive"),
        ({"precision": "float32", "labels": ["a", "b"]}, "has 5 classes, but 2 labels"),
        ({"metadata": {"licence": "MIT"}}, "Did you mean 'license'"),
        ({}, "calibration images are missing.*representative_dataset"),
    ],
)
def test_wrong_options_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        tflite.convert(model, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :16], r"shape \(16, 16, 32, 3\).*takes images of shape \(32, 32, 3\)"),
        (lambda x: np.where(x > 0.99, np.nan, x), "NaN or infinite"),
        (lambda x: (x + 1) * 127.5, r"lie in 0\.\.255.*model expects -1\.\.1.*look like pixels"),
        (lambda x: x[:0], "calibration is empty"),
    ],
)
def test_calibration_images_that_do_not_fit_are_refused(model, images, change, message):
    with pytest.raises(ValueError, match=message):
        tflite.convert(model, calibration=change(images), preprocessing=PREPROCESSING)


def pooled(dtype=None):
    x = keras.Input((8, 8, 3), dtype=dtype)
    return x, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))


@pytest.mark.slow
def test_a_model_that_ends_in_an_argmax_says_so():
    x, features = pooled()
    net = keras.Model(x, keras.ops.argmax(keras.layers.Dense(3)(features), axis=-1))
    with pytest.raises(ValueError, match=r"ends in int32 numbers \(argmax\).*ends before that"):
        tflite.convert(net, precision="float32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_a_model_of_half_or_double_floats_says_how_to_make_it_float32(dtype):
    keras.config.set_dtype_policy(dtype)
    try:
        x, features = pooled("float32")
        net = keras.Model(x, keras.layers.Dense(3)(features))
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match=rf"computes in {dtype}.*set_dtype_policy\('float32'\)"):
        tflite.convert(net, precision="float32")


def test_several_outputs_are_called_as_their_layers_are():
    x, features = pooled()
    heads = [keras.layers.Dense(n, name=name)(features) for n, name in ((3, "age"), (2, "sex"))]
    with pytest.raises(ValueError, match=r"2 outputs \(age, sex\)"):
        tflite.convert(keras.Model(x, heads), precision="float32")


def test_two_labels_of_one_sigmoid_output_are_one_too_many():
    x, features = pooled()
    net = keras.Model(x, keras.layers.Dense(1, activation="sigmoid")(features))
    with pytest.raises(ValueError, match="just the name of the class that 1 means, as 'dog'"):
        tflite.convert(net, precision="float32", labels=["cat", "dog"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_rewriting_that_is_another_function_is_not_used_and_its_pass_is_named(
    model, images, precision, monkeypatch
):
    from tflite import rewriting
    from tflite.rewriting.linear import add_bias
    from tflite.rewriting.passes import Notes

    def run(graph, form):
        notes = Notes()
        node = next(node for node in graph.nodes() if node.is_linear)
        add_bias(node, 1.0)
        notes.change(node, "bias", "shifted, wrongly")
        return notes.report("planted")

    monkeypatch.setattr(rewriting, "PASSES", (*rewriting.PASSES[:4], run, *rewriting.PASSES[4:]))
    report = tflite.convert(model, precision=precision, calibration=images).report
    (warning,) = (w for w in report.warnings if "differ" in w)
    assert "first after the pass planted" in warning
    assert report.agreement.sqnr_db > 20
    assert not report.rewriting
