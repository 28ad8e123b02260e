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
