"""`slimnets predict`: many images, some of them bad, and pictures with the answers."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimnets import cli, evaluation
from tflite.image_files import read_image

RED, BLUE = (200, 0, 0), (0, 0, 200)
FILE = "colours.tflite"


def _colours(images):
    """Probabilities of red, green and blue: the share of each in an image's pixels."""
    rows = [np.asarray(read_image(i).convert("RGB"), np.float32).mean((0, 1)) for i in images]
    return np.stack([row / row.sum() for row in rows])


@pytest.fixture
def classifier(monkeypatch):
    """Makes predict ask the given function instead of a file."""

    def use(function=_colours, labels=("red", "green", "blue"), are_probabilities=True):
        opened = evaluation.Classifier(function, labels, are_probabilities)
        monkeypatch.setattr(evaluation, "open_classifier", lambda file, **_: opened)

    use()
    return use


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    """red.png, blue.jpg, a folder with both and with what is in no album, and broken files."""
    monkeypatch.chdir(tmp_path)
    for folder in (".", "album", "album/more", "album/.hidden", "album/__MACOSX"):
        Path(folder).mkdir(exist_ok=True)
        Image.new("RGB", (30, 20), RED).save(f"{folder}/red.png")
        Image.new("RGB", (30, 20), BLUE).save(f"{folder}/blue.jpg")
    Path("album/.DS_Store").write_bytes(b"Bud1")
    Path("album/._red.png").write_bytes(b"fork")
    Path("album/notes.txt").write_text("no image")
    Path("broken.png").write_bytes(b"no image")


def predict(capsys, *words, code=0):
    assert cli.main(["predict", FILE, *words]) == code
    return capsys.readouterr()


def images_of(out):
    return [prediction["image"] for prediction in json.loads(out)["predictions"]]


@pytest.mark.usefixtures("classifier")
class TestImages:
    def test_several_images_are_answered_in_their_order(self, capsys):
        out, err = predict(capsys, "blue.jpg", "red.png", "--top=1", "--json")
        assert [(p["image"], p["classes"][0]["name"]) for p in json.loads(out)["predictions"]] == [
            ("blue.jpg", "blue"),
            ("red.png", "red"),
        ]
        assert json.loads(out)["errors"] == []
        assert err == ""

    def test_a_folder_means_its_images_and_nothing_hidden(self, capsys):
        out, _ = predict(capsys, "album", "--json")
        found = ["album/blue.jpg", "album/more/blue.jpg", "album/more/red.png", "album/red.png"]
        assert images_of(out) == found

    def test_a_pattern_means_the_files_that_match(self, capsys):
        out, _ = predict(capsys, "album/*.png", "--json")
        assert images_of(out) == ["album/red.png"]
        out, _ = predict(capsys, "album/**/*.png", "--json")
        assert images_of(out) == ["album/more/red.png", "album/red.png"]

    def test_a_file_whose_name_looks_like_a_pattern_is_that_file(self, capsys):
        Path("red.png").rename("red[1].png")
        out, _ = predict(capsys, "red[1].png", "--json")
        assert images_of(out) == ["red[1].png"]

    @pytest.mark.parametrize("bad", ["gone.png", "broken.png", "none*.png", "empty"])
    def test_a_bad_image_is_named_and_the_others_are_answered(self, bad, capsys):
        Path("empty").mkdir()
        out, err = predict(capsys, "red.png", bad, "blue.jpg", code=1)
        assert "red.png" in out
        assert "blue.jpg" in out
        assert bad not in out
        assert bad in err
        assert err.startswith("slimnets predict: error: ")
        assert err.count("\n") == 1

    def test_json_holds_answers_and_errors(self, capsys):
        out, err = predict(capsys, "gone.png", "red.png", "broken.png", "--json", code=1)
        result = json.loads(out)
        assert images_of(out) == ["red.png"]
        assert [error["image"] for error in result["errors"]] == ["gone.png", "broken.png"]
        gone, broken = err.splitlines()
        assert "gone.png" in gone
        assert "broken.png" in broken

    def test_nothing_is_printed_where_no_image_is_good(self, capsys):
        out, err = predict(capsys, "gone.png", "broken.png", code=1)
        assert out == ""
        assert err.count("\n") == 2

    def test_more_images_than_are_asked_at_once(self, capsys):
        out, err = predict(capsys, *["red.png"] * 40, "gone.png", "blue.jpg", "--json", code=1)
        assert images_of(out) == ["red.png"] * 40 + ["blue.jpg"]
        assert err.count("\n") == 1


