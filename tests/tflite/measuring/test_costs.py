"""Costs by operator: the timed files compute what the whole one does, and the picture is drawn."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tests.helpers.closeness import assert_close
from tests.helpers.flatgraph import FlatGraph, conv_options, depthwise_options
from tflite.files.flatbuffer import unpack
from tflite.measuring.costs import measure_costs, operators_alone, plot_costs

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def network() -> bytes:
    """Convolution → depthwise → RESHAPE by a computed shape → fully connected, half weights."""
    graph = FlatGraph()

    def half(*shape):
        values = graph.constant(rng.normal(size=shape).astype("float16"), "float16")
        return graph.op("DEQUANTIZE", [values], graph.activation(shape, "float32"), version=3)

    def zeros(size):
        return graph.constant(np.zeros(size), "float32")

    x = graph.input((1, 8, 8, 3), "float32")
    x = graph.op(
        "CONV_2D",
        [x, half(8, 3, 3, 3), zeros(8)],
        graph.activation((1, 8, 8, 8), "float32"),
        conv_options(),
    )
    y = graph.op(
        "DEPTHWISE_CONV_2D",
        [x, half(1, 3, 3, 8), zeros(8)],
        graph.activation((1, 8, 8, 8), "float32"),
        depthwise_options(),
    )
    x = graph.op("ADD", [y, x], graph.activation((1, 8, 8, 8), "float32"), schema.AddOptionsT())
    shape = graph.constant([1, 512], "int32")
    flat = graph.activation((1, 512), "float32")
    x = graph.op("RESHAPE", [x, shape], flat, schema.ReshapeOptionsT())
    graph.op(
        "FULLY_CONNECTED",
        [x, half(10, 512), zeros(10)],
        graph.activation((1, 10), "float32"),
        schema.FullyConnectedOptionsT(),
    )
    return graph.bytes()


@pytest.fixture(scope="module")
def costs(network):
    return measure_costs(network)


def run(content: bytes, inputs: list, **kwargs) -> Interpreter:
    interpreter = Interpreter(model_content=content, **kwargs)
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return interpreter


def test_an_operator_alone_computes_what_it_does_in_the_network(network):
    image = rng.normal(size=(1, 8, 8, 3)).astype("float32")
    whole = run(
        network,
        [image],
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    operators = unpack(network).subgraphs[0].operators
    # The three DEQUANTIZE, each right before its reader, are part of what is timed with it.
    for indices in ([0, 1], [2, 3], [4], [5], [6, 7]):
        content = operators_alone(network, indices)
        inputs = unpack(content).subgraphs[0].inputs
        alone = run(content, [whole.get_tensor(int(index)) for index in inputs])
        output = int(operators[indices[-1]].outputs[0])
        assert_close(alone.get_tensor(output), whole.get_tensor(output), 5e-6)


def test_a_file_of_one_operator_carries_no_other_weights(network):
    convolution = operators_alone(network, [2, 3])
    assert len(convolution) < len(network) / 2
    assert len(unpack(convolution).subgraphs[0].inputs) == 1


def test_costs_are_given_for_what_runs_in_every_inference(costs):
    assert [row.name for row in costs.operations] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "ADD",
        "RESHAPE",
        "FULLY_CONNECTED",
    ]
    assert [row.macs for row in costs.operations] == [64 * 27 * 8, 64 * 9 * 8, 0, 0, 5120]
    # Half weights in 2 bytes, biases and the new shape in 4.
    weights = [row.weight_bytes for row in costs.operations]
    assert weights == [2 * 216 + 32, 2 * 72 + 32, 0, 8, 2 * 5120 + 40]
    # 8·8·8 floats in and out of the depthwise convolution, twice in and once out of ADD.
    activations = [row.activation_bytes for row in costs.operations]
    assert activations == [4 * (192 + 512), 4 * 1024, 4 * 1536, 4 * 1024, 4 * 522]
    assert all(row.milliseconds > 0 for row in costs.operations)
    assert sum(costs.shares) == pytest.approx(1)


def test_a_picture_is_a_png_of_the_costs(costs, tmp_path):
    path = plot_costs(costs, tmp_path / "net.png", "net.tflite")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    assert width > 1000
    assert height > 250
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.png"]


def test_a_picture_that_cannot_be_written_says_why(costs, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        plot_costs(costs, tmp_path / "nowhere" / "net.png")
    with pytest.raises(IsADirectoryError):
        plot_costs(costs, tmp_path)
