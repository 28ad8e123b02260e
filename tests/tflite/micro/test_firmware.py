"""C++ for a microcontroller: it is compiled, and what it holds is run by TFLite Micro."""

import shutil
import subprocess

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from tflite_micro import runtime

import tflite
from tests.helpers.flatgraph import FlatGraph, conv_options
from tflite.files.records import read_graph
from tflite.micro import arena, trial
from tflite.micro.operators import resolver_methods


def classifier() -> bytes:
    graph = FlatGraph()
    x = graph.input((1, 8, 8, 3), scale=1 / 128)
    weights = graph.constant(np.arange(8 * 27).reshape(8, 3, 3, 3) % 19 - 9, scale=0.01)
    bias = graph.constant(np.zeros(8), "int32", scale=0.01 / 128)
    maps = graph.activation((1, 8, 8, 8), scale=0.02)
    x = graph.op("CONV_2D", [x, weights, bias], maps, conv_options(), 3)
    flat = graph.activation((1, 512), scale=0.02)
    x = graph.op("RESHAPE", [x, graph.constant([1, 512], "int32")], flat)
    head = graph.activation((1, 2), scale=0.1)
    inputs = [x, graph.constant(np.arange(1024).reshape(2, 512) % 7 - 3), -1]
    x = graph.op("FULLY_CONNECTED", inputs, head, schema.FullyConnectedOptionsT(), 4)
    ends = graph.activation((1, 2), scale=1 / 256, zero_point=-128)
    graph.op("SOFTMAX", [x], ends, schema.SoftmaxOptionsT(beta=1.0), 2)
    return graph.bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("firmware")
    (folder / "person-96.tflite").write_bytes(classifier())
    return tflite.write_firmware(folder / "person-96.tflite", folder / "person-96")