class TestModels:
    def test_a_model_that_fails_is_told_once_and_not_for_every_image(self, classifier, capsys):
        def fails(images):
            raise RuntimeError("no kernel")

        classifier(fails)
        out, err = predict(capsys, "red.png", "blue.jpg", code=1)
        assert (out, err) == ("", "slimnets predict: error: RuntimeError: no kernel\n")

    def test_raw_numbers_are_shown_as_numbers(self, classifier, capsys):
        classifier(lambda images: np.full((len(images), 1), 41.5, np.float32), ("age",), False)
        out, _ = predict(capsys, "red.png")
        assert "41.5" in out
        assert "%" not in out
        out, _ = predict(capsys, "red.png", "--json")
        (prediction,) = json.loads(out)["predictions"]
        assert prediction["classes"] == [{"index": 0, "name": "age", "value": 41.5}]

    def test_as_many_names_as_outputs(self, classifier, capsys):
        classifier(labels=("red", "blue"))
        _, err = predict(capsys, "red.png", code=1)
        assert "3 outputs, but 2 class names" in err

    def test_maps_are_refused(self, classifier, capsys):
        classifier(lambda images: np.zeros((len(images), 4, 4, 3)))
        _, err = predict(capsys, "red.png", code=1)
        assert "(4, 4, 3)" in err


@pytest.mark.usefixtures("classifier")
class TestSaving:
    def test_one_picture_is_the_image_over_its_answer(self, capsys):
        out, _ = predict(capsys, "red.png", "--save=answer.png", "--json")
        assert json.loads(out)["predictions"][0]["picture"] == "answer.png"
        with Image.open("answer.png") as opened:
            picture = np.asarray(opened)
        assert tuple(picture[5, 160]) == RED
        below = picture[-20:]
        assert below.max() == 255  # paper …
        assert below.min() < 100  # … with writing on it

    def test_a_folder_receives_a_picture_an_image_under_names_of_their_own(self, capsys):
        out, _ = predict(capsys, "album", "--save=answers/of/today", "--json")
        saved = sorted(Path("answers/of/today").iterdir())
        assert [path.name for path in saved] == ["blue-2.png", "blue.png", "red-2.png", "red.png"]
        pictures = {p["picture"] for p in json.loads(out)["predictions"]}
        assert pictures == {str(path) for path in saved}

    def test_bad_images_give_no_picture(self, capsys):
        predict(capsys, "red.png", "broken.png", "--save=answers", code=1)
        assert [path.name for path in Path("answers").iterdir()] == ["red.png"]

    def test_several_images_do_not_fit_in_one_picture(self, capsys):
        _, err = predict(capsys, "red.png", "blue.jpg", "--save=answer.png", code=2)
        assert "give a folder" in err

    @pytest.mark.parametrize("save", ["red.png", "."])
    def test_an_image_is_never_written_over(self, save, capsys):
        before = Path("red.png").read_bytes()
        _, err = predict(capsys, "red.png", f"--save={save}", code=2)
        assert "would write over the image red.png" in err
        assert Path("red.png").read_bytes() == before

    def test_a_place_that_cannot_be_written_is_told_before_the_work(self, capsys):
        out, err = predict(capsys, "red.png", "--save=nowhere/answer.png", code=1)
        assert out == ""
        assert "nowhere" in err

    def test_long_and_foreign_names_are_drawn_too(self, classifier, capsys):
        classifier(labels=("длинный" * 40, "猫", "c"))
        predict(capsys, "red.png", "--save=answer.png")
        with Image.open("answer.png") as picture:
            assert picture.width == 330  # 30 pixels, eleven times


@pytest.mark.parametrize(
    ("labels", "names"), [((), ["1", "0"]), (("cat", "dog"), ["dog", "cat"]), (("dog",), ["dog"])]
)
def test_a_single_sigmoid_tells_two_classes_where_it_is_not_named_as_one(
    capsys, classifier, labels, names
):
    classifier(lambda images: np.full((len(images), 1), 0.75, np.float32), labels)
    (found,) = json.loads(predict(capsys, "red.png", "--json").out)["predictions"]
    assert [one["name"] for one in found["classes"]] == names
    assert [one["probability"] for one in found["classes"]] == [0.75, 0.25][: len(names)]
