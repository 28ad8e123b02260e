"""edgetpu_compiler: its output, recorded, and running it, faked."""

import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema

import tflite
from tests.helpers.flatgraph import FlatGraph
from tflite.edgetpu.compiler_log import parse_compiler_log

LOGS = Path(__file__).parent / "logs"


def classifier() -> bytes:
    graph = FlatGraph()
    inputs = [graph.input((1, 16)), graph.weights(10, 16), -1]
    x = graph.op("FULLY_CONNECTED", inputs, (1, 10), schema.FullyConnectedOptionsT(), 4)
    graph.op("SOFTMAX", [x], (1, 10), schema.SoftmaxOptionsT(beta=1.0), 2)
    return graph.bytes()


def test_the_recorded_log_is_read():
    log = parse_compiler_log((LOGS / "yolov5s_partly_mapped.txt").read_text())
    assert log.version == "16.0.384591198"
    assert log.succeeded
    assert log.errors == ()
    # The compiler's own sums: 294 operations, 289 on the Edge TPU and 5 on the CPU.
    assert (log.operations, log.mapped) == (294, 289)
    assert sum(row.count for row in log.operators if not row.mapped) == 5
    assert log.subgraphs == 2
    assert log.on_chip_used == round(6.08 * 2**20)
    assert log.on_chip_remaining == 0
    assert log.off_chip == round(1.70 * 2**20)
    quantize = [(row.count, row.mapped) for row in log.operators if row.name == "QUANTIZE"]
    assert quantize == [(2, False), (24, True)]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("unknown_version", "opcode 'TRANSPOSE_CONV' version '4'"),
        ("large_activations", "due to large activation tensors in model"),
    ],
)
def test_a_recorded_failure_is_a_failure_with_its_reason(name, error):
    log = parse_compiler_log((LOGS / f"{name}.txt").read_text())
    assert not log.succeeded
    assert log.operators == ()
    assert any(error in line for line in log.errors)


def test_a_log_that_is_cut_short_or_strange_is_refused():
    whole = (LOGS / "yolov5s_partly_mapped.txt").read_text()
    with pytest.raises(ValueError, match="294 operations but its table lists 232"):
        parse_compiler_log(whole[: whole.index("CONV_2D  ")])
    with pytest.raises(ValueError, match="not the output of edgetpu_compiler"):
        parse_compiler_log("Segmentation fault")


# -- running it

SUCCESS = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 63 ms.

Input model: net.tflite
On-chip memory used for caching model parameters: 1.50KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 5
Operation log: net_edgetpu.log

Operator                       Count      Status

CONV_2D                        2          Mapped to Edge TPU
MEAN                           1          Mapped to Edge TPU
FULLY_CONNECTED                1          Mapped to Edge TPU
SOFTMAX                        1          Mapped to Edge TPU
Compilation child process completed within timeout period.
Compilation succeeded!
"""

# Finds its folder and its input as edgetpu_compiler does: after -o, and last.
PREAMBLE = """#!/bin/sh
echo "$@" > "$RECORD"
for last; do :; done
while [ "$1" != "-o" ]; do shift; done
out="$2/$(basename "$last" .tflite)_edgetpu.tflite"
"""


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "models with space"
    folder.mkdir()
    (folder / "net.tflite").write_bytes(classifier())
    return folder / "net.tflite"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Puts a fake edgetpu_compiler with the given script on PATH; returns where it notes its
    arguments."""

    def install(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "said.txt").write_text(SUCCESS)
        program = folder / "edgetpu_compiler"
        program.write_text(PREAMBLE + script)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("RECORD", str(folder / "arguments.txt"))
        monkeypatch.setenv("SAID", str(folder / "said.txt"))
        return folder / "arguments.txt"

    return install


def keep_earlier(model: Path) -> Path:
    earlier = model.with_name("net_edgetpu.tflite")
    earlier.write_bytes(b"an earlier good result")
    return earlier


def left_behind(model: Path) -> set[str]:
    return {entry.name for entry in model.parent.iterdir()}