PROGRAM = """
#include <cstdio>
#include "person-96.h"
struct Resolver {
  int added = 0;
  TfLiteStatus AddConv2D() { return Add("CONV_2D"); }
  TfLiteStatus AddFullyConnected() { return Add("FULLY_CONNECTED"); }
  TfLiteStatus AddReshape() { return Add("RESHAPE"); }
  TfLiteStatus AddSoftmax() { return Add("SOFTMAX"); }
  TfLiteStatus Add(const char*) { ++added; return kTfLiteOk; }
};
int main() {
  using namespace person_96;
  Resolver resolver;
  if (!RegisterOperators(resolver) || resolver.added != kOperators) return 1;
  if (reinterpret_cast<size_t>(kModel) % 16) return 2;
  fwrite(kModel, 1, kModelBytes, stdout);
  fwrite(kTestInput, 1, sizeof(kTestInput), stdout);
  fwrite(kTestOutput, 1, sizeof(kTestOutput), stdout);
  size_t bytes = kArenaBytes;
  fwrite(&bytes, 1, sizeof(bytes), stdout);
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiler_takes_it_and_a_microcontroller_would_pass_its_self_test(made):
    folder = made.header.parent
    (folder / "tensorflow/lite/c").mkdir(parents=True)
    (folder / "tensorflow/lite/c/common.h").write_text("enum TfLiteStatus { kTfLiteOk = 0 };\n")
    (folder / "main.cc").write_text(PROGRAM)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "-o", "main"]
    subprocess.run([*command, "main.cc", made.source.name], cwd=folder, check=True)
    said = subprocess.run([folder / "main"], capture_output=True, check=True).stdout
    model, rest = said[: len(classifier())], said[len(classifier()) :]
    assert model == classifier()
    image = np.frombuffer(rest[:192], np.int8).reshape(1, 8, 8, 3)
    size = int.from_bytes(rest[194:], "little")
    assert size == made.arena.size_bytes
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=size)
    interpreter.set_input(image, 0)
    interpreter.invoke()
    assert interpreter.get_output(0).tobytes() == rest[192:194]


def test_the_arena_is_the_least_that_starts(made):
    content = classifier()
    runtime.Interpreter.from_bytes(content, arena_size=made.arena.size_bytes)
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(content, arena_size=made.arena.size_bytes - 32)
    assert made.arena.measured
    assert "measured with tflite-micro" in str(made)


def test_without_tflite_micro_the_arena_is_an_estimate_and_says_so(made, monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "is_installed", lambda: False)
    found = tflite.write_firmware(classifier(), tmp_path / "net")
    assert not found.arena.measured
    assert 0.7 < found.arena.size_bytes / made.arena.size_bytes < 1.5
    assert "ESTIMATED" in found.header.read_text()
    assert "LiteRT's reference kernels" in found.header.read_text()


def test_operators_are_called_as_the_resolver_calls_them():
    names = ["SPACE_TO_BATCH_ND", "CONV_2D", "CONV_2D", "L2_NORMALIZATION", "RELU6", "PADV2"]
    found = ("AddConv2D", "AddL2Normalization", "AddPadV2", "AddRelu6", "AddSpaceToBatchNd")
    assert resolver_methods(names) == found
    with pytest.raises(ValueError, match="no operator GELU"):
        resolver_methods(["CONV_2D", "GELU"])


def test_the_self_tests_image_may_be_given_and_must_fit(tmp_path):
    image = np.full((8, 8, 3), -7, np.int8)
    found = tflite.write_firmware(classifier(), tmp_path / "7", image)
    assert found.namespace == "model_7"
    assert "-7, -7, -7" in found.source.read_text()
    for wrong in (image.astype(np.uint8), image[:4]):
        with pytest.raises(ValueError, match=r"must be int8 of \(8, 8, 3\)"):
            tflite.write_firmware(classifier(), tmp_path / "net", wrong)
    assert not (tmp_path / "net.h").exists()


def test_what_tflite_micro_cannot_run_is_refused(tmp_path):
    graph = FlatGraph()
    graph.op("GELU", [graph.input((1, 8), "float32")], graph.activation((1, 8), "float32"))
    with pytest.raises(ValueError, match="TFLite Micro has no operator GELU"):
        tflite.write_firmware(graph.bytes(), tmp_path / "net")
    graph = FlatGraph()
    x = graph.input((1, 8), "float32", signature=[-1, 8])
    graph.op("LOGISTIC", [x], graph.activation((1, 8), "float32", signature=[-1, 8]))
    with pytest.raises(ValueError, match="of fixed size"):
        tflite.write_firmware(graph.bytes(), tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_an_estimate_is_near_the_measure_for_a_real_network():
    """A chain of convolutions as MobileNets have."""
    graph = FlatGraph()
    x = graph.input((1, 24, 24, 8))
    for _ in range(12):
        weights = graph.weights(8, 3, 3, 8)
        bias = graph.constant(np.zeros(8), "int32")
        options = conv_options(padding=schema.Padding.SAME)
        x = graph.op("CONV_2D", [x, weights, bias], (1, 24, 24, 8), options, 3)
    image = np.zeros((1, 24, 24, 8), np.int8)
    measured, _ = trial.run_by_micro(graph.bytes(), image, "a chain")
    estimate = arena.estimated_arena(read_graph(graph.bytes()))
    assert 0.8 < estimate.size_bytes / measured < 1.5


def test_what_makes_tflite_micro_abort_is_an_error_here(tmp_path):
    graph = FlatGraph()
    # As an untrained network has it, whose activations fade away.
    x = graph.input((1, 2), scale=8e-9)
    ends = graph.activation((1, 2), scale=1 / 256, zero_point=-128)
    graph.op("SOFTMAX", [x], ends, schema.SoftmaxOptionsT(beta=1.0), 2)
    with pytest.raises(ValueError, match="TFLite Micro cannot run it"):
        tflite.write_firmware(graph.bytes(), tmp_path / "net")
    assert not list(tmp_path.iterdir())
