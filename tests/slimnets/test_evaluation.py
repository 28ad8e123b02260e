"""Accuracy, the same for every kind of model."""

import keras
import numpy as np
import pytest

from slimnets import data, evaluation
from slimnets.data import Source, Split


def rule_classifier(labels=()):
    """Sees an image's class in its first pixel; takes 8 for 3."""

    def probabilities(images):
        classes = np.array([image[0, 0] for image in images])
        scores = np.eye(10, dtype=np.float32)[np.where(classes == 8, 3, classes)]
        return scores * 0.9 + 0.01

    return evaluation.Classifier(probabilities, labels)


@pytest.fixture(scope="module")
def source():
    labels = np.repeat(np.arange(10), 5)
    images = np.zeros((50, 4, 4), np.uint8)
    images[:, 0, 0] = labels
    return Source("made up", tuple("abcdefghij"), {"test": Split(images, labels)})


def test_top1_top5_and_confusion_are_what_counting_by_hand_gives(source):
    result = evaluation.evaluate(rule_classifier(), source)
    assert (result.split, result.count, result.top1) == ("test", 50, 0.9)
    # All others tie, so the eights' five most probable are 3 and then 0, 1, 2, 4.
    assert result.top5 == 0.9
    expected = 5 * np.eye(10, dtype=int)
    expected[8] = 0
    expected[8, 3] = 5
    assert (result.confusion == expected).all()


def test_classes_are_matched_by_name(source):
    # The same classifier, whose outputs are named backwards.
    backwards = rule_classifier(tuple("jihgfedcba"))
    assert evaluation.evaluate(backwards, source).confusion[0, 9] == 5


def test_other_classes_are_refused(source):
    with pytest.raises(ValueError, match="not the same"):
        evaluation.evaluate(rule_classifier(tuple("abcdefghiz")), source)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()], name="mobilenet_v1"
    )
    with pytest.raises(ValueError, match="10 classes"):
        evaluation.evaluate(model, source)


def test_a_file_that_is_no_model_is_named(tmp_path, source):
    for name in ("fake.keras", "fake.tflite"):
        (tmp_path / name).write_bytes(b"this is no model, whatever its name says" * 10)
        with pytest.raises(ValueError, match=name):
            evaluation.open_classifier(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        evaluation.open_classifier(tmp_path / "nowhere.keras")
    (tmp_path / "model.pt").touch()
    with pytest.raises(ValueError, match=r"\.keras or \.tflite"):
        evaluation.open_classifier(tmp_path / "model.pt")


def test_a_model_that_ends_in_logits_gives_probabilities_too():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, bias_initializer=keras.initializers.RandomNormal(seed=1)),
        ],
        name="mobilenet_v1",
    )
    rows = evaluation.open_classifier(model).probabilities([np.zeros((8, 8), np.uint8)])
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_a_float32_device_file_is_as_good_as_its_keras_model(tmp_path):
    import slimnets
    import tflite

    keras.utils.set_random_seed(0)
    model = slimnets.mobilenet_v1_025(
        (32, 32, 3), num_classes=10, arg_scope={"batch_norm": {"momentum": 0.5}}
    )
    digits = data.load("builtin:digits")
    prepare = evaluation.prepare_for(model)
    images = prepare(list(digits.splits["train"].images))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, digits.splits["train"].labels, epochs=1, verbose=0)
    tflite.convert(
        model,
        tmp_path / "model.tflite",
        precision="float32",
        preprocessing=prepare,
        labels=digits.class_names,
    )
    ours = evaluation.evaluate(model, digits, "val")
    theirs = evaluation.evaluate(tmp_path / "model.tflite", digits, "val")
    assert (ours.confusion == theirs.confusion).all()
    assert len(set(ours.predicted)) > 5
    alike = evaluation.evaluate(tmp_path / "model.tflite", digits, "val", like="mobilenet_v1")
    assert (alike.confusion == theirs.confusion).all()
