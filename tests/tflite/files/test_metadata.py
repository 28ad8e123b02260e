"""Metadata: what other readers find in our files, and what we find in others'."""

import io
import json
import subprocess
import sys
import textwrap
import types
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image
from skimage import data

import tflite
from tests.helpers.flatgraph import FlatGraph
from tests.helpers.lively import lively
from tflite.files.labels import check_labels
from tflite.files.metadata import Metadata, read_metadata
from tflite.files.metadata_writing import append_labels, attach
from tflite.images import ImageInput, image_input

SIZE = 64
LABELS = ("ant", "bee", "café", "dog", "elk", "fox", "gnu")


def preprocessing(**changes):
    values = {
        "mean": (0.0,) * 3,
        "std": (1.0,) * 3,
        "value_range": (-1, 1),
        "size": (SIZE, SIZE),
        "crop_fraction": 1.0,
        "interpolation": "bilinear",
    }
    return types.SimpleNamespace(**{**values, **changes})


TORCHVISION = preprocessing(
    mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), value_range=(0, 1)
)


@pytest.fixture(scope="module")
def model():
    """Seven classes whose scores differ enough that no rounding changes a winner.

    The seed was looked for: a reader resizes in its own way, and each processor rounds int8 in
    its own way too.
    """
    x = inputs = keras.Input((SIZE, SIZE, 3))
    for depth in (8, 16, 32):
        x = keras.layers.Conv2D(depth, 3, strides=2, padding="same", activation="relu6")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return lively(keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(x)), seed=322)


@pytest.fixture(scope="module")
def photographs():
    """Square cuts of scikit-image's pictures, so that only the resize is left to a reader."""
    return [
        np.ascontiguousarray(picture[:256, top : top + 256])
        for picture in (data.astronaut(), data.chelsea(), data.coffee(), data.rocket())
        for top in (0, 128)
    ]


def network_inputs(photographs, how=None) -> np.ndarray:
    sized = [
        Image.fromarray(p).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for p in photographs
    ]
    pixels = np.stack([np.asarray(p) for p in sized]) / 255
    return np.float32(pixels * 2 - 1 if how is None else (pixels - how.mean) / how.std)


@pytest.fixture(scope="module")
def int8(model, photographs):
    return tflite.convert(
        model,
        calibration=network_inputs(photographs),
        preprocessing=preprocessing(crop_fraction=0.875),
        labels=LABELS,
        effort="fast",
        metadata={"author": "A. Author", "license": "Apache-2.0", "version": "v7"},
    ).bytes


# --- MediaPipe reads them ----------------------------------------------------------------------


def classify(path, photographs) -> list[tuple[int, str]]:
    """The top class and its name, by MediaPipe with nothing but the file."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(path)), max_results=1
    )
    with vision.ImageClassifier.create_from_options(options) as classifier:
        images = [
            mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=p) for p in photographs
        ]
        tops = [classifier.classify(image).classifications[0].categories[0] for image in images]
    return [(top.index, top.category_name) for top in tops]


@pytest.mark.slow
@pytest.mark.parametrize("how", [preprocessing(), TORCHVISION], ids=["inception", "torchvision"])
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_mediapipe_finds_keras_top_class(model, photographs, tmp_path, precision, how):
    inputs = network_inputs(photographs, how if how is TORCHVISION else None)
    path = tmp_path / "net.tflite"
    tflite.convert(
        model,
        path,
        precision=precision,
        calibration=inputs,
        preprocessing=how,
        labels=LABELS,
        effort="fast",
    )
    probabilities = model.predict(inputs, verbose=0)
    second, first = np.sort(probabilities, axis=-1)[:, -2:].T
    assert (first - second).min() > 0.1, "too close to call in int8"
    expected = probabilities.argmax(axis=-1)
    assert len(set(expected)) > 1
    assert classify(path, photographs) == [(i, LABELS[i]) for i in expected]


@pytest.mark.slow
def test_mediapipes_schema_reads_every_field(int8):
    """With the generated classes that MediaPipe ships, not with our own reader."""
    from mediapipe.tasks.metadata import metadata_schema_py_generated as fields

    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(int8, 0))
    (buffer,) = (file.buffers[m.buffer].data for m in file.metadata if m.name == b"TFLITE_METADATA")
    assert fields.ModelMetadata.ModelMetadataBufferHasIdentifier(bytes(buffer), 0)
    found = fields.ModelMetadataT.InitFromObj(fields.ModelMetadata.GetRootAs(bytes(buffer), 0))
    assert (found.author, found.license, found.version) == (b"A. Author", b"Apache-2.0", b"v7")
    assert found.minParserVersion == b"1.0.0"
    (graph,) = found.subgraphMetadata
    (image,), (scores,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert image.name == b"image"
    assert b"no arithmetic is needed" in image.description
    assert image.content.contentProperties.colorSpace == fields.ColorSpaceType.RGB
    size = image.content.contentProperties.defaultSize
    assert (size.height, size.width) == (SIZE, SIZE)
    (unit,) = image.processUnits
    assert (list(unit.options.mean), list(unit.options.std)) == ([127.5], [127.5])
    assert (list(image.stats.min), list(image.stats.max)) == ([0.0], [255.0])
    assert scores.name == b"probabilities"
    (labels,) = scores.associatedFiles
    assert labels.name == b"labels.txt"
    assert labels.type == fields.AssociatedFileType.TENSOR_AXIS_LABELS


@pytest.mark.slow
def test_a_unzip_program_finds_the_labels(int8):
    with zipfile.ZipFile(io.BytesIO(int8)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().splitlines() == list(LABELS)
        assert archive.testzip() is None


# --- Our reader --------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_was_written_is_read_back(int8):
    found = read_metadata(int8)
    assert found == Metadata(
        image=ImageInput((SIZE, SIZE), mean=(127.5,) * 3, std=(127.5,) * 3, crop_fraction=0.875),
        labels=LABELS,
        name=found.name,
        author="A. Author",
        license="Apache-2.0",
        version="v7",
    )


@pytest.mark.slow
def test_a_file_with_mediapipes_metadata_alone_is_understood(int8):
    """Without our own entry, as another tool would have written it."""
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(int8, 0))
    file.metadata = [m for m in file.metadata if m.name != b"PREPROCESSING_JSON"]
    stripped = append_labels(tflite.files.flatbuffer.pack(file), LABELS)
    found = read_metadata(stripped)
    assert found.image == ImageInput((SIZE, SIZE), mean=(127.5,) * 3, std=(127.5,) * 3)
    assert found.labels == LABELS


@pytest.mark.slow
def test_a_file_without_metadata_says_nothing(model):
    import tensorflow as tf

    data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    assert read_metadata(data) == Metadata()


# --- Determinism -------------------------------------------------------------------------------

_CONVERT = """
    import hashlib, sys
    import keras, numpy as np
    import tflite
    for _ in range(int(sys.argv[1])):
        keras.layers.Dense(1)  # moves the numbers that Keras gives to names
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, name="a")(x)
    x = keras.layers.BatchNormalization(name="b")(x)
    x = keras.layers.Activation("relu6", name="c")(x)
    x = keras.layers.GlobalAveragePooling2D(name="d")(x)
    model = keras.Model(inputs, keras.layers.Dense(4, name="e")(x), name="net")
    images = np.random.default_rng(0).uniform(-1, 1, (12, 32, 32, 3)).astype(np.float32)
    for precision in ("float32", "float16", "dynamic", "int8", "int16x8"):
        data = tflite.convert(
            model, precision=precision, calibration=images, labels=["a", "b", "c", "d"]
        ).bytes
        print(precision, hashlib.sha256(data).hexdigest())
