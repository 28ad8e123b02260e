"""Detectors and segmenters are trained, measured and drawn as classifiers are."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import slimnets
import tflite
from slimnets import cli, data, dense_evaluation, evaluation
from slimnets.cli.command_flags import load_recipe
from slimnets.data import Annotated, Source
from slimnets.data.scenes import scenes
from slimnets.export.to_onnx import export_onnx
from slimnets.training import default_config, recipe, scene_sets, tasks
from slimnets.training.loop import train
from slimnets.weights.families import head_layers
from tflite.detector import Detection
from tflite.images import Preprocessing

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = {"best.keras", "best.json", "last.keras", "last.json", "labels.txt", "history.csv"}


def few():
    """Twelve scenes a split."""
    whole = data.load("builtin:scenes")
    parts = {split: part.select(np.arange(12)) for split, part in whole.splits.items()}
    return Source(whole.name, whole.class_names, parts)


def small(recipe):
    """The recipe from noise, of two epochs of three steps."""
    config = load_recipe(str(CONFIGS / f"{recipe}.py")).unlock()
    config.epochs, config.batch_size, config.head.epochs = 2, 4, 1
    config.model.weights, config.model.freeze_batch_norm = "", False
    config.model.kwargs.backbone = "mobilenet_v1_025"
    config.model.input_size = (64, 64)
    return config


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    Image.fromarray(scenes(1, 96).images[0]).save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figure", "labels"),
    [("detect", "map50", ("0", "1", "7")), ("segment", "miou", ("background", "0", "1", "7"))],
)
def test_from_a_recipe_to_a_picture_with_answers(
    name, figure, labels, tmp_path, scene, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    source = few()
    result = train(small(name), "run", load=lambda _: source)
    assert {path.name for path in Path("run").iterdir()} >= {*FILES, "run.html", "result.json"}
    assert tuple(result["classes"]) == labels
    assert 0 <= result[f"val_{figure}"] <= 1
    assert len(result["history"][f"val_{figure}"]) == 2
    assert Path("run/run.html").read_text("utf-8").count("data:image/png") == 12

    opened = dense_evaluation.open_dense("run/best.keras")
    assert opened.labels == labels
    measure = {
        "detect": dense_evaluation.evaluate_detector,
        "segment": dense_evaluation.evaluate_segmenter,
    }[name]
    told = measure(opened, source, "val").to_dict()
    # The network's size is not the pictures': masks are compared at the pictures' own.
    assert abs(told[figure] - result[f"val_{figure}"]) < 0.1
    assert (
        cli.main(["predict", "run/best.keras", str(scene), "--least=0", "--save=s.png", "--json"])
        == 0
    )
    (answer,) = json.loads(capsys.readouterr().out)["predictions"]
    assert {one["name"] for one in answer["objects" if name == "detect" else "classes"]} <= set(
        labels
    )
    assert Image.open("s.png").size == (96, 96)
    if name == "segment":  # of a detector, the documentation's own page does it
        file = evaluation.open_keras("run/best.keras")
        tflite.convert(
            file.model,
            "best.tflite",
            precision="float32",
            preprocessing=file.preprocessing,
            labels=file.labels,
        )
        again = measure(dense_evaluation.open_dense("best.tflite"), source, "val").to_dict()
        assert again["miou"] == pytest.approx(told["miou"], abs=1e-3)


def test_a_training_that_goes_on_sees_what_it_would_have_seen():
    """The second pass is another than the first, and the same in every process."""
    source, config = few(), small("segment")
    config.model.input_size = (32, 32)
    how = Preprocessing(size=(32, 32), crop_fraction=1.0)

    def passes():
        def targets(_, mask):
            return {"": mask[:2, :2]}

        train_set, _ = scene_sets.build(config, source, how, targets, masks=True)
        assert int(train_set.cardinality()) == 3
        return [np.concatenate([images for images, _ in train_set]) for _ in range(2)]

    first, again = passes(), passes()
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, again)


def test_views_of_masks_alone_keep_to_what_is_in_them():
    mask = np.zeros((10, 20), np.uint8)
    mask[2:4, 5:10], mask[9, 19] = 2, 255
    boxes, kinds = scene_sets.boxes_of(mask)
    assert kinds.tolist() == [2]
    np.testing.assert_allclose(boxes, [[0.2, 0.25, 0.4, 0.5]])


def config_of(network, **changes):
    config = default_config()
    config.model.name = network
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.parametrize(
    ("network", "source", "message"),
    [
        ("mobilenet_v2", few(), "needs a class for each picture.*is there to detect or segment"),
        ("ssdlite", data.load("builtin:digits"), "ssdlite needs boxes.*is there to classify"),
        ("lraspp", data.load("builtin:digits"), "lraspp needs masks"),
    ],
)
def test_pictures_that_say_something_else_are_refused(network, source, message):
    with pytest.raises(ValueError, match=message):
        tasks.check_source(config_of(network), source)


def test_a_classifier_is_not_measured_on_scenes():
    classifier = evaluation.Classifier(lambda images: np.zeros((len(images), 3), np.float32))
    with pytest.raises(ValueError, match="a classifier needs a class for each"):
        evaluation.evaluate(classifier, few())


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("ssdlite", {"data.mixup": 0.2}, r"trained to detect, which knows no config\.data\.mixup"),
        ("lraspp", {"label_smoothing": 0.1}, r"segment, which knows no config\.label_smoothing"),
        ("mobilenet_v2", {"data.object_crops": True}, r"classify, .*config\.data\.object_crops"),
    ],
)
def test_fields_of_another_task_are_refused(network, changes, message):
    with pytest.raises(ValueError, match=message):
        tasks.task_of(config_of(network, **changes))


@pytest.mark.slow
@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("network", ["ssdlite", "lraspp"])
def test_what_a_run_says_of_its_network_builds_the_same_layers_again(network, explicit, tmp_path):
    """Of classification weights, which decide the padding."""
    path, shape = tmp_path / "classifier.keras", (64, 64, 3)
    options = {"depth_multiplier": 0.35, "use_explicit_padding": explicit}
    slimnets.mobilenet_v3_small(shape, num_classes=5, **options).save(path)
    config = config_of(network)
    config.model.weights, config.model.input_size = str(path), shape[:2]
    config.model.kwargs.backbone = "mobilenet_v3_small"
    config.model.kwargs.depth_multiplier = 0.35
    model = recipe.build_model(config, 3)
    again = slimnets.create_model(network, **recipe.build_options(config, 3))
    for ours, theirs in zip(model.layers, again.layers, strict=True):
        assert (ours.name, ours.get_config()) == (theirs.name, theirs.get_config())
    heads = head_layers(model)
    assert "layer_2.depthwise.conv" not in heads
    assert ("extra_1.reduce.conv" if network == "ssdlite" else "head.low.conv") in heads


class Finds:
    """A detector that finds a cat and a dog where `boxes` are."""

    labels = ("cat", "dog")

    def __init__(self, *boxes):
        self._boxes = boxes

    def detect(self, images, _):
        found = [Detection(*one) for one in zip(self.labels, (0.9, 0.8), self._boxes, strict=True)]
        return [found for _ in images]


def test_a_detector_is_measured_on_pictures_that_lack_one_of_its_classes():
    half = (0.0, 0.0, 0.5, 0.5)
    boxes = np.array([half], np.float32), np.array([0])
    split = Annotated(np.zeros((2, 8, 16, 3), np.uint8), (boxes, boxes))
    found = {}
    for names in (("dog",), ("cat",), ("cat", "cow")):
        source = Source("made up", names, {"val": split})
        detector = Finds((0.0, 0.0, 0.1, 0.1), half)
        if "cow" in names:
            with pytest.raises(ValueError, match="'cow' is in only one of them"):
                dense_evaluation.evaluate_detector(detector, source)
        else:
            found[names] = dense_evaluation.evaluate_detector(detector, source).mean
    assert found == {("dog",): pytest.approx(1.0), ("cat",): 0.0}


def of_brightness(activation):
    """A segmenter of one channel: above 0 where a picture is bright."""
    image = keras.Input((8, 8, 3))
    return keras.Model(
        image, keras.layers.Conv2D(1, 1, activation=activation, kernel_initializer="ones")(image)
    )


def test_the_one_channel_of_a_segmenter_is_the_probability_of_class_1(tmp_path):
    prepare = Preprocessing(size=(8, 8), crop_fraction=1.0)
    picture = np.zeros((8, 24, 3), np.uint8)
    picture[:, :12] = 255
    file = evaluation.KerasFile(of_brightness("sigmoid"), prepare, ("cat",))
    found = dense_evaluation._of_keras(file)
    assert found.labels == ("background", "cat")
    assert (found.classes(picture) == (picture[..., 0] > 0)).all()
    tflite.convert(file.model, tmp_path / "x.tflite", precision="float32", preprocessing=prepare)
    export_onnx(file.model, tmp_path / "x.onnx", preprocessing=prepare)
    for name in ("x.tflite", "x.onnx"):
        converted = dense_evaluation.open_dense(tmp_path / name)
        assert (converted.classes(picture) == (picture[..., 0] > 0)).all()


def test_a_detector_in_onnx_is_told_to_lack_its_anchors(tmp_path):
    image = keras.Input((8, 8, 3))
    cells = keras.layers.Flatten()(image)
    heads = {
        "boxes": keras.layers.Reshape((4, 4))(keras.layers.Dense(16)(cells)),
        "scores": keras.layers.Reshape((4, 3))(keras.layers.Dense(12)(cells)),
    }
    export_onnx(keras.Model(image, heads), tmp_path / "x.onnx")
    with pytest.raises(ValueError, match=r"not say which anchors; take the detector's \.keras"):
        dense_evaluation.open_dense(tmp_path / "x.onnx")


def test_one_number_a_pixel_is_no_class():
    prepare = Preprocessing(size=(8, 8), crop_fraction=1.0)
    with pytest.raises(ValueError, match="end it in a sigmoid, or give it a channel for each"):
        dense_evaluation._of_keras(evaluation.KerasFile(of_brightness(None), prepare))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_training_sees_through_pictures_as_evaluation_does(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "see_through.png")
    objects = ((np.array([[0, 0, 1, 1]], np.float32), np.array([0])),)
    split = Annotated((str(tmp_path / "see_through.png"),), objects)
    prepare = Preprocessing(size=(8, 12), crop_fraction=1.0).for_channels(channels)
    made = scene_sets._Pictures(split, prepare, lambda *_: {"": np.zeros(1)}, False)
    found, _ = made.made([0], np.zeros((0, 2)), None)
    np.testing.assert_allclose(found, prepare(list(split.images)), atol=0.02)
