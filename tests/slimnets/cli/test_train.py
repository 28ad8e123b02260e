"""`slimnets train`: with a recipe, and with none."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimnets import cli
from slimnets.cli import train
from slimnets.training.config import check_config
from tests.helpers.tiny_training import make_tiny

DIGITS = str(Path(__file__).parents[3] / "configs" / "digits.py")
PHOTOS = ("--data=folder:photos", "--model=mobilenet_v2")


def error_of(words, capsys, code):
    """The one line that a command says before it ends with `code`."""
    assert cli.main(["train", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--config is missing, or --data and --model in its place"),
        (["--data=folder:photos"], "--model is missing"),
        (["--model=mobilenet_v2"], "--data is missing"),
        (["--config.epochs=3"], "--config is missing"),
        ([*PHOTOS], "--workdir is missing"),
        ([*PHOTOS, "--config.epochs=3"], "--workdir is missing"),
        ([*PHOTOS, "--weights=imagenet", "--epochs=3"], "--workdir is missing"),
        ([*PHOTOS, "--config.model.weights=imagenet"], "--workdir is missing"),
        (["--config=finetune", "--config.epochs=3"], "--workdir is missing"),
        ([*PHOTOS, "--config.epochs=3", "--epochs=3"], "--epochs and --config.epochs are the same"),
        ([*PHOTOS, "--config.epoch=3"], 'Did you mean "epochs"'),
        ([*PHOTOS, "--config.data.class_weights.cat=2"], "is given with the whole section"),
        ([*PHOTOS, "--epochs=0"], "--epochs=0"),
        ([*PHOTOS, "--learning_rate=high"], "--learning_rate=high"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_line(words, message, capsys):
    assert message in error_of(words, capsys, 2)


def test_an_unknown_network_is_told_in_the_command_lines_words(capsys):
    for words in (
        ["--data=folder:x", "--model=mobilenet_v22"],
        [f"--config={DIGITS}", "--model=x"],
    ):
        line = error_of([*words, "--workdir=x"], capsys, 1)
        assert "`slimnets models` lists" in line
        assert "list_models" not in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "mine.py"),
        ("x = 1\ndef get_config(:\n", "mine.py, line 2: SyntaxError"),
        ("def get_config():\n    x = 1\n    return y\n", "mine.py, line 3: NameError: name 'y'"),
        ("import nothing_of_that_name\n", "mine.py, line 1: ModuleNotFoundError"),
        ("def get_config():\n    raise TypeError('a b')\n", "mine.py, line 2: TypeError: a b"),
        ("def get_config():\n    open('gone')\n", "line 2: FileNotFoundError"),
        ("import sys\nsys.exit('no')\n", "mine.py, line 2: SystemExit: no"),
        ("get_configs = 1\n", "mine.py has no function get_config()"),
        ("def get_config():\n    return 3\n", "mine.py must return a ConfigDict, got int"),
        ("def get_config():\n    pass\n", "mine.py must return a ConfigDict, got NoneType"),
    ],
)
def test_a_file_that_is_no_recipe_is_told_with_its_line(
    text, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("mine.py").write_text(text)
    assert message in error_of(["--config=mine.py", "--workdir=run"], capsys, 2)


def test_weights_to_start_from_mean_the_finetuning_recipe():
    from slimnets.cli import train
    from slimnets.cli.command_flags import Flags

    flags = Flags(["train", *PHOTOS, "--weights=mine.pth", "--epochs=3"])
    train.define_flags(flags)
    flags.values(["train", *PHOTOS, "--weights=mine.pth", "--epochs=3"])
    config = train._config(flags.values)
    assert (config.model.weights, config.epochs, config.head.epochs) == ("mine.pth", 3, None)
    assert config.model.freeze_batch_norm


@pytest.fixture
def photos(tmp_path):
    """Twenty dark and twenty bright pictures."""
    rng = np.random.default_rng(0)
    for name, base in (("bright", 160), ("dark", 20)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(base, base + 60, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.slow
def test_a_folder_and_a_networks_name_are_enough(photos, tmp_path, monkeypatch, capsys):
    make_tiny(monkeypatch.setattr)
    words = [
        f"--data=folder:{photos}",
        "--model=mobilenet_v1_025",
        "--input_size=64",
        "--epochs=1",
        "--config.data.shift=3",
        f"--workdir={tmp_path}/run",
        "--json",
    ]
    assert cli.main(["train", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["classes"] == ["bright", "dark"]
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["data"]["source"] == f"folder:{photos}"
    assert (recorded["data"]["shift"], recorded["epochs"]) == (3, 1)
    assert recorded["model"]["input_size"] == [64, 64]


def test_short_flags_go_before_a_recipe():
    from slimnets.cli import train
    from slimnets.cli.command_flags import Flags

    words = [
        "train",
        f"--config={DIGITS}",
        "--data=folder:photos",
        "--epochs=1",
        "--batch_size=8",
        "--learning_rate=0.01",
        "--input_size=32",
    ]
    flags = Flags(words)
    train.define_flags(flags)
    flags.values(words)
    config = train._config(flags.values)
    assert (config.data.source, config.epochs, config.batch_size) == ("folder:photos", 1, 8)
    assert (config.learning_rate.peak, config.model.input_size) == (0.01, (32, 32))
    assert config.model.name == "mobilenet_v1_025"


@pytest.mark.parametrize(
    ("source", "weights", "size", "flip", "head"),
    [
        ("builtin:scenes", "imagenet", (160, 160), False, 40),
        ("voc:photos", "imagenet", (320, 320), True, 40),
        ("voc:photos", None, (320, 320), True, 0),
    ],
)
def test_a_detector_has_a_recipe_of_its_own(source, weights, size, flip, head):
    given = {"model.name": "ssdlite", "data.source": source, "model.weights": weights}
    config = train._default_recipe(given)
    assert config.model.kwargs.backbone == "mobilenet_v2"
    assert (config.model.input_size, config.data.flip, config.head.epochs) == (size, flip, head)
    config.update_from_flattened_dict({name: value for name, value in given.items() if value})
    check_config(config)
