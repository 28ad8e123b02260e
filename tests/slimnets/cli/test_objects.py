"""`slimnets predict` with a detector: objects, boxes on the pictures, images that are none."""

import json

import numpy as np
import pytest
from PIL import Image

from slimnets import cli, dense_evaluation
from tflite.detector import Detection


class Finder:
    """Finds a cat in the upper left quarter of what is red, and nothing elsewhere."""

    labels = ("dog", "cat")

    def detect(self, images, least):
        red = np.asarray(Image.open(images[0]).convert("RGB"))[0, 0, 0] > 100
        cat = Detection("cat", 0.8, (0.0, 0.0, 0.5, 0.5))
        return [[cat] if red and least < 0.8 else []]


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dense_evaluation, "open_dense", lambda file, **_: Finder())
    Image.new("RGB", (60, 40), (200, 0, 0)).save("red.png")
    Image.new("RGB", (60, 40), (0, 0, 200)).save("blue.png")
    (tmp_path / "broken.png").write_bytes(b"no image")


def ask(capsys, *words, code=0):
    assert cli.main(["predict", "cats.tflite", *words]) == code
    return capsys.readouterr()


def test_objects_and_their_boxes(capsys):
    found = json.loads(ask(capsys, "red.png", "blue.png", "--json").out)["predictions"]
    assert [one["objects"] for one in found] == [
        [{"name": "cat", "score": 0.8, "box": [0.0, 0.0, 0.5, 0.5]}],
        [],
    ]
    shown = ask(capsys, "red.png", "blue.png").out
    assert "0.000 0.000 0.500 0.500" in shown
    assert "nothing" in shown


def test_only_what_is_surer_than_least(capsys):
    found = json.loads(ask(capsys, "red.png", "--least=0.9", "--json").out)["predictions"]
    assert found[0]["objects"] == []


def test_the_boxes_are_drawn(capsys):
    ask(capsys, "red.png", "--save=found.png")
    before, after = (np.asarray(Image.open(f).convert("RGB")) for f in ("red.png", "found.png"))
    assert after.shape == before.shape
    changed = (before != after).any(-1)
    assert changed[:, 30].any()
    assert not changed[30:].any()
    assert not changed[:, 50:].any() or changed[:12].any()


def test_images_that_are_none_are_named_and_the_others_answered(capsys):
    said = ask(capsys, "red.png", "broken.png", "nowhere.png", "--json", code=1)
    result = json.loads(said.out)
    assert [one["image"] for one in result["predictions"]] == ["red.png"]
    assert [one["image"] for one in result["errors"]] == ["broken.png", "nowhere.png"]


@pytest.mark.slow
def test_convert_makes_a_detectors_file(capsys, monkeypatch, tmp_path):
    import slimnets
    import tflite
    from tests.helpers.lively import lively

    shape = (32, 32, 3)
    model = lively(slimnets.ssdlite("mobilenet_v1_025", num_classes=2, input_shape=shape))
    model.save("best.keras")
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    words = ["best.keras", "--precision=float32", "--out=cats.tflite", "--json"]
    assert cli.main(["convert", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["agreement"]["found"] == result["agreement"]["detections"]
    monkeypatch.undo()
    made = tflite.Detector(tmp_path / "cats.tflite")
    assert made.labels == ("dog", "cat")
    assert made.image.size == shape[:2]
