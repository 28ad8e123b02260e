"""The Edge TPU's rules, each on a violation planted in a file of a few operators."""

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tflite
from tests.helpers.flatgraph import FlatGraph, conv_options, depthwise_options, pool_options
from tflite.edgetpu.rules import RULES

RELU6 = schema.ActivationFunctionType.RELU6

# By hand, for the network below: 8·8 positions × 3·3·4 × 8 channels, then 8·8 × 8 × 16.
FIRST_MACS, SECOND_MACS, CLASSIFIER_MACS = 8 * 8 * 9 * 4 * 8, 8 * 8 * 8 * 16, 16 * 10


def network(middle=lambda graph, x: x, end=lambda graph, x: x, first=None, version=3) -> bytes:
    """3×3 convolution, `middle`, 1×1 convolution, mean, fully connected, softmax, `end`."""
    graph = FlatGraph()
    x = graph.input((1, 8, 8, 4))
    x = graph.op(
        "CONV_2D",
        [x, graph.weights(8, 3, 3, 4), graph.weights(8, dtype="int32")],
        (1, 8, 8, 8),
        first or conv_options(fusedActivationFunction=RELU6),
        version,
    )
    x = middle(graph, x)
    x = graph.op(
        "CONV_2D",
        [x, graph.weights(16, 1, 1, 8), graph.weights(16, dtype="int32")],
        (1, 8, 8, 16),
        conv_options(),
        version=3,
    )
    x = graph.op("MEAN", [x, graph.constant([1, 2], "int32")], (1, 16), reducer(), 2)
    x = graph.op(
        "FULLY_CONNECTED", [x, graph.weights(10, 16), -1], (1, 10), schema.FullyConnectedOptionsT()
    )
    x = graph.op("SOFTMAX", [x], (1, 10), schema.SoftmaxOptionsT(beta=1.0), 2)
    return graph.bytes(end(graph, x))


def reducer():
    return schema.ReducerOptionsT(keepDims=False)


def one_op(name, shape, output, options=None, version=1, constants=(), **tensor) -> bytes:
    """A file of one operator, its first input the model's, the others int32 constants."""
    graph = FlatGraph()
    inputs = [graph.input(shape, **tensor), *(graph.constant(c, "int32") for c in constants)]
    return graph.bytes(graph.op(name, inputs, output, options, version))


def offence(content: bytes) -> str:
    """The first offender, as "#index NAME: reason"."""
    report = tflite.check_edgetpu(content)
    assert not report.ok
    verdict = report.verdicts[report.first_offender]
    assert verdict.reason in str(report)
    assert not verdict.mapped
    return f"#{verdict.index} {verdict.name}: {verdict.reason}"


def test_a_plain_int8_network_maps_whole():
    report = tflite.check_edgetpu(network())
    assert report.ok
    assert report.refusals == ()
    assert report.first_offender is None
    assert report.mapped_share == 1.0
    assert all(verdict.mapped and not verdict.reason for verdict in report.verdicts)
    assert [verdict.macs for verdict in report.verdicts] == [
        FIRST_MACS,
        SECOND_MACS,
        0,
        CLASSIFIER_MACS,
        0,
    ]
    # Weights 8·36 + 16·8 + 10·16, biases and the two axes in 4 bytes each.
    assert report.weight_bytes == 288 + 128 + 160 + 4 * (8 + 16 + 2)
    assert report.fits_on_chip
    json.dumps(report.as_dict())


def test_hard_swish_in_the_middle_sends_the_rest_to_the_cpu():
    content = network(lambda graph, x: graph.op("HARD_SWISH", [x], (1, 8, 8, 8)))
    assert offence(content) == "#1 HARD_SWISH: the Edge TPU has no such operator"
    report = tflite.check_edgetpu(content)
    total = FIRST_MACS + SECOND_MACS + CLASSIFIER_MACS
    assert report.mapped_share == pytest.approx(FIRST_MACS / total)
    assert [verdict.mapped for verdict in report.verdicts] == [True] + [False] * 5
    assert [verdict.index for verdict in report.offenders] == [1]
    assert f"{FIRST_MACS / total:.1%}" in str(report)


