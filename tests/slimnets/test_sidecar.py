"""What a model is stands beside it: written whole, read only where it fits."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from slimnets import sidecar
from slimnets.sidecar import Sidecar
from tflite.images import Preprocessing

DESCRIBED = Sidecar(
    network="mobilenet_v2",
    options={"input_shape": (96, 128, 3), "num_classes": 3, "depth_multiplier": 0.5},
    preprocessing=Preprocessing(
        size=(96, 128),
        crop_fraction=224 / 232,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        value_range=(0.0, 1.0),
        interpolation="bicubic",
        keep_aspect_ratio=True,
    ),
    labels=("ant", "bée", "cat, small"),
    weights="trained on folder:pets",
)


def model(height=96, width=128, channels=3, classes=3):
    return SimpleNamespace(
        input_shape=(None, height, width, channels), output_shape=(None, classes)
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "best.keras"
    sidecar.path_beside(path).write_bytes(DESCRIBED.to_json())
    return path


def rewrite(path, **changes):
    place = sidecar.path_beside(path)
    fields = {**json.loads(place.read_text("utf-8")), **changes}
    place.write_text(json.dumps(fields), "utf-8")


def test_everything_that_is_written_is_read(path):
    assert sidecar.path_beside(path).name == "best.json"
    assert sidecar.read(path, model()) == DESCRIBED


def test_it_is_plain_json_that_other_programs_understand(path):
    fields = json.loads((path.parent / "best.json").read_text("utf-8"))
    assert fields == {
        "format": "slimnets model",
        "version": 1,
        "network": "mobilenet_v2",
        "options": {"input_shape": [96, 128, 3], "num_classes": 3, "depth_multiplier": 0.5},
        "preprocessing": {
            "size": [96, 128],
            "crop_fraction": 224 / 232,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "value_range": [0.0, 1.0],
            "interpolation": "bicubic",
            "keep_aspect_ratio": True,
        },
        "labels": ["ant", "bée", "cat, small"],
        "weights": "trained on folder:pets",
    }


def test_what_was_read_can_be_written_again(path):
    assert sidecar.read(path, model()).to_json() == DESCRIBED.to_json()


def test_a_model_of_open_size_takes_any(path):
    assert sidecar.read(path, model(None, None)) == DESCRIBED


@pytest.mark.parametrize("content", [None, '{"layers": []}', '["format"]', "3"])
def test_without_one_and_beside_another_programs_file_nothing_is_said(tmp_path, content):
    if content is not None:
        (tmp_path / "best.json").write_text(content)
    assert sidecar.read(tmp_path / "best.keras", model()) is None


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        (model(classes=4), "it names 3 classes, but the model has 4"),
        (model(224, 224), "its images are 96×128×3, but the model takes 224×224×3"),
        (model(128, 96), "96×128×3, but the model takes 128×96×3"),
        (model(channels=1), "96×128×3, but the model takes 96×128×1"),
    ],
)
def test_one_that_is_about_another_model_is_refused(path, taken, message):
    with pytest.raises(ValueError, match=rf"best\.json does not fit .*best\.keras: .*{message}\."):
        sidecar.read(path, taken)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2, and this slimnets reads versions up to 1"),
        ({"version": None}, "its version is None"),
        ({"network": 7}, "network should be a network's name, not 7"),
        ({"labels": "abc"}, "labels should be a list of names, not abc"),
        ({"labels": ["a", 1, "c"]}, "labels should be a list of names"),
        ({"options": []}, "options should be a table"),
        ({"preprocessing": {"size": [96, 128]}}, "see crop_fraction, interpolation,"),
        ({"weights": None}, "weights should be text"),
    ],
)
def test_a_damaged_one_is_told_by_its_field(path, changes, message):
    rewrite(path, **changes)
    with pytest.raises(
        ValueError, match=rf"best\.json does not fit .*{message}.*delete best\.json"
    ):
        sidecar.read(path, model())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"std": [1, 0, 1]}, "std must be positive"),
        ({"size": "large"}, "size must be two positive integers"),
        ({"crop_fraction": None}, "crop_fraction must be above 0"),
        ({"mean": None}, "mean and std must have a number for each channel"),
        ({"more": 1}, "see more"),
    ],
)
def test_an_impossible_preprocessing_is_refused(path, changes, message):
    rewrite(path, preprocessing={**dataclasses.asdict(DESCRIBED.preprocessing), **changes})
    with pytest.raises(ValueError, match=message):
        sidecar.read(path, model())


@pytest.mark.parametrize("content", [b"", b'{"format": "slimn', b"\xff\xfe", b"[" * 100_000])
def test_one_that_is_cut_short_is_no_json(tmp_path, content):
    (tmp_path / "best.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"best\.json does not fit .*it is no JSON"):
        sidecar.read(tmp_path / "best.keras", model())


def test_only_a_sidecar_is_ever_overwritten(tmp_path, path):
    assert sidecar.check_place(path) == tmp_path / "best.json"
    assert sidecar.check_place(tmp_path / "new.keras") == tmp_path / "new.json"
    for content in ('{"layers": []}', "no json"):
        (tmp_path / "mine.json").write_text(content)
        with pytest.raises(FileExistsError, match=r"mine\.json .*would be overwritten"):
            sidecar.check_place(tmp_path / "mine.keras")
