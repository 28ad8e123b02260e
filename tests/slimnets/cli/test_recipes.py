"""Recipes: a file, or the name of one that comes along."""

from pathlib import Path

import pytest

from slimnets import cli
from slimnets.cli import recipes

CONFIGS = Path(__file__).parents[3] / "configs"


def test_what_comes_along_is_what_stands_in_configs():
    assert recipes.shipped() == {path.stem: path for path in CONFIGS.glob("*.py")}


@pytest.mark.parametrize("name", ["digits", "digits.py", "configs/digits", "configs/digits.py"])
def test_a_shipped_recipe_is_found_by_name_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()  # a workdir of that name is in nobody's way
    assert recipes.find(name) == CONFIGS / "digits.py"


def test_ones_own_file_goes_before_a_shipped_recipe_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "digits.py").touch()
    assert recipes.find("configs/digits.py") == Path("configs/digits.py")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "digts",
            r"\(cifar10, cifar100, detect, digits, .*, vww\), got 'digts'. Did you mean 'digits'",
        ),
        ("Folder.py", "Did you mean 'folder'"),
        ("/nowhere/digits.py", "got '/nowhere/digits.py'"),  # not replaced by another silently
        ("digits.json", "got 'digits.json'"),
        ("", "got ''"),
    ],
)
def test_an_unknown_recipe_is_refused_with_those_that_there_are(name, message):
    with pytest.raises(ValueError, match=message):
        recipes.find(name)


def test_the_command_line_takes_names_and_their_fields(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Getting as far as the workdir means that the recipe was loaded and changed.
    assert cli.main(["train", "--config=digits", "--config.epochs=3"]) == 2
    assert "--workdir is missing" in capsys.readouterr().err
    assert cli.main(["train", "--config", "digits.py", "--config.epochs=x"]) == 2
    assert "--config.epochs=x" in capsys.readouterr().err
    for command in ("train", "demo"):
        assert cli.main([command, "--config=digts"]) == 2
        assert "Did you mean 'digits'" in capsys.readouterr().err


def test_a_recipe_takes_what_follows_a_colon(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config(size):\n"
        "    return ConfigDict({'size': int(size)})\n"
    )
    words = ["train", f"--config={tmp_path}/mine.py:32", "--config.size=many"]
    assert cli.main(words) == 2
    assert "--config.size=many" in capsys.readouterr().err


def test_the_help_names_every_shipped_recipe(capsys):
    assert cli.main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"comes with slimnets: {', '.join(recipes.shipped())}." in text
