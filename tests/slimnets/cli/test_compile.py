"""`slimnets compile` and `slimnets convert --compile`."""

import json
import os
import stat

import pytest
from ai_edge_litert import schema_py_generated as schema

from slimnets import cli
from tests.helpers.flatgraph import FlatGraph
from tests.tflite.edgetpu.test_compiler import PREAMBLE, SUCCESS


@pytest.fixture
def model(tmp_path) -> str:
    graph = FlatGraph()
    inputs = [graph.input((1, 16)), graph.weights(10, 16), -1]
    graph.op("FULLY_CONNECTED", inputs, (1, 10), schema.FullyConnectedOptionsT(), 4)
    (tmp_path / "net.tflite").write_bytes(graph.bytes())
    return str(tmp_path / "net.tflite")


def test_what_the_compiler_made_and_said_is_told(model, tmp_path, monkeypatch, capfd):
    (tmp_path / "said.txt").write_text(SUCCESS)
    program = tmp_path / "edgetpu_compiler"
    program.write_text(f'{PREAMBLE}cp "$last" "$out"; cat "{tmp_path}/said.txt"')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", f"{tmp_path}/record")
    assert cli.main(["compile", model]) == 0
    said = "5 of 5 operators on the Edge TPU, 1.5 KiB of parameters on the chip"
    assert f"net_edgetpu.tflite: {said}" in capfd.readouterr().out
    assert cli.main(["compile", model, "--min_runtime=13", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["log"]["operations"] == 5
    assert "-m 13" in (tmp_path / "record").read_text()


def test_without_the_compiler_nothing_is_converted_first(model, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["compile", model]) == 1
    assert "apt-get install edgetpu-compiler" in capfd.readouterr().err
    words = ["convert", "nowhere.keras", "--calibration=x", f"--out={tmp_path}/out.tflite"]
    assert cli.main([*words, "--compile", "--target=coral"]) == 1
    assert "apt-get install edgetpu-compiler" in capfd.readouterr().err
    assert cli.main([*words, "--compile"]) == 2
    assert "--compile goes with --target=coral" in capfd.readouterr().err
