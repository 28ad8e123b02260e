"""One way to open a .keras file, a sentence for each way in which it or its model will not do."""

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


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("old.h5", ValueError, "old Keras"),
        ("text.keras", ValueError, "no Keras model that can be loaded safely"),
        ("text.tflite", ValueError, "give a .keras file"),
        ("folder", ValueError, "is a folder"),
        ("missing.keras", FileNotFoundError, "there is no model file"),
    ],
)
def test_files_that_are_no_models(tmp_path, name, error, message):
    if name == "folder":
        (tmp_path / name).mkdir()
    elif not name.startswith("missing"):
        (tmp_path / name).write_text("hello")
    with pytest.raises(error, match=message):
        tflite.convert(tmp_path / name, precision="float32")


def test_code_inside_a_model_file_is_not_run(tmp_path):
    x = keras.Input((8, 8, 3))
    net = keras.Model(x, keras.layers.Lambda(lambda v: v + 1, output_shape=(8, 8, 3))(x))
    net.save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match=r"loaded safely.*Lambda layers.*loaded in your program"):
        tflite.convert(tmp_path / "lambda.keras", precision="float32")


# --- Models that cannot be converted -------------------------------------------------------------


class Subclassed(keras.Model):
    def call(self, x):
        return x


def two_inputs():
    inputs = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    return keras.Model(inputs, keras.layers.Add()(inputs))


def two_outputs():
    x = keras.Input((8, 8, 3))
    return keras.Model(x, [keras.layers.ReLU()(x), keras.layers.Flatten()(x)])


def of_shape(*shape, dtype="float32"):
    x = keras.Input(shape, dtype=dtype)
    return keras.Model(x, keras.layers.Flatten()(x))


def built_subclassed():
    net = Subclassed()
    net(np.zeros((1, 8, 8, 3), np.float32))
    return net


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "is not built"),
        (Subclassed, "is a subclassed model"),
        (lambda: of_shape(8, 8, 3, dtype="uint8"), "takes uint8 images"),
        (built_subclassed, r"subclassed.*keras.Model\(x, model\(x\)\)"),
        (two_inputs, "has 2 inputs"),
        (two_outputs, "has 2 outputs"),
        (lambda: of_shape(None, None, 3), "unknown size"),
        (lambda: of_shape(10), "expected images"),
    ],
)
def test_models_that_cannot_be_converted_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        tflite.convert(make(), precision="float32")


def test_not_a_model():
    with pytest.raises(TypeError, match=r"expected a keras.Model or the path.*got int"):
        tflite.convert(3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_weights_are_named(bad):
    layer = keras.layers.Conv2D(2, 3, name="conv")
    net = keras.Sequential([keras.Input((8, 8, 3)), layer])
    kernel = np.array(layer.kernel)
    kernel.flat[3] = bad
    layer.kernel.assign(kernel)
    with pytest.raises(ValueError, match="conv/kernel holds NaN or infinite"):
        tflite.convert(net, precision="float32")


def recurrent(unroll):
    images = keras.Input((8, 8, 3))
    rows = keras.layers.Reshape((8, 24))(images)
    return keras.Model(images, keras.layers.LSTM(6, unroll=unroll, name="reader")(rows))


def test_recurrent_layers_as_loops_are_refused_before_calibration_crashes():
    with pytest.raises(ValueError, match=r"reader \(LSTM\).*unroll=True"):
        tflite.convert(recurrent(unroll=False), calibration=np.ones((2, 8, 8, 3), np.float32))


@pytest.mark.slow
def test_unrolled_recurrent_layers_are_quantized():
    # A prime number of images: in between are vectors in which the batch is no axis of its own.
    samples = np.random.default_rng(0).uniform(0, 1, (13, 8, 8, 3)).astype(np.float32)
    report = tflite.convert(recurrent(unroll=True), calibration=samples).report
    assert report.agreement.sqnr_db > 25


def test_a_model_that_gives_nan_is_refused():
    images = keras.Input((8, 8, 3))
    norm = keras.layers.BatchNormalization()
    net = keras.Model(images, keras.layers.Conv2D(2, 3)(norm(images)))
    norm.moving_variance.assign([-1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"gives NaN for calibration images.*negative var"):
        tflite.convert(net, calibration=np.ones((2, 8, 8, 3), np.float32))


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
