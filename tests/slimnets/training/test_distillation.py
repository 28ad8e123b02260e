"""A student learns what its teacher says of the same images, prepared as the teacher takes them."""

import dataclasses

import keras
import numpy as np
import pytest

from slimnets import sidecar
from slimnets.training.config import check_config
from slimnets.training.distillation import Student, conversion, open_teacher, soft_loss, taught
from slimnets.training.recipe import build_loss
from slimnets.weights.sources import INCEPTION, TORCHVISION
from tflite.images import Preprocessing

DIGITS = tuple("0123456789")


def test_the_soft_loss_is_hintons():
    """By hand: T = 2 takes the square root of probabilities that are 1 : 4 and 4 : 1."""
    found = soft_loss(np.float32([[0.2, 0.8]]), np.float32([[0.8, 0.2]]), temperature=2.0)
    # Softened: the student (1, 2)/3, the teacher (2, 1)/3; KL = (2 - 1)/3 · log 2.
    np.testing.assert_allclose(np.asarray(found), [4 * np.log(2) / 3], rtol=1e-5)


def test_the_teacher_gets_the_pixels_as_it_takes_them():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    ours, theirs = (
        dataclasses.replace(style, size=(8, 8), crop_fraction=1.0)
        for style in (INCEPTION, TORCHVISION)
    )
    converted = conversion(ours, theirs)(ours(pixels))
    np.testing.assert_allclose(np.asarray(converted), theirs(pixels), atol=1e-5)
    larger = dataclasses.replace(theirs, size=(16, 16))
    assert conversion(ours, larger)(ours(pixels)).shape == (2, 16, 16, 3)


def linear_model(seed=0, classes=3):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(classes, kernel_regularizer="l2")(inputs)
    return keras.Model(inputs, keras.layers.Activation("softmax")(outputs))


def test_the_loss_is_labels_and_teacher_by_weight_and_measured_by_labels_alone():
    model, teacher = linear_model(), linear_model(1)
    student = Student(model, lambda x: teacher(x, training=False), temperature=3.0, weight=0.25)
    student.compile("sgd", "categorical_crossentropy")
    x, y = (
        np.random.default_rng(0).normal(size=(5, 4)).astype("float32"),
        np.eye(3)[[0, 1, 2, 1, 0]],
    )
    ours, theirs = model.predict(x, verbose=0), teacher.predict(x, verbose=0)
    hard = -np.log(ours[y == 1]).mean()
    decay = 0.01 * (np.asarray(model.layers[1].kernel) ** 2).sum()
    assert student.evaluate(x, y, verbose=0) == pytest.approx(hard + decay, rel=1e-4)
    soft = np.asarray(soft_loss(ours, theirs, 3.0)).mean()
    found = float(student.compute_loss(x, y, student(x), training=True))
    assert found == pytest.approx(0.75 * hard + 0.25 * soft + decay, rel=1e-4)
    assert len(student.weights) == len(model.weights)  # none of the teacher's


@pytest.fixture
def teacher(tmp_path):
    """A file as a run leaves it."""
    inputs = keras.Input((16, 16, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(10, activation=None)(pooled)
    model = keras.Model(inputs, keras.layers.Activation("softmax")(outputs), name="MobilenetV1")
    model.save(tmp_path / "best.keras")
    described = sidecar.Sidecar(
        network="mobilenet_v1",
        options={"input_shape": (16, 16, 3), "num_classes": 10},
        preprocessing=Preprocessing(size=(16, 16), crop_fraction=1.0),
        labels=DIGITS,
        weights="made up",
    )
    sidecar.path_beside(tmp_path / "best.keras").write_bytes(described.to_json())
    return tmp_path / "best.keras"


def test_a_teacher_of_other_classes_or_channels_is_refused(teacher):
    def asked(classes, **model):
        return open_teacher(check_config({"teacher": str(teacher), "model": model}), classes)

    assert asked(DIGITS).labels == DIGITS
    with pytest.raises(ValueError, match="gives 10 classes and the data has 2"):
        asked(("cat", "dog"))
    with pytest.raises(ValueError, match="in another order; '0' is the first"):
        asked(DIGITS[::-1])
    with pytest.raises(ValueError, match=r"takes images of 3 channels, and .* is 1"):
        asked(DIGITS, channels=1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilenet_v2", r"1000 classes of its weights and the data has 10.*fine-tune it"),
        ("mobilenet_v22", "Did you mean 'mobilenet_v2'"),
        ("mobilenet_v2_cifar10", "no published weights to teach by"),
    ],
)
def test_a_catalogues_teacher_has_weights_of_the_datas_classes(name, message):
    with pytest.raises(ValueError, match=message):
        open_teacher(check_config({"teacher": name}), DIGITS)


def test_a_teacher_stays_as_it_is_while_its_student_learns(teacher):
    config = check_config({"teacher": str(teacher), "model": {"input_size": (8, 8)}})
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Activation("softmax")(keras.layers.Dense(10)(pooled))
    prepare = Preprocessing(size=(8, 8), crop_fraction=1.0)
    student = taught(keras.Model(inputs, outputs), prepare, config, DIGITS)
    student.compile(keras.optimizers.SGD(1.0), "categorical_crossentropy")
    before = [w.copy() for w in student.get_weights()]
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    student.fit(x, np.eye(10)[:4], verbose=0)
    assert all((a != b).any() for a, b in zip(before, student.get_weights(), strict=True))
    assert len(before) == 2


@pytest.mark.parametrize("end", ["softmax", "sigmoid", None])
def test_what_a_teacher_gives_is_seen_through_a_nested_model(end, tmp_path):
    layers = keras.layers
    scores = layers.Dense(10, end, kernel_initializer=keras.initializers.RandomNormal(0, 0.02))
    body = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), scores])
    own = [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), body]
    model = keras.Sequential(own, name="mine")
    model.save(tmp_path / "mine.keras")
    config = check_config(
        {"teacher": str(tmp_path / "mine.keras"), "model": {"input_size": (8, 8)}}
    )
    image = keras.Input((8, 8, 3))
    pupil = keras.Model(image, layers.Dense(10, "softmax")(layers.Flatten()(image)))
    prepare = Preprocessing(size=(8, 8), crop_fraction=1.0)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    said = model.predict_on_batch(pixels.astype("float32")).astype(float)
    said = np.exp(said) if end is None else said
    found = taught(pupil, prepare, config, DIGITS)._teach(prepare(pixels))
    np.testing.assert_allclose(np.asarray(found), said / said.sum(1, keepdims=True), atol=1e-5)


def test_a_model_that_ends_in_a_sigmoid_learns_each_class_by_itself():
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Activation("sigmoid")(keras.layers.Dense(3)(image)))
    given, wanted = np.float32([[0.9, 0.2, 0.5]]), np.float32([[1, 0, 0]])
    expected = -np.log([0.9, 0.8, 0.5]).mean()
    loss = build_loss(check_config({}), model)
    assert float(loss(wanted, given)) == pytest.approx(expected, rel=1e-5)
