"""Accuracy, the same for every kind of model."""

import keras
import numpy as np
import pytest

import slimnets
from slimnets import data, evaluation, sidecar
from slimnets.data import Source, Split
from tflite.images import Preprocessing


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
    with pytest.raises(ValueError, match=r"\.keras, \.tflite or \.onnx"):
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


def test_a_model_may_give_its_output_in_a_dictionary():
    images = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(3)(keras.layers.Flatten()(images))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    bare, wrapped = (
        evaluation.open_classifier(keras.Model(images, outputs, name="mobilenet_v1"))
        for outputs in (scores, {"scores": scores})
    )
    assert (wrapped.probabilities(pictures) == bare.probabilities(pictures)).all()


def test_a_single_sigmoid_is_the_probability_of_the_second_of_two_classes():
    flat = [keras.Input((8, 8, 3)), keras.layers.Flatten()]
    model = keras.Sequential([*flat, keras.layers.Dense(1, "sigmoid")], name="mobilenet_v1")
    model.layers[-1].kernel.assign(np.full((192, 1), 1.0))  # -192 for black, 192 for white
    photos = np.array([np.full((8, 8, 3), shade) for shade in (0, 255, 255, 0)], np.uint8)
    source = Source("shades", ("dark", "light"), {"val": Split(photos, np.array([0, 1, 0, 0]))})
    result = evaluation.evaluate(model, source)
    assert result.top1 == 0.75
    assert result.confusion.tolist() == [[2, 1], [0, 1]]


@pytest.mark.parametrize(("label", "right"), [("light", 0.75), ("dark", 0.25)])
def test_the_one_name_of_a_single_sigmoid_is_that_of_the_class_it_means(label, right):
    def probabilities(images):
        return np.array([[np.mean(image) / 255] for image in images], np.float32)

    photos = np.array([np.full((8, 8, 3), shade) for shade in (0, 255, 255, 0)], np.uint8)
    source = Source("shades", ("dark", "light"), {"val": Split(photos, np.array([0, 1, 0, 0]))})
    assert evaluation.evaluate(evaluation.Classifier(probabilities, (label,)), source).top1 == right


# --- What stands beside a .keras file ------------------------------------------------------------

WHITE = Preprocessing(size=(8, 8), crop_fraction=1.0, mean=(1.0,) * 3, std=(0.5,) * 3)


@pytest.fixture
def file(tmp_path):
    """A .keras file whose name tells a MobileNet, and whose scores are its input's brightness."""
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()], name="mobilenet_v1"
    )
    model.save(tmp_path / "best.keras")
    return tmp_path / "best.keras"


def describe(file, prepare=WHITE, labels=("r", "g", "b")):
    described = sidecar.Sidecar("mobilenet_v1", {}, prepare, labels)
    sidecar.path_beside(file).write_bytes(described.to_json())


def test_a_described_file_is_opened_as_described(file, caplog):
    describe(file)
    (file.parent / "labels.txt").write_text("r\ng\nb\n")
    opened = evaluation.open_keras(file)
    assert (opened.preprocessing, opened.labels) == (WHITE, ("r", "g", "b"))
    assert evaluation.prepare_for(file) == evaluation.prepare_for(str(file)) == WHITE
    classifier = evaluation.open_classifier(file)
    assert classifier.labels == ("r", "g", "b")
    # Red 255 → (1 - 1) / 0.5 = 0; green and blue 0 → (-1 - 1) / 0.5 = -4.
    (row,) = classifier.probabilities([np.full((3, 3, 3), (255, 0, 0), np.uint8)])
    np.testing.assert_allclose(row, np.exp([0, -4, -4]) / np.exp([0, -4, -4]).sum(), atol=1e-6)
    # TensorFlow may have something to say of its own.
    assert "guessed" not in caplog.text
    assert "name the classes" not in caplog.text


def test_another_networks_preprocessing_may_be_asked_for(file):
    describe(file)
    assert evaluation.open_keras(file, like="mobilenet_v1").preprocessing == Preprocessing(
        size=(8, 8), crop_fraction=1.0
    )
    assert evaluation.open_keras(file, like="mobilenet_v1").labels == ("r", "g", "b")


