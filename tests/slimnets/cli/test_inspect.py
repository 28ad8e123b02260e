"""`slimnets inspect` on the command line."""

import json

import pytest

from slimnets.cli import inspect, running
from tests.helpers.flatgraph import FlatGraph


@pytest.fixture
def model(tmp_path) -> str:
    graph = FlatGraph()
    graph.op(
        "LOGISTIC", [graph.input((1, 8))], graph.activation((1, 8), scale=1 / 256, zero_point=-128)
    )
    path = tmp_path / "net.tflite"
    path.write_bytes(graph.bytes())
    return str(path)


def slimnets_inspect(*words: str) -> int:
    return running.run("inspect", inspect, list(words))


def test_it_prints_the_report_and_the_verdict(model, capfd):
    assert slimnets_inspect(model, "--edgetpu") == 0
    printed = capfd.readouterr().out
    assert "1 partition with 1 operators; outside: nothing" in printed
    assert "Edge TPU: 1 of 1 operators map" in printed


@pytest.mark.slow
def test_json_is_one_object_with_everything_asked_for(model, capfd, tmp_path):
    picture = tmp_path / "costs.png"
    assert slimnets_inspect(model, "--json", "--edgetpu", f"--picture={picture}") == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["histogram"] == {"LOGISTIC": 1}
    assert printed["edgetpu"]["ok"] is True
    assert printed["costs"]["operations"][0]["milliseconds"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_wrong_command_line_and_a_wrong_file_have_different_exit_codes(model, capfd, tmp_path):
    assert slimnets_inspect() == 2
    assert slimnets_inspect(model, model) == 2
    assert slimnets_inspect(str(tmp_path / "missing.tflite")) == 1
    (tmp_path / "words.txt").write_text("these are no tensors")
    assert slimnets_inspect(str(tmp_path / "words.txt")) == 1
    assert slimnets_inspect(model, f"--picture={tmp_path / 'nowhere' / 'costs.png'}") == 1
    captured = capfd.readouterr()
    assert "nowhere does not exist" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.slow
def test_against_a_keras_model_every_layer_is_told_and_drawn(capfd, tmp_path):
    import keras
    import numpy as np

    import tflite
    from tests.helpers.lively import lively

    x = images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="stem")(x)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="middle")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    net = lively(keras.Model(images, keras.layers.Dense(4, name="head")(x), name="mobilenet_v1"))
    net.save(tmp_path / "net.keras")
    rng = np.random.default_rng(0)
    calibration = rng.uniform(-1, 1, (12, 16, 16, 3)).astype(np.float32)
    tflite.convert(net, tmp_path / "net.tflite", calibration=calibration, effort="fast")
    words = [
        str(tmp_path / "net.tflite"),
        f"--against={tmp_path / 'net.keras'}",
        "--images=builtin:digits",
        f"--picture={tmp_path / 'layers.png'}",
    ]
    assert slimnets_inspect(*words) == 0
    assert "costs most" in capfd.readouterr().out
    assert slimnets_inspect(*words, "--json") == 0
    told = json.loads(capfd.readouterr().out)["layers"]
    assert [layer["name"] for layer in told][:2] == ["stem", "middle"]
    assert all(layer["sqnr_db"] > 10 for layer in told)
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_to_compare_with_needs_images(model, capfd):
    assert slimnets_inspect(model, "--against=net.keras") == 2
    assert "--images=SOURCE go together" in capfd.readouterr().err