"""


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_in_another_process():
    runs = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_CONVERT), str(number)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in (0, 3)
    ]
    assert runs[0].count("\n") == 5
    assert runs[0] == runs[1]


# --- Units -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "mean", "std", "limits"),
    [
        (preprocessing(), 127.5, 127.5, (-1, 1)),
        (preprocessing(value_range=(0, 1)), 0.0, 255.0, (0, 1)),
        (preprocessing(value_range=(0, 255)), 0.0, 1.0, (0, 255)),
        (preprocessing(value_range=(0, 1), mean=0.5, std=0.25), 127.5, 63.75, (-2, 2)),
    ],
)
def test_normalization_in_units_of_pixels(how, mean, std, limits):
    image = image_input(how, (SIZE, SIZE, 3))
    assert (image.mean, image.std) == ((mean,) * 3, (std,) * 3)
    assert image.range == pytest.approx(limits)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        (object(), TypeError, "lacks mean, std, value_range"),
        (preprocessing(size=(32, 32)), ValueError, "32x32, but the model takes 64x64"),
        (preprocessing(mean=(0, 0)), ValueError, "mean has 2 values.*3 channels"),
        (preprocessing(interpolation="cubic"), ValueError, "one of nearest.*got 'cubic'"),
        (preprocessing(std=(1, 1, 0)), ValueError, "std > 0"),
        (preprocessing(value_range=(1, 0)), ValueError, r"value_range\[0\] < value_range\[1\]"),
    ],
)
def test_a_preprocessing_that_cannot_be_written_down(how, error, message):
    with pytest.raises(error, match=message):
        image_input(how, (SIZE, SIZE, 3))


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (["a", "b"], ValueError, "3 classes, but 2 labels"),
        (["a", "b", 3], TypeError, "must be text, got 3"),
        (["a", "b", "c\nd"], ValueError, "one line of text"),
    ],
)
def test_labels_that_are_none(labels, error, message):
    with pytest.raises(error, match=message):
        check_labels(labels, 3)


def test_labels_from_a_file(tmp_path):
    (tmp_path / "labels.txt").write_text("ant\ncafé\nelk\n", encoding="utf-8")
    assert check_labels(tmp_path / "labels.txt", 3) == ("ant", "café", "elk")


def test_every_field_of_the_input_is_written_and_read_back():
    image = ImageInput((8, 9), 0.8, (1.5, 2.0, 3.0), (4.0, 5.0, 6.0), "bicubic", True, True)
    graph = FlatGraph()
    graph.op("LOGISTIC", [graph.input((1, 8, 9, 3))], graph.activation((1, 8, 9, 3)))
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(graph.bytes(), 0))
    attach(file, Metadata(image=image))
    assert read_metadata(tflite.files.flatbuffer.pack(file)).image == image
    # Files that stand on devices are read by these names.
    content = tflite.files.flatbuffer.metadata_entry(file, "PREPROCESSING_JSON")
    assert json.loads(content) == {
        "size": [8, 9],
        "mean": [1.5, 2.0, 3.0],
        "std": [4.0, 5.0, 6.0],
        "crop_fraction": 0.8,
        "interpolation": "bicubic",
        "keep_aspect_ratio": True,
        "in_graph": True,
    }