def test_a_file_alone_is_opened_by_its_name_and_that_is_said(file, caplog):
    (file.parent / "labels.txt").write_text("r\ng\nb\n")
    opened = evaluation.open_keras(file)
    assert opened.preprocessing == Preprocessing(size=(8, 8), crop_fraction=1.0)
    assert opened.labels == ("r", "g", "b")
    assert "best.keras takes images is guessed from its name, since there is no" in caplog.text
    assert "pixels become -1..1" in caplog.text


def test_a_description_of_another_model_is_never_used(file):
    describe(file, labels=("r", "g"))
    for opened in (evaluation.open_classifier, evaluation.open_keras, evaluation.prepare_for):
        with pytest.raises(ValueError, match="it names 2 classes, but the model has 3"):
            opened(file)
    with pytest.raises(ValueError, match="it names 2 classes"):
        evaluation.open_keras(file, like="squeezenet1_1")


def test_class_names_that_disagree_are_told(file, caplog):
    describe(file)
    (file.parent / "best.labels.txt").write_text("b\ng\nr\n")
    assert evaluation.open_keras(file).labels == ("r", "g", "b")
    assert "best.json and the text file beside it name the classes" in caplog.text


def test_a_description_without_class_names_leaves_them_to_the_text_file(file):
    describe(file, labels=())
    (file.parent / "labels.txt").write_text("x\ny\nz\n")
    assert evaluation.open_keras(file).labels == ("x", "y", "z")


def test_a_grey_model_is_given_grey_images():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)], name="mobilenet_v1"
    )
    assert evaluation.prepare_for(model).channels == 1
    assert evaluation.prepare_for(model, like="squeezenet1_1").channels == 1
    photo = np.zeros((9, 9, 3), np.uint8)
    assert evaluation.open_classifier(model).probabilities([photo]).shape == (1, 2)


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


def small_v4(**options):
    import slimnets

    norm = {"batch_norm": {"epsilon": 1e-5}}
    return slimnets.mobilenet_v4_conv_small(
        (32, 32, 3), num_classes=3, use_explicit_padding=True, arg_scope=norm, **options
    )


def test_where_fitting_weights_differ_in_their_images_nothing_is_guessed(tmp_path):
    """timm's of MobileNetV4-Conv-S learned from ImageNet's mean and deviation, or from -1..1."""
    small_v4().save(tmp_path / "v4.keras")
    message = r"v4\.keras does not say how it takes images.* Pass --like=NAME .*"
    with pytest.raises(ValueError, match=message + r"e3600_r256_in1k \(-1…1\), .*\(-2\.12…2\.64\)"):
        evaluation.open_keras(tmp_path / "v4.keras")
    like = "timm/mobilenetv4_conv_small.e3600_r256_in1k"
    assert evaluation.open_keras(tmp_path / "v4.keras", like=like).preprocessing.range == (-1, 1)


def test_where_they_agree_it_is_theirs():
    import slimnets

    half = small_v4(depth_multiplier=0.5)  # only one was published, of -1..1
    assert evaluation.prepare_for(half).range == (-1, 1)
    fresh = slimnets.mobilenet_v4_conv_small((32, 32, 3), num_classes=3)  # not timm's padding
    assert evaluation.prepare_for(fresh).range == (-1, 1)


def test_models_with_several_ends_are_told_so():
    picture, number = keras.Input((8, 8, 3)), keras.Input((2,))
    flat = keras.layers.Flatten()(picture)
    kind, age = (keras.layers.Dense(n, name=name)(flat) for n, name in ((3, "kind"), (1, "age")))
    answers = keras.Model(picture, {"kind": kind, "age": age})
    with pytest.raises(ValueError, match=r"2 outputs \((kind, age|age, kind)\)"):
        evaluation.open_classifier(evaluation.KerasFile(answers, Preprocessing(size=(8, 8))))
    both = keras.Model([picture, number], keras.layers.Concatenate()([kind, number]))
    with pytest.raises(ValueError, match="2 inputs"):
        evaluation.prepare_for(both, like="mobilenet_v1")


def test_a_segmenters_pictures_are_never_cut(tmp_path):
    """Not even where they are prepared like a classifier's."""
    picture = keras.Input((8, 8, 3))
    keras.Model(picture, keras.layers.Conv2D(2, 1)(picture)).save(tmp_path / "maps.keras")
    prepare = evaluation.open_keras(tmp_path / "maps.keras", like="squeezenet1_1").preprocessing
    assert prepare.mean == slimnets.preprocessing("squeezenet1_1").mean
    assert (prepare.crop_fraction, prepare.keep_aspect_ratio) == (1.0, False)
