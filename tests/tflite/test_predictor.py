"""`Predictor`: images in, probabilities out, with nothing but the file."""

import dataclasses
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image
from skimage import data

import slimnets
import tflite
from tests.helpers.closeness import assert_same_probabilities
from tests.helpers.flatgraph import FlatGraph
from tests.helpers.lively import lively
from tflite.images import image_input

HEIGHT, WIDTH = 24, 32
LABELS = ("ant", "bee", "cat", "dog", "elk")


def preprocessing(**changes):
    values = {
        "mean": (0.0,) * 3,
        "std": (1.0,) * 3,
        "value_range": (-1, 1),
        "size": (HEIGHT, WIDTH),
        "crop_fraction": 0.875,
        "interpolation": "bilinear",
    }
    return types.SimpleNamespace(**{**values, **changes})


def small_model(activation="softmax") -> keras.Model:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(x)
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu6")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return lively(keras.Model(inputs, keras.layers.Dense(5, activation=activation)(x)))


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def photographs():
    return [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]


def prepared(photographs) -> np.ndarray:
    """Crop to 87.5 % of each side, resize and scale to [-1, 1], written out once more."""
    batch = []
    for pixels in photographs:
        height, width = pixels.shape[:2]
        h, w = round(height * 0.875), round(width * 0.875)
        top, left = (height - h) // 2, (width - w) // 2
        crop = Image.fromarray(pixels[top : top + h, left : left + w])
        batch.append(np.asarray(crop.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)))
    return np.stack(batch).astype(np.float32) / 127.5 - 1


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("predictor") / "small.tflite"
    tflite.convert(model, out, precision="float32", preprocessing=preprocessing(), labels=LABELS)
    return out


@pytest.mark.slow
def test_photographs_are_prepared_as_the_metadata_say(model, path, photographs):
    predictor = tflite.Predictor(path)
    probabilities = predictor.predict(photographs)
    expected = model.predict(prepared(photographs), verbose=0)
    assert_same_probabilities(probabilities, expected, 5e-6)
    assert predictor.labels == LABELS
    assert probabilities.dtype == np.float32