def eventually_dead(process: int) -> bool:
    """Gone, or (where nobody reaps orphans) a zombie, within five seconds."""
    status = Path(f"/proc/{process}/stat")
    for _ in range(50):
        if not status.exists() or status.read_text().split()[2] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_a_successful_run_leaves_model_and_log(model, compiler):
    arguments = compiler('cp "$last" "$out"; cat "$SAID"')
    keep_earlier(model)
    result = tflite.compile_edgetpu(model, min_runtime=13)
    assert result.path == model.with_name("net_edgetpu.tflite")
    assert result.path.read_bytes() == model.read_bytes()
    assert result.log_path.read_text() == SUCCESS
    assert result.log.mapped == result.log.operations == 5
    assert result.check.ok
    assert left_behind(model) == {"net.tflite", "net_edgetpu.tflite", "net_edgetpu.log"}
    assert arguments.read_text().startswith("-s -a -m 13 -o ")
    json.dumps(result.as_dict())


def test_the_result_goes_to_the_folder_that_is_asked_for(model, compiler, tmp_path):
    compiler('cp "$last" "$out"; cat "$SAID"')
    (tmp_path / "out").mkdir()
    result = tflite.compile_edgetpu(model, tmp_path / "out")
    assert result.path == tmp_path / "out" / "net_edgetpu.tflite"
    assert left_behind(model) == {"net.tflite"}


def test_a_failure_tells_the_reason_and_loses_nothing(model, compiler):
    compiler(f'echo half > "$out"; cat "{LOGS}/large_activations.txt"; exit 1')
    earlier = keep_earlier(model)
    with pytest.raises(RuntimeError, match=r"status 1: .*large activation tensors"):
        tflite.compile_edgetpu(model)
    assert earlier.read_bytes() == b"an earlier good result"
    assert left_behind(model) == {"net.tflite", "net_edgetpu.tflite"}


def test_a_timeout_kills_the_compiler_and_its_children_and_loses_nothing(model, compiler):
    record = compiler(
        'echo half > "$out"; (sleep 60; echo late > "$RECORD.late") & echo $! > "$RECORD"; wait'
    )
    earlier = keep_earlier(model)
    with pytest.raises(TimeoutError, match="did not finish in 2 s"):
        tflite.compile_edgetpu(model, timeout=2)
    assert not record.with_name(f"{record.name}.late").exists(), "it was waited for"
    assert eventually_dead(int(record.read_text()))
    assert earlier.read_bytes() == b"an earlier good result"
    assert left_behind(model) == {"net.tflite", "net_edgetpu.tflite"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('printf "\\377\\376\\000 what"; cp "$last" "$out"', "not the output of edgetpu_compiler"),
        ('cat "$SAID"', r"wrote no net_edgetpu\.tflite"),
        ('cat "$SAID"; echo rubbish > "$out"', "not a TensorFlow Lite file"),
        ('head -n 14 "$SAID"; cp "$last" "$out"', "its table lists 2"),
    ],
)
def test_garbage_is_an_error_and_loses_nothing(model, compiler, script, words):
    compiler(script)
    earlier = keep_earlier(model)
    with pytest.raises(RuntimeError, match=words):
        tflite.compile_edgetpu(model)
    assert earlier.read_bytes() == b"an earlier good result"
    assert left_behind(model) == {"net.tflite", "net_edgetpu.tflite"}


@pytest.mark.skipif(shutil.which("edgetpu_compiler") is not None, reason="it is installed")
def test_without_the_compiler_the_error_says_how_to_get_it(model):
    with pytest.raises(RuntimeError, match="apt-get install edgetpu-compiler") as raised:
        tflite.compile_edgetpu(model)
    assert "2 of 2 operators map" in str(raised.value)


def test_wrong_arguments_are_named(model, tmp_path):
    with pytest.raises(ValueError, match=r"timeout must be a positive .*, got 0"):
        tflite.compile_edgetpu(model, timeout=0)
    with pytest.raises(ValueError, match="from 10 to 14, got 9"):
        tflite.compile_edgetpu(model, min_runtime=9)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tflite.compile_edgetpu(model, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"missing\.tflite"):
        tflite.compile_edgetpu(tmp_path / "missing.tflite")
