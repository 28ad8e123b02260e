"""The command line: help, exit codes, what goes to which stream."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tflite
from slimnets import cli

ROOT = Path(__file__).parents[3]
DIGITS = str(ROOT / "configs" / "digits.py")
TINY = (
    f"--config={DIGITS}",
    "--config.epochs=1",
    "--config.batch_size=128",
    "--config.model.input_size=(32, 32)",
)


def slimnets(*words, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "slimnets.cli", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
        **kwargs,
    )


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help_imports_neither_tensorflow_nor_keras(words):
    code = (
        "import sys; from slimnets.cli import main\n"
        f"assert main({words!r}) == 0\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    for expected in cli.COMMANDS if words == ["--help"] else ("Usage:", "Example:", "--json"):
        assert expected in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "did you mean 'train'?"),
        (["models", "mobilnet_v2"], "Did you mean 'mobilenet_v2'?"),
        (["evaluate", "a.keras", "--dta=x"], "data"),
        (["evaluate"], "one model file"),
        (["evaluate", "a.keras"], "--data is missing"),
        (["convert", "a.keras", "--out=b.tflite", "--precision=int7"], "float16"),
        (["convert", "a.keras", "--out=b.tflite"], "needs --calibration"),
        (["predict", "a.keras"], "at least one image"),
        (["train", "--workdir=x"], "--config is missing"),
        (["train", "--config=nowhere.py", "--workdir=x"], "nowhere.py"),
        (["train", f"--config={DIGITS}", "--config.batch_sise=3"], 'Did you mean "batch_size"'),
        (["train", f"--config={DIGITS}", "--config.epochs=ten"], "ten"),
        (["summary", "a.keras", "--depth_multiplier=0.5"], "--depth_multiplier goes with a name"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(words, message, capsys):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "nowhere.tflite", "--data=builtin:digits"], "no model file nowhere.tflite"),
        (["predict", DIGITS, "cat.jpg"], "ends in .keras, .tflite or .onnx"),
    ],
)
def test_a_failure_exits_1_with_one_line_and_no_traceback(words, message, capsys):
    assert cli.main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback(capsys):
    assert cli.main(["evaluate", "nowhere.tflite", "--data=builtin:digits", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_unwritable_workdir_fails_before_the_training(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["train", *TINY, f"--workdir={tmp_path}/file/run"]) == 1
    assert f"cannot write to --workdir {tmp_path}/file/run" in capsys.readouterr().err


def test_the_demo_calls_its_folder_by_its_own_flag(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["demo", f"--out={tmp_path}/file/run"]) == 1
    err = capsys.readouterr().err
    assert f"cannot write to --out {tmp_path}/file/run" in err
    assert "--workdir" not in err


@pytest.mark.parametrize("command", ["summary", "import-weights"])
def test_an_unknown_network_is_told_in_the_command_lines_words(command, tmp_path, capsys):
    more = ["imagenet", f"{tmp_path}/out.keras"] if command == "import-weights" else []
    assert cli.main([command, "mobilenet_v22", *more]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Did you mean 'mobilenet_v2'?" in err
    assert "slimnets models" in err
    assert "list_models" not in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_summary_in_json_is_one_object_and_nothing_else():
    done = slimnets("summary", "mobilenet_v1_025", "--input_size=128", "--json")
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    # TF-Slim's published table: 0.25 at 128.
    assert (cost["params"], cost["macs"]) == (475_544, 13_570_048)


def test_reading_only_the_head_of_a_table_is_no_failure():
    command = f"{sys.executable} -m slimnets.cli --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device that is full")
@pytest.mark.parametrize("words", ["--help", "models", "models --json"])
def test_a_full_standard_output_is_told_in_one_line(words):
    command = f"{sys.executable} -m slimnets.cli {words} > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    message = "slimnets: error: cannot write to standard output: No space left on device\n"
    assert done.stderr == message


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_failure(closed):
    command = f"{sys.executable} -m slimnets.cli models 'mobilenet_v1*' --json {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A model trained, converted to int8, and an image of a seven."""
    folder = tmp_path_factory.mktemp("work")
    trained = slimnets("train", *TINY, f"--workdir={folder}", "--json")
    assert trained.returncode == 0, trained.stderr
    (folder / "train.json").write_text(trained.stdout)
    converted = slimnets(
        "convert",
        folder / "best.keras",
        f"--out={folder}/int8.tflite",
        "--calibration=builtin:digits",
        "--calibration_images=20",
        "--json",
    )
    assert converted.returncode == 0, converted.stderr
    (folder / "convert.json").write_text(converted.stdout)
    image = np.zeros((64, 64), np.uint8)
    image[8:16, 8:56] = image[8:56, 40:48] = 255
    Image.fromarray(image).save(folder / "seven.png")
    return folder