def test_a_float_tensor_in_the_middle_is_found():
    def through_float(graph, x):
        middle = graph.activation((1, 8, 8, 8), "float32")
        graph.op("DEQUANTIZE", [x], middle, version=2)
        return graph.op("QUANTIZE", [middle], (1, 8, 8, 8))

    assert offence(network(through_float)).startswith("#1 DEQUANTIZE")
    reasons = [v.reason for v in tflite.check_edgetpu(network(through_float)).offenders]
    assert any("is float32; only int8 and uint8 map" in reason for reason in reasons)


def test_a_float_constant_is_found():
    def add_float(graph, x):
        return graph.op("ADD", [x, graph.constant([1.5], "float32")], (1, 8, 8, 8))

    assert "#1 ADD: constant tensor" in offence(network(add_float))


def test_float_ends_are_left_to_the_cpu_and_nothing_else_is():
    graph = FlatGraph()
    x = graph.op("QUANTIZE", [graph.input((1, 8), "float32")], (1, 8))
    x = graph.op("FULLY_CONNECTED", [x, graph.weights(4, 8), -1], (1, 4), full_options())
    output = graph.activation((1, 4), "float32")
    report = tflite.check_edgetpu(graph.bytes(graph.op("DEQUANTIZE", [x], output, version=2)))
    assert report.ok
    assert report.mapped_share == 1.0
    assert [verdict.mapped for verdict in report.verdicts] == [False, True, False]
    assert [verdict.boundary for verdict in report.verdicts] == [True, False, True]
    assert "ask for a uint8 or int8 input" in str(report)


def full_options(**kwargs):
    return schema.FullyConnectedOptionsT(**kwargs)


def test_a_dynamic_dimension_is_found():
    graph = FlatGraph()
    x = graph.input((1, 8), signature=[-1, 8])
    content = graph.bytes(graph.op("LOGISTIC", [x], (1, 8)))
    assert "#0 LOGISTIC: the size ?×8 of tensor 0" in offence(content)


@pytest.mark.parametrize(
    ("content", "name", "version"),
    [
        (network(version=6), "CONV_2D", 6),
        (one_op("TRANSPOSE", (1, 4, 4, 4), (1, 4, 4, 4), None, 4, [[0, 2, 1, 3]]), "TRANSPOSE", 4),
        (one_op("EXPAND_DIMS", (1, 4), (1, 1, 4), None, 2, [1]), "EXPAND_DIMS", 2),
    ],
)
def test_a_version_that_the_compiler_cannot_parse_refuses_the_whole_file(content, name, version):
    report = tflite.check_edgetpu(content)
    assert f"#0 {name}: version {version} is newer than" in report.refusals[0]
    assert report.mapped_share == 0.0
    assert report.first_offender == 0


def test_a_builtin_code_above_127_refuses_the_whole_file():
    # "Op builtin_code out of range: 151", google-coral/edgetpu issue 862; GELU is 150.
    content = network(end=lambda graph, x: graph.op("GELU", [x], (1, 10)))
    report = tflite.check_edgetpu(content)
    assert "built-in code 150 is above 127" in report.refusals[0]
    assert (report.share_before, report.mapped_share) == (1.0, 0.0)


def test_a_file_with_versions_of_tensorflow_2_21_is_inside_the_table():
    # spec: what it emits for V1, V2 and V3 in int8.
    emitted = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "MEAN": 2, "FULLY_CONNECTED": 4, "SOFTMAX": 2}
    emitted |= {"MUL": 2, "ADD": 2}
    assert all(version <= RULES[name].version for name, version in emitted.items())


