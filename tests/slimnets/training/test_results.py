"""A run's files: they come together, and no run harms another's."""

import logging
import subprocess
import sys

import pytest
from PIL import Image

from slimnets.training.results import Results, alone


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_nothing_changes_before_the_first_model_is_kept(tmp_path):
    (tmp_path / "best.keras").write_text("old model")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    Results(tmp_path, {"labels.txt": b"apple\npear\n"})
    assert contents(tmp_path) == {"best.keras": "old model", "labels.txt": "cat\ndog\n"}


def test_an_earlier_runs_files_are_set_aside_whole(tmp_path, caplog):
    earlier = ("best.keras", "best.json", "labels.txt", "config.json", "history.csv", "curves.png")
    for name in earlier:
        (tmp_path / name).write_text(f"old {name}")
    with caplog.at_level(logging.WARNING, logger="absl"):
        run = Results(tmp_path, {"labels.txt": b"new"})
        run.begin()
        run.begin()
    assert contents(tmp_path) == {
        "earlier-1.keras": "old best.keras",
        "earlier-1.json": "old best.json",
        "earlier-1.labels.txt": "old labels.txt",
        "earlier-1.config.json": "old config.json",
        "earlier-1.history.csv": "old history.csv",
        "earlier-1.curves.png": "old curves.png",
        "labels.txt": "new",
    }
    assert "earlier-1" in caplog.text


def test_every_earlier_run_keeps_a_name_of_its_own(tmp_path):
    for number in range(3):
        run = Results(tmp_path, {})
        run.write("best.keras", f"model {number}".encode())
    assert contents(tmp_path) == {
        "earlier-1.keras": "model 0",
        "earlier-2.keras": "model 1",
        "best.keras": "model 2",
    }


def test_files_without_a_model_are_no_results(tmp_path):
    (tmp_path / "labels.txt").write_text("of a run that was killed between two files")
    Results(tmp_path, {"labels.txt": b"new"}).begin()
    assert contents(tmp_path) == {"labels.txt": "new"}


@pytest.mark.parametrize("place", ["run", "cat/run", "."])
def test_a_workdir_inside_the_data_is_refused_and_not_made(tmp_path, place):
    from slimnets.training import default_config
    from slimnets.training.loop import train

    config = default_config()
    config.data.source = f"folder:{tmp_path}"
    with pytest.raises(ValueError, match=r"workdir .* lies inside the data"):
        train(config, tmp_path / place)
    assert not list(tmp_path.iterdir())


def test_a_workdir_beside_the_splits_is_no_class(tmp_path):
    from slimnets.training.loop import _check_outside

    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / name / "0.png")
    _check_outside(tmp_path / "run", f"folder:{tmp_path}")
    with pytest.raises(ValueError, match="lies inside the data"):
        _check_outside(tmp_path / "train" / "run", f"folder:{tmp_path}")


HOLDING = """
import sys
from pathlib import Path
from slimnets.training.results import alone
with alone(Path(sys.argv[1])):
    print("holding", flush=True)
    sys.stdin.read()
"""


def test_of_two_trainings_in_one_folder_the_second_is_refused_until_the_first_is_gone(tmp_path):
    words = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"holding\n"
        with pytest.raises(ValueError, match="another training is at work in"), alone(tmp_path):
            pass
        other.kill()
    with alone(tmp_path):
        assert not [*tmp_path.iterdir()]