@pytest.mark.slow
def test_long_commands_end_in_one_json_object(workdir):
    trained = json.loads((workdir / "train.json").read_text())
    assert trained["checkpoint"] == str(workdir / "best.keras")
    assert trained["test"]["count"] == 400
    converted = json.loads((workdir / "convert.json").read_text())
    assert converted["path"] == str(workdir / "int8.tflite")
    assert converted["precision"] == "int8"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["best.keras", "int8.tflite"])
def test_keras_and_device_files_are_evaluated_and_asked_alike(workdir, file):
    done = slimnets("evaluate", workdir / file, "--data=builtin:digits", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    confusion = np.array(result["confusion"])
    assert confusion.sum() == result["count"] == 400
    assert np.trace(confusion) / 400 == pytest.approx(result["top1"])

    done = slimnets("predict", workdir / file, workdir / "seven.png", "--top=3", "--json")
    assert done.returncode == 0, done.stderr
    (prediction,) = json.loads(done.stdout)["predictions"]
    assert [c["name"] for c in prediction["classes"]] == [
        str(c["index"]) for c in prediction["classes"]
    ]
    shown = slimnets("predict", workdir / file, workdir / "seven.png", "--top=3")
    assert "seven.png" in shown.stdout


@pytest.mark.slow
def test_what_stands_beside_a_model_goes_where_it_goes(workdir, tmp_path, capsys):
    """Without labels.txt: names and preprocessing are the description's, in a device file too."""
    (tmp_path / "digits.keras").write_bytes((workdir / "best.keras").read_bytes())
    described = json.loads((workdir / "best.json").read_text("utf-8"))
    described["labels"] = [f"digit {i}" for i in range(10)]
    described["preprocessing"]["crop_fraction"] = 0.75
    (tmp_path / "digits.json").write_text(json.dumps(described), "utf-8")
    out = tmp_path / "digits.tflite"
    words = ["convert", f"{tmp_path}/digits.keras", f"--out={out}", "--precision=float32"]
    assert cli.main(words) == 0
    found = tflite.read_metadata(out)
    assert found.labels == tuple(f"digit {i}" for i in range(10))
    assert (found.image.size, found.image.crop_fraction) == ((32, 32), 0.75)
    tops = []
    for file in (tmp_path / "digits.keras", out):
        capsys.readouterr()
        assert cli.main(["predict", str(file), str(workdir / "seven.png"), "--json"]) == 0
        (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
        tops.append(prediction["classes"][0])
    assert tops[0]["name"] == tops[1]["name"] == f"digit {tops[0]['index']}"
    assert tops[0]["probability"] == pytest.approx(tops[1]["probability"], abs=1e-4)
    described["labels"] = described["labels"][:9]
    (tmp_path / "digits.json").write_text(json.dumps(described), "utf-8")
    assert cli.main(["predict", f"{tmp_path}/digits.keras", f"{workdir}/seven.png"]) == 1
    assert "it names 9 classes, but the model has 10" in capsys.readouterr().err


@pytest.mark.slow
def test_a_wrong_image_fails_by_name(workdir):
    done = slimnets("predict", workdir / "int8.tflite", workdir / "labels.txt")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "cannot read image" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_ctrl_c_exits_130_and_leaves_no_temporary_file(tmp_path):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "slimnets.cli", "train", *TINY),
            *("--config.epochs=500", f"--workdir={tmp_path}", "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell starts what it runs in the background with SIGINT ignored, and children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "best.keras").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "slimnets train: interrupted"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    import keras

    keras.models.load_model(tmp_path / "best.keras")
