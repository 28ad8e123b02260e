"""One way to open a .keras file, and one sentence for each way in which it is none."""

import zipfile

import keras
import numpy as np
import pytest

import tflite
from tflite import keras_models


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "net.keras"
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1)]).save(path)
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_saved_model_is_loaded_by_path_or_text(saved, kind):
    model = keras_models.load(kind(saved))
    assert model.output_shape == (None, 4, 4, 2)
    assert keras_models.load(model) is model


def damaged(path, content: bytes):
    path.write_bytes(content)
    return path


def test_a_file_that_was_cut_off_is_no_zip_archive(saved, tmp_path):
    path = damaged(tmp_path / "net.keras", saved.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"net\.keras is no Keras model.*cut off"):
        keras_models.load_file(path)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_an_archive_that_is_damaged_inside_is_named(saved, tmp_path, name):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as copy:
        for entry in source.namelist():
            content = source.read(entry)
            copy.writestr(entry, content[: len(content) // 2] if entry == name else content)
    with pytest.raises(ValueError, match=r"net\.keras is no Keras model that can be loaded safely"):
        keras_models.load_file(path)


def test_another_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.keras", "w") as archive:
        archive.writestr("cat.jpg", np.zeros(9).tobytes())
    with pytest.raises(ValueError, match=r"photos\.keras is no Keras model"):
        keras_models.load_file(tmp_path / "photos.keras")


# --- What a model's numbers are ------------------------------------------------------------------

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)


def classifier(activation, classes=3):
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, activation, kernel_initializer="random_normal"),
        ]
    )


def made_of(build):
    image = keras.Input((16, 16, 3))
    return keras.Model(image, build(image))


ENDS = {
    "a nested softmax": (lambda x: classifier("softmax")(x), "probabilities"),
    "nested twice": (lambda x: keras.Sequential([classifier("sigmoid")])(x), "probabilities"),
    "nested logits": (lambda x: classifier(None)(x), "logits"),
    "a nested angle": (lambda x: classifier(None, 1)(x), "numbers"),
    "a nested reshape": (
        lambda x: keras.Sequential([keras.layers.Reshape((3,))])(classifier("softmax")(x)),
        "probabilities",
    ),
    "float32 after mixed precision": (
        lambda x: keras.layers.Activation("linear", dtype="float32")(classifier("softmax")(x)),
        "probabilities",
    ),
    "two sigmoids side by side": (
        lambda x: keras.layers.Concatenate()([classifier("sigmoid", 1)(x) for _ in range(2)]),
        "probabilities",
    ),
    "the mean of a softmax's map": (
        lambda x: keras.layers.GlobalAveragePooling2D()(
            keras.layers.Conv2D(3, 1, activation="softmax")(x)
        ),
        "probabilities",
    ),
    "half the sum of two softmaxes": (
        lambda x: (classifier("softmax")(x) + classifier("softmax")(x)) / 2,
        "numbers",
    ),
    "logits at a temperature": (lambda x: classifier(None)(x) / 2.0, "logits"),
    "the logarithm of a softmax": (
        lambda x: keras.ops.log(classifier("softmax")(x)),
        "logits",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_an_output_is_is_seen_through_nested_models_and_mixtures(end):
    build, kind = ENDS[end]
    assert keras_models.output_kind(made_of(build)) == kind


def test_an_ensembles_mean_is_still_a_probability():
    members = [classifier("softmax") for _ in range(2)]
    ensemble = made_of(lambda x: keras.layers.Average()([member(x) for member in members]))
    assert keras_models.output_kind(ensemble) == "probabilities"


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["Average", "Maximum", "Concatenate"])
def test_a_file_of_an_ensemble_answers_as_the_ensemble_does(mix):
    members = [classifier("softmax") for _ in range(2)]
    model = made_of(lambda x: getattr(keras.layers, mix)()([member(x) for member in members]))
    file = tflite.convert(model, precision="float32")
    found = tflite.Predictor(file.bytes).predict(IMAGES, preprocessed=True)
    np.testing.assert_allclose(found, model.predict_on_batch(IMAGES), atol=1e-5)


def test_a_model_in_dictionaries_is_converted_as_the_bare_one():
    images = keras.Input((16, 16, 3), name="picture")
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(images)
    scores = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    bare = tflite.convert(keras.Model(images, scores, name="net"), calibration=IMAGES)
    model = keras.Model({"picture": images}, {"scores": scores}, name="net")
    assert tflite.convert(model, calibration=IMAGES).bytes == bare.bytes
    assert tflite.compare(model, bare.bytes, IMAGES) == bare.report.agreement