def strided(stride=1, **masks):
    return {
        "options": schema.StridedSliceOptionsT(**masks),
        "constants": ([0, 0, 0, 0], [1, 4, 4, 4], [1, stride, stride, 1]),
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (one_op("MEAN", (1, 4, 4, 4), (4,), reducer(), 2, [[0, 1, 2]]), "over the batch"),
        (one_op("MEAN", (2, 4, 4, 4, 4), (1, 1), reducer(), 2, [[1, 2, 3, 4]]), "3 innermost"),
        (one_op("MEAN", (1, 4, 4, 6), (1, 4, 4), reducer(), 2, [[3]]), "not a multiple of 4"),
        (one_op("MEAN", (1, 4, 4, 6), (1, 4, 4), reducer(), 2, [[-1]]), "not a multiple of 4"),
        (one_op("SUM", (1, 4), (4,), reducer(), 2, [[0]]), "over the batch"),
        (one_op("SOFTMAX", (1, 20_000), (1, 20_000), None, 2), "20,000 elements; at most 16,000"),
        (one_op("SOFTMAX", (1, 4, 4, 8), (1, 4, 4, 8), None, 2), "is not 1-D"),
        (one_op("ADD", (2, 4, 4, 4), (2, 4, 4, 4)), "3 innermost"),
        (one_op("PAD", (1, 4, 4, 4), (2, 4, 4, 4), None, 1, [[[1, 0]] + [[0, 0]] * 3]), "3 inner"),
        (one_op("PAD", (1, 4), (2, 4), None, 1, [[[1, 0], [0, 0]]]), "pads the batch"),
        (one_op("PACK", (4,), (1, 4), schema.PackOptionsT(axis=0)), "along the batch"),
        (one_op("AVERAGE_POOL_2D", (1, 4, 4, 4), (1, 2, 2, 4),
                pool_options(fusedActivationFunction=RELU6)), "fused activation"),
        (one_op("STRIDED_SLICE", (1, 4, 4, 4), (1, 2, 2, 4), **strided(2)), "strides [1, 2, 2, 1]"),
        (one_op("STRIDED_SLICE", (1, 4, 4, 4), (1, 4, 4, 4), **strided(newAxisMask=2)), "new axis"),
        (network(first=conv_options(dilationHFactor=2)), "dilates by 2 in y but by 1 in x"),
        (one_op("ABS", (1, 4), (1, 4)), "no such operator"),
        (one_op("ADD", (1, 4), (1, 4), dtype="int32"), "is int32; only int8 and uint8 map"),
    ],
)  # fmt: skip
def test_a_limit_that_is_broken_is_named(content, words):
    assert words in offence(content)


@pytest.mark.parametrize(
    "content",
    [
        one_op("MEAN", (1, 4, 4, 6), (1, 6), reducer(), 2, [[1, 2]]),
        one_op("MEAN", (1, 4, 4, 8), (1, 4, 4), reducer(), 2, [[3]]),
        one_op("SOFTMAX", (1, 16_000), (1, 16_000), None, 2),
        one_op("PAD", (1, 4, 4, 4), (1, 6, 6, 4), None, 2, [[[0, 0], [1, 1], [1, 1], [0, 0]]]),
        one_op("PACK", (1, 4), (1, 1, 4), schema.PackOptionsT(axis=1), 2),
        one_op("MAX_POOL_2D", (1, 4, 4, 4), (1, 2, 2, 4), pool_options(), 2),
        one_op("STRIDED_SLICE", (1, 4, 4, 4), (1, 4, 4, 4), version=2, **strided()),
        one_op("RESHAPE", (1, 1, 1, 8), (1, 8), None, 1, [[1, 8]]),
        one_op("LOGISTIC", (1, 8), (1, 8), dtype="uint8"),
    ],
)
def test_what_keeps_the_limits_maps(content):
    report = tflite.check_edgetpu(content)
    assert report.ok, str(report)


def test_grouped_convolutions_are_found_even_with_an_old_version():
    graph = FlatGraph()
    inputs = [graph.input((1, 8, 8, 8)), graph.weights(16, 3, 3, 4), graph.weights(16)]
    content = graph.bytes(graph.op("CONV_2D", inputs, (1, 8, 8, 16), conv_options(), 3))
    assert "has 2 groups" in offence(content)


