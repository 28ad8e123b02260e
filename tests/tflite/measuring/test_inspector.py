"""What `inspect` says, against files of known content and counts published by others."""

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tflite
from tests.helpers.flatgraph import FlatGraph, conv_options, depthwise_options, pool_options
from tflite.files.flatbuffer import pack, set_metadata_entries, unpack


def float_net() -> bytes:
    """LOGISTIC → 2×2 max pooling → 2×2 max pooling on (1, 8, 8, 4) floats."""
    graph = FlatGraph()
    x = graph.input((1, 8, 8, 4), "float32")
    x = graph.op("LOGISTIC", [x], graph.activation((1, 8, 8, 4), "float32"))
    x = graph.op("MAX_POOL_2D", [x], graph.activation((1, 4, 4, 4), "float32"), pool_options())
    x = graph.op("MAX_POOL_2D", [x], graph.activation((1, 2, 2, 4), "float32"), pool_options())
    return graph.bytes()


def sigmoids_around(middle: str) -> bytes:
    """LOGISTIC → `middle` → LOGISTIC in int8."""
    graph = FlatGraph()
    probability = {"scale": 1 / 256, "zero_point": -128}
    x = graph.op(
        "LOGISTIC", [graph.input((1, 8, 8, 4))], graph.activation((1, 8, 8, 4), **probability)
    )
    x = graph.op(middle, [x], graph.activation((1, 8, 8, 4)))
    graph.op("LOGISTIC", [x], graph.activation((1, 8, 8, 4), **probability))
    return graph.bytes()


def test_operators_versions_and_ends_are_listed():
    graph = FlatGraph()
    x = graph.input((1, 8, 8, 4), "uint8", scale=0.25, zero_point=127)
    x = graph.op("QUANTIZE", [x], (1, 8, 8, 4))
    weights = graph.constant(np.ones((8, 1, 1, 4)))
    quantization = graph.graph.tensors[weights].quantization
    quantization.scale, quantization.zeroPoint = [0.5] * 8, [0] * 8
    bias = graph.constant(np.zeros(8), "int32")
    graph.op("CONV_2D", [x, weights, bias], (1, 8, 8, 8), conv_options(), version=3)
    report = tflite.inspect(graph.bytes())
    assert report.histogram == {"QUANTIZE": 1, "CONV_2D": 1}
    assert report.versions == {"QUANTIZE": (1,), "CONV_2D": (3,)}
    assert [operation.inputs for operation in report.operations] == [(0,), (1, 2, 3)]
    entry = report.tensors[report.inputs[0]]
    assert (entry.type, entry.shape) == ("uint8", (1, 8, 8, 4))
    assert (entry.scale, entry.zero_point, entry.channel_axis) == ((0.25,), (127,), None)
    assert report.tensors[weights].scale == (0.5,) * 8
    assert report.tensors[weights].channel_axis == 0
    assert report.tensor_types == {"int8": 3, "uint8": 1, "int32": 1}
    assert report.weight_bytes == 8 * 4 + 8 * 4
    assert "scale 0.25 zero point 127" in str(report)
    json.dumps(report.as_dict())


def test_macs_are_those_of_the_definitions():
    graph = FlatGraph()
    x = graph.input((1, 8, 8, 4), "float32")

    def layer(name, weights, output, options=None):
        # The file is only read here, never run: a missing bias does not matter.
        inputs = [x, graph.weights(*weights, dtype="float32"), -1]
        graph.op(name, inputs, graph.activation(output, "float32"), options)

    layer("CONV_2D", (16, 3, 3, 4), (1, 4, 4, 16), conv_options())
    layer("CONV_2D", (16, 3, 3, 2), (1, 4, 4, 16), conv_options())  # 2 groups
    layer("DEPTHWISE_CONV_2D", (1, 5, 5, 8), (1, 4, 4, 8), depthwise_options(depthMultiplier=2))
    layer("FULLY_CONNECTED", (10, 256), (1, 10), schema.FullyConnectedOptionsT())
    shape = graph.constant([1, 16, 16, 6], "int32")
    up = [shape, graph.weights(6, 3, 3, 4, dtype="float32"), x]
    graph.op("TRANSPOSE_CONV", up, graph.activation((1, 16, 16, 6), "float32"))
    assert [operation.macs for operation in tflite.inspect(graph.bytes()).operations] == [
        4 * 4 * 16 * 3 * 3 * 4,
        4 * 4 * 16 * 3 * 3 * 2,
        4 * 4 * 8 * 5 * 5,
        10 * 256,
        8 * 8 * 4 * 3 * 3 * 6,
    ]


def test_hard_swish_in_int8_splits_the_graph_in_two():
    # spec: XNNPACK has no int8 HARD_SWISH.
    runtime = tflite.inspect(sigmoids_around("HARD_SWISH")).runtime
    assert runtime.partitions == ((0,), (2,))
    assert runtime.outside == (1,)


