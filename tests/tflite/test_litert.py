"""Files are run through one door, which keeps LiteRT's note off standard error."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema

import slimnets
import tflite
from tests.helpers.flatgraph import FlatGraph
from tflite.runtime import errors_named

_NOTE = "XNNPACK delegate"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "add.tflite"
    graph = FlatGraph()
    x = graph.input((1, 4), "float32")
    y = graph.activation((1, 4), "float32")
    graph.op("ADD", [x, x], y, schema.AddOptionsT())
    path.write_bytes(graph.bytes())
    return path


def _run(code: str, file: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=300
    )


_PLAIN = """
import sys
from ai_edge_litert.interpreter import Interpreter as opened
interpreter = opened(model_content=open(sys.argv[1], "rb").read())
"""
_OURS = """
import sys
from tflite.litert import open_interpreter
interpreter = open_interpreter(open(sys.argv[1], "rb").read())
"""
_ALLOCATE = "interpreter.allocate_tensors(); interpreter.invoke()\n"


def test_litert_says_which_delegate_it_uses_and_the_door_does_not(file):
    assert _NOTE in _run(_PLAIN + _ALLOCATE, file).stderr  # else the door has nothing to do
    ours = _run(_OURS + _ALLOCATE, file)
    assert (ours.returncode, ours.stderr) == (0, "")


def test_what_else_litert_says_is_passed_on(file):
    warn = (
        "import os\n"
        "from ai_edge_litert.interpreter import Interpreter\n"
        "allocate = Interpreter.allocate_tensors\n"
        "def loud(self):\n"
        "    os.write(2, b'ERROR: a reason\\n')\n"
        "    allocate(self)\n"
        "Interpreter.allocate_tensors = loud\n"
    )
    done = _run(warn + _OURS + _ALLOCATE, file)
    assert (done.returncode, done.stderr) == (0, "ERROR: a reason\n")


def test_no_other_module_makes_interpreters():
    makers = {
        path.name
        for package in (slimnets, tflite)
        for path in Path(package.__file__).parent.rglob("*.py")
        if re.search(r"ai_edge_litert\.interpreter|\bInterpreter\(", path.read_text("utf-8"))
    }
    assert makers == {"litert.py"}


def test_what_an_operator_is_not_defined_for_gets_a_way_out():
    with (
        pytest.raises(ValueError, match=r"x\.tflite: LiteRT stopped.*keras\.ops\.maximum"),
        errors_named("x.tflite"),
    ):
        raise RuntimeError("Sqrt is only defined for non-negative values (SQRT) failed to invoke.")