def test_weights_computed_at_run_time_are_found():
    graph = FlatGraph()
    x, weights = graph.input((1, 8, 8, 4)), graph.input((1, 3, 3, 4))
    op = graph.op("DEPTHWISE_CONV_2D", [x, weights, -1], (1, 8, 8, 4), depthwise_options(), 3)
    assert "tensor 1 (t1) is computed at run time" in offence(graph.bytes(op))


def test_shuffled_weights_and_a_two_dimensional_output_are_found():
    shuffled = schema.FullyConnectedOptionsWeightsFormat.SHUFFLED4x16INT8
    graph = FlatGraph()
    x, weights = graph.input((1, 8)), graph.weights(4, 8)
    graph.op("FULLY_CONNECTED", [x, weights, -1], (1, 4), full_options(weightsFormat=shuffled))
    assert "shuffled weights" in offence(graph.bytes())
    graph = FlatGraph()
    x, weights = graph.input((3, 8)), graph.weights(4, 8)
    graph.op("FULLY_CONNECTED", [x, weights, -1], (3, 4), full_options())
    assert "output 3×4 is not 1-D" in offence(graph.bytes())


def test_prelu_takes_one_slope_a_channel():
    for shape, maps in (((1, 1, 4), True), ((8, 8, 4), False)):
        graph = FlatGraph()
        x, alpha = graph.input((1, 8, 8, 4)), graph.weights(*shape)
        report = tflite.check_edgetpu(graph.bytes(graph.op("PRELU", [x, alpha], (1, 8, 8, 4))))
        assert report.ok == maps


def test_a_split_of_the_batch_is_found():
    for axis, maps in ((0, False), (3, True), (-1, True)):
        graph = FlatGraph()
        inputs = [graph.constant([axis], "int32"), graph.input((1, 4, 4, 8))]
        graph.op("SPLIT", inputs, (1, 4, 4, 4), schema.SplitOptionsT(numSplits=2), 2)
        assert tflite.check_edgetpu(graph.bytes()).ok == maps


def test_concatenation_takes_a_constant_only_as_zero_padding():
    def concatenation(*constants):
        graph = FlatGraph()
        x = graph.input((1, 2, 2, 4))
        inputs = [x, *(graph.constant(np.full((1, 2, 2, 4), c), zero_point=-3) for c in constants)]
        options = schema.ConcatenationOptionsT(axis=3)
        return graph.bytes(graph.op("CONCATENATION", inputs, (1, 2, 2, 8), options, 2))

    # The stored value −3 is the real value 0 here.
    assert tflite.check_edgetpu(concatenation(-3)).ok
    assert "not all zero" in offence(concatenation(0))
    assert "has 3 inputs, one of them constant" in offence(concatenation(-3, -3))


def test_a_compiled_file_is_recognised():
    graph = FlatGraph()
    graph.op("CUSTOM", [graph.input((1, 8))], (1, 8), custom="edgetpu-custom-op")
    with pytest.raises(ValueError, match="compiled for the Edge TPU already"):
        tflite.check_edgetpu(graph.bytes())


def test_weights_beyond_the_chip_are_reported():
    graph = FlatGraph()
    x = graph.input((1, 4096))
    graph.op("FULLY_CONNECTED", [x, graph.weights(2049, 4096), -1], (1, 2049), full_options())
    report = tflite.check_edgetpu(graph.bytes())
    assert report.weight_bytes == 2049 * 4096 > report.on_chip_bytes == 8 * 2**20
    assert not report.fits_on_chip
    assert "streamed in every inference" in str(report)


@pytest.mark.parametrize("broken", [b"", b"not a model at all", network()[:400]])
def test_what_is_not_a_tflite_file_is_refused(broken):
    with pytest.raises(ValueError, match=r"tflite file|TensorFlow Lite file"):
        tflite.check_edgetpu(broken)