@pytest.mark.slow
def test_paths_pil_images_and_arrays_are_the_same_to_it(path, photographs, tmp_path):
    predictor = tflite.Predictor(path)
    expected = predictor.predict(photographs[1])
    assert expected.shape == (1, 5)
    Image.fromarray(photographs[1]).save(tmp_path / "chelsea.png")
    batch = np.stack([photographs[1]] * 2)
    for same in (
        tmp_path / "chelsea.png",
        str(tmp_path / "chelsea.png"),
        Image.fromarray(photographs[1]),
    ):
        np.testing.assert_array_equal(predictor.predict(same), expected)
    np.testing.assert_array_equal(predictor.predict(batch), expected.repeat(2, axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_an_int8_file_is_given_the_bytes_themselves(model, photographs, kind):
    """Resized to the file's size, pixels reach the interpreter unchanged (minus 128 for int8)."""
    from ai_edge_litert.interpreter import Interpreter

    whole = preprocessing(crop_fraction=1.0)
    sized = [
        np.asarray(Image.fromarray(p).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        for p in photographs
    ]
    images = np.stack(sized).astype(np.float32) / 127.5 - 1
    result = tflite.convert(
        model, calibration=images, preprocessing=whole, input_type=kind, output_type="float32"
    )
    runner = Interpreter(model_content=result.bytes).get_signature_runner("serving_default")
    for pixels in sized:
        raw = (pixels.astype(np.int16) - (128 if kind == "int8" else 0)).astype(kind)
        expected = runner(image=raw[np.newaxis])["probabilities"]
        np.testing.assert_array_equal(tflite.Predictor(result.bytes).predict(pixels), expected)


@pytest.mark.slow
def test_logits_become_probabilities(photographs):
    net = small_model(None)
    predictor = tflite.Predictor(
        tflite.convert(net, precision="float32", preprocessing=preprocessing()).bytes
    )
    logits = net.predict(prepared(photographs), verbose=0)
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    assert_same_probabilities(predictor.predict(photographs), expected, 5e-6)


@pytest.mark.slow
def test_normalization_inside_the_file_changes_nothing_for_the_user(model, photographs):
    by_channel = preprocessing(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), value_range=(0, 1)
    )
    predictor = tflite.Predictor(
        tflite.convert(model, precision="float32", preprocessing=by_channel).bytes
    )
    inputs = (prepared(photographs) / 2 + 0.5 - by_channel.mean) / by_channel.std
    expected = model.predict(inputs.astype(np.float32), verbose=0)
    assert_same_probabilities(predictor.predict(photographs), expected, 5e-6)
    assert_same_probabilities(predictor.predict(inputs, preprocessed=True), expected, 5e-6)


@pytest.mark.slow
def test_floating_images_must_be_declared(path, photographs):
    predictor = tflite.Predictor(path)
    inputs = prepared(photographs)
    assert predictor.predict(inputs, preprocessed=True).shape == (4, 5)
    with pytest.raises(TypeError, match=r"uint8 pixels.*preprocessed=True"):
        predictor.predict(inputs)
    with pytest.raises(TypeError, match="must be floating-point"):
        predictor.predict(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8), preprocessed=True)
    with pytest.raises(ValueError, match=r"\(N, 24, 32, 3\), got \(4, 8, 8, 3\)"):
        predictor.predict(inputs[:, :8, :8], preprocessed=True)


@pytest.mark.slow
def test_a_file_that_does_not_say_how_is_not_guessed_at(model, photographs):
    data = tflite.convert(model, precision="float32").bytes
    with pytest.raises(ValueError, match="does not say how to prepare images"):
        tflite.Predictor(data).predict(photographs)


@pytest.mark.parametrize("style", ["mobilenet_v1", "squeezenet1_1"])
@pytest.mark.parametrize("kind", ["photograph", "grey", "transparent"])
def test_images_are_prepared_as_in_training(style, kind, photographs):
    how = dataclasses.replace(slimnets.preprocessing(style), size=(HEIGHT, WIDTH))
    image = {
        "photograph": photographs[1],
        "grey": photographs[1][..., 0],
        "transparent": np.concatenate([photographs[1], photographs[1][..., :1]], axis=-1),
    }[kind]
    found = image_input(how, (HEIGHT, WIDTH, 3))(image)
    np.testing.assert_allclose(found, how(image), atol=1e-5)


def test_a_compiled_file_says_what_it_needs(tmp_path):
    graph = FlatGraph()
    x = graph.input((1, 8, 8, 3))
    graph.op("CUSTOM", [x], (1, 8), custom="edgetpu-custom-op")
    (tmp_path / "net_edgetpu.tflite").write_bytes(graph.bytes())
    with pytest.raises(ValueError, match=r"net_edgetpu\.tflite is compiled .*only a Coral device"):
        tflite.Predictor(tmp_path / "net_edgetpu.tflite")
    with pytest.raises(OSError, match="apt-get install libedgetpu1-std"):
        tflite.Predictor(tmp_path / "net_edgetpu.tflite", delegate="libedgetpu.so.1")
    with pytest.raises(OSError, match=r"libc\.so\.6 cannot be loaded"):
        tflite.Predictor(tmp_path / "net_edgetpu.tflite", delegate="libc.so.6")


def test_files_that_are_none(tmp_path):
    (tmp_path / "x.tflite").write_text("this is a text file")
    with pytest.raises(ValueError, match=r"not a \.tflite file"):
        tflite.Predictor(tmp_path / "x.tflite")
    with pytest.raises(FileNotFoundError, match=r"expected the path of a \.tflite file"):
        tflite.Predictor(tmp_path / "y.tflite")


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_a_file_cut_short_is_called_damaged(path, share):
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="cut short"):
        tflite.Predictor(whole[: int(len(whole) * share)])


@pytest.mark.slow
def test_predicting_imports_no_tensorflow(path):
    code = (
        "import sys, numpy, tflite\n"
        f"p = tflite.Predictor({str(path)!r}).predict(numpy.zeros((40, 40, 3), 'uint8'))\n"
        "assert abs(p.sum() - 1) < 1e-5\n"
        "assert not {'tensorflow', 'keras', 'mediapipe'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