def test_a_graph_that_xnnpack_takes_whole_is_one_partition():
    report = tflite.inspect(float_net())
    assert report.runtime.partitions == ((0, 1, 2),)
    assert report.runtime.outside == ()
    assert "1 partition with 3 operators; outside: nothing" in str(report)


def test_the_arena_is_what_lives_at_the_same_time():
    # Input 8·8·4 floats (the interpreter keeps it), the sigmoid's output of the same size, the
    # first pooling's 4·4·4; the second's 2·2·4 goes where the sigmoid's was.
    assert tflite.inspect(float_net()).runtime.arena_bytes == 4 * (256 + 256 + 64)


def test_a_shared_buffer_counts_once():
    graph = FlatGraph()
    x = graph.input((1, 8), "float32")
    y = graph.weights(8, dtype="float32")
    twin = graph.weights(8, dtype="float32")
    graph.graph.tensors[twin].buffer = graph.graph.tensors[y].buffer
    for constant in (y, twin):
        x = graph.op(
            "ADD", [x, constant], graph.activation((1, 8), "float32"), schema.AddOptionsT()
        )
    assert tflite.inspect(graph.bytes()).weight_bytes == 4 * 8


def test_metadata_and_signatures_are_named():
    model = unpack(float_net())
    set_metadata_entries(model, {"TFLITE_METADATA": b"m", "min_runtime_version": b"1.5.0"})
    entry = schema.TensorMapT(name="image", tensorIndex=0)
    signature = schema.SignatureDefT(inputs=[entry], outputs=[], signatureKey="serving_default")
    model.signatureDefs = [signature]
    report = tflite.inspect(pack(model))
    assert report.metadata == ("TFLITE_METADATA", "min_runtime_version")
    assert [(s.key, dict(s.inputs)) for s in report.signatures] == [
        ("serving_default", {"image": 0})
    ]


def test_a_dynamic_batch_is_shown_as_such():
    graph = FlatGraph()
    x = graph.input((1, 8), "float32", signature=[-1, 8])
    graph.op("LOGISTIC", [x], graph.activation((1, 8), "float32", signature=[-1, 8]))
    report = tflite.inspect(graph.bytes())
    assert report.tensors[0].shape == (-1, 8)
    assert "?×8" in str(report)
    assert report.runtime is not None


def test_a_file_that_litert_cannot_run_is_described_all_the_same():
    graph = FlatGraph()
    graph.op("CUSTOM", [graph.input((1, 8))], (1, 8), custom="edgetpu-custom-op")
    report = tflite.inspect(graph.bytes())
    assert report.histogram == {"edgetpu-custom-op": 1}
    assert report.runtime is None
    assert "edgetpu-custom-op" in report.runtime_error
    assert "compiled for it: 1 piece run there, left to the CPU: nothing" in str(report)
    assert "delegate='libedgetpu.so.1'" in str(report)


def test_a_custom_operator_of_others_is_described_too():
    graph = FlatGraph()
    graph.op("CUSTOM", [graph.input((1, 8))], (1, 8), custom="ours")
    assert "not known" in str(tflite.inspect(graph.bytes()))


@pytest.mark.parametrize("content", [b"", b"\x00" * 4 + b"ONNX", float_net()[:300]])
def test_what_is_not_a_whole_tflite_file_is_refused(content):
    with pytest.raises(ValueError, match=r"tflite file|TensorFlow Lite file"):
        tflite.inspect(content)


def test_a_path_and_its_bytes_give_the_same_report(tmp_path):
    (tmp_path / "net.tflite").write_bytes(float_net())
    assert tflite.inspect(tmp_path / "net.tflite") == tflite.inspect(float_net())
    with pytest.raises(FileNotFoundError, match=r"missing\.tflite"):
        tflite.inspect(tmp_path / "missing.tflite")
    with pytest.raises(TypeError, match="Graph"):
        tflite.inspect(FlatGraph())


@pytest.mark.slow
def test_keras_mobilenet_has_the_published_macs_and_the_known_leftovers():
    """TF-Slim's mobilenet_v1.md: α 0.25 at 128×128 has 13.6 M multiply–adds."""
    import keras
    import tensorflow as tf

    net = keras.applications.MobileNet((128, 128, 3), alpha=0.25, weights=None)
    report = tflite.inspect(tf.lite.TFLiteConverter.from_keras_model(net).convert())
    assert report.macs == 13_570_048
    assert report.histogram["DEPTHWISE_CONV_2D"] == 13
    # spec: the dynamic batch leaves shape arithmetic behind, which no delegate takes.
    outside = {report.operations[index].name for index in report.runtime.outside}
    assert outside == {"SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE"}
    assert len(report.runtime.partitions) == 2
