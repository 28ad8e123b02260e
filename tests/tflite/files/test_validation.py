"""A file that could do harm is refused by name; one that is merely unusual is read."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tflite
from tests.helpers.flatgraph import FlatGraph, conv_options, depthwise_options, pool_options
from tflite.files import flatbuffer, memory, metadata_writing
from tflite.files.metadata import PREPROCESSING_NAME, Metadata, read_metadata
from tflite.files.reading import open_file
from tflite.images import ImageInput


def network() -> FlatGraph:
    """input 0 → CONV_2D (weights 1, bias 2) → 3 → LOGISTIC → 4."""
    graph = FlatGraph()
    x = graph.input((1, 8, 8, 3))
    weights, bias = graph.weights(4, 3, 3, 3), graph.constant([0, 0, 0, 0], "int32")
    x = graph.op("CONV_2D", [x, weights, bias], (1, 8, 8, 4), conv_options(), 3)
    x = graph.op("LOGISTIC", [x], graph.activation((1, 8, 8, 4), scale=1 / 256, zero_point=-128))
    graph.graph.outputs = [x]
    return graph


def refused(graph: FlatGraph, words: str) -> None:
    content = flatbuffer.pack(graph.model)
    for reader in (tflite.inspect, tflite.check_edgetpu, tflite.read_metadata, tflite.Predictor):
        with pytest.raises(ValueError, match=words) as caught:
            reader(content)
        assert "\n" not in str(caught.value)


def tensor(graph: FlatGraph, index: int) -> schema.TensorT:
    return graph.graph.tensors[index]


def test_the_whole_network_is_read():
    report = tflite.inspect(flatbuffer.pack(network().model))
    assert report.histogram == {"CONV_2D": 1, "LOGISTIC": 1}


@pytest.mark.parametrize("scale", [0.0, -0.1, float("nan"), float("inf")])
def test_a_scale_is_a_number_above_0(scale):
    graph = network()
    tensor(graph, 0).quantization.scale = [scale]
    refused(graph, r"tensor 0 \(t0\) has the scale")


def test_the_scale_of_a_dead_channels_bias_may_underflow_to_0():
    graph = network()
    tensor(graph, 2).quantization.scale = [0.01, 0.0, 0.01, 0.01]
    tensor(graph, 2).quantization.zeroPoint = [0] * 4
    assert open_file(flatbuffer.pack(graph.model))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("zeroPoint", [300], "zero point 300, which for int8 is from -128 to 127"),
        ("zeroPoint", [0, 0], "1 scales, but 2 zero points"),
        ("scale", [0.1, 0.1], "2 scales, but 1 zero points"),
    ],
)
def test_zero_points_fit_their_type_and_their_scales(field, value, words):
    graph = network()
    setattr(tensor(graph, 0).quantization, field, value)
    refused(graph, words)


def test_scales_along_an_axis_are_as_many_as_it_is_long():
    graph = network()
    quantization = tensor(graph, 1).quantization
    quantization.scale, quantization.zeroPoint = [0.1] * 3, [0] * 3
    refused(graph, r"tensor 1 \(t1\) has 3 scales along axis 0 of its shape 4×3×3×3")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("buffer", 99, r"tensor 1 \(t1\) is in buffer 99, but there are 3"),
        ("type", 77, "of the unknown type 77"),
        ("shape", [4, 3, 3, 4], "holds 108 bytes, but its shape 4×3×3×4 of int8 takes 144"),
        ("shape", [4, 3, 3, -1], "constant of the open shape"),
        ("shape", [4, 3, -7, 3], "impossible shape"),
        ("shapeSignature", [4, 3], "shape signature 4×3"),
        ("buffer", 0, r"reads tensor 1 \(t1\), which holds no data and nothing writes"),
    ],
)
def test_a_tensor_holds_what_its_shape_says(field, value, words):
    graph = network()
    setattr(tensor(graph, 1), field, value)
    refused(graph, words)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([0, -1, 2], "CONV_2D.* without its input 1, which it needs"),
        ([0], "has 1 inputs and needs 2"),
        ([0, 99, 2], "reads tensor 99, but there are 5 tensors"),
        ([3, 1, 2], r"operator 0 \(CONV_2D\) reads tensor 3 \(t3\), which only operator 0 writes"),
        ([4, 1, 2], r"reads tensor 4 \(t4\), which only operator 1 writes"),
        ([0, 2, 2], "input 1 of shape 4; it takes 4 dimensions"),
    ],
)
def test_an_operator_reads_what_is_there_and_was_written_before(inputs, words):
    graph = network()
    graph.graph.operators[0].inputs = inputs
    refused(graph, words)


def test_a_depthwise_convolution_needs_its_bias():
    graph = FlatGraph()
    x = graph.input((1, 8, 8, 3))
    graph.op("DEPTHWISE_CONV_2D", [x, graph.weights(1, 3, 3, 3)], (1, 8, 8, 3), depthwise_options())
    graph.bytes()
    refused(graph, "has 2 inputs and needs 3")


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([0], r"LOGISTIC.* writes tensor 0 \(t0\), which is written already"),
        ([3], r"writes tensor 3 \(t3\), which is written already"),
        ([1], r"writes tensor 1 \(t1\), which is written already"),
        ([-1], "writes tensor -1"),
        ([], "has no output"),
    ],
)
def test_a_tensor_is_written_once_and_a_constant_never(outputs, words):
    graph = network()
    graph.graph.operators[1].outputs = outputs
    refused(graph, words)


def test_an_int8_tensor_that_is_computed_with_has_a_scale():
    graph = network()
    tensor(graph, 3).quantization = None
    refused(graph, r"computes with tensor 3 \(t3\), which has no scale")


@pytest.mark.parametrize("option", ["strideW", "dilationHFactor"])
def test_strides_and_dilations_are_positive(option):
    graph = network()
    setattr(graph.graph.operators[0].builtinOptions, option, 0)
    refused(graph, f"has the option {option} of 0")


def test_ends_signatures_metadata_and_codes_are_inside_their_tables():
    graph = network()
    graph.graph.outputs = [99]
    refused(graph, "an output is tensor 99, but there are 5 tensors")
    graph = network()
    graph.graph.operators[1].opcodeIndex = 9
    refused(graph, "operator 1 is of kind 9")
    graph = network()
    graph.model.metadata = [schema.MetadataT(name="m", buffer=9)]
    refused(graph, "the metadata entry 'm' is in buffer 9")
    graph = network()
    graph.model.signatureDefs = [schema.SignatureDefT(signatureKey="s", subgraphIndex=4)]
    refused(graph, "the signature 's' is of subgraph 4")
    entry = schema.TensorMapT(name="x", tensorIndex=50)
    graph.model.signatureDefs = [schema.SignatureDefT(signatureKey="s", inputs=[entry])]
    refused(graph, "the signature 's' calls tensor 50 'x'")


# --- What is large. ----------------------------------------------------------------------------


def test_a_file_that_would_take_gigabytes_is_refused():
    graph = network()
    tensor(graph, 0).shape = [1, 40_000, 40_000, 3]
    refused(graph, "GiB of memory at once")


def test_the_memory_is_that_of_the_shapes_which_litert_computes():
    # The file says 8×8, but its convolution makes 4 channels of 20,000×20,000.
    graph = FlatGraph()
    x = graph.input((1, 20_000, 20_000, 1))
    graph.op("CONV_2D", [x, graph.weights(8, 1, 1, 1), -1], (1, 8, 8, 8), conv_options())
    graph.bytes()
    refused(graph, "GiB of memory at once")
    for name, constant in (
        ("PAD", [[0, 0], [60_000, 0], [60_000, 0], [0, 0]]),
        ("TILE", [1, 60_000, 60_000, 1]),
        ("RESIZE_BILINEAR", [60_000, 60_000]),
    ):
        graph = FlatGraph()
        x = graph.input((1, 8, 8, 1))
        graph.op(name, [x, graph.constant(constant, "int32")], (1, 8, 8, 1))
        graph.bytes()
        refused(graph, "GiB of memory at once")


def test_the_reckoning_agrees_with_the_interpreters_own_arena():
    graph = FlatGraph()
    x = graph.input((1, 64, 64, 8), "float32")
    y = graph.activation((1, 32, 32, 8), "float32")
    graph.op("AVERAGE_POOL_2D", [x], y, pool_options())
    x = graph.activation((1, 32, 32, 8), "float32")
    graph.op("LOGISTIC", [y], x)
    content = graph.bytes()
    found = tflite.inspect(content).runtime.arena_bytes
    # 64·64·8 and twice 32·32·8 values of 4 bytes, since inputs are kept to the end.
    assert memory.expected_memory(open_file(content).model).peak == found == 196_608


def test_tables_that_lie_over_each_other_are_refused():
    content = bytearray(flatbuffer.pack(network().model))
    model = schema.Model.GetRootAs(content, 0)
    # The list of subgraphs, said to be as long as the file.
    place = model._tab.Vector(model._tab.Offset(8)) - 4
    content[place : place + 4] = struct.pack("<I", len(content))
    for reader in (tflite.inspect, tflite.read_metadata):
        with pytest.raises(ValueError, match="cannot be read"):
            reader(bytes(content))


# --- What is unusual. --------------------------------------------------------------------------


def test_custom_operators_may_read_what_nobody_writes():
    graph = FlatGraph()
    x = graph.input((1, 8))
    scratch, output = graph.activation((1, 100), "uint8"), graph.activation((1, 4))
    graph.op("CUSTOM", [x, -1, scratch], output, custom="ethos-u")
    assert tflite.inspect(graph.bytes()).histogram == {"ethos-u": 1}


def test_states_strings_resources_and_empty_constants_pass():
    graph = network()
    graph.op("LOGISTIC", [graph.activation((1, 4), "float32")], graph.activation((1, 4), "float32"))
    tensor(graph, 5).isVariable = True
    text = struct.pack("<4i", 1, 12, 15, 0)[:12] + b"abc"
    graph.model.buffers.append(schema.BufferT(data=np.frombuffer(text, np.uint8)))
    graph.graph.tensors.append(schema.TensorT(shape=[1], type=5, buffer=3, name="words"))
    graph.graph.tensors.append(schema.TensorT(shape=[], type=13, buffer=0, name="handle"))
    axes = schema.TensorT(shape=[0], type=2, buffer=0, name="axes")
    graph.graph.tensors.append(axes)
    graph.op("MEAN", [0, len(graph.graph.tensors) - 1], (1, 8, 8, 3), schema.ReducerOptionsT())
    report = tflite.inspect(flatbuffer.pack(graph.model))
    assert report.tensor_types["string"] == 1


def test_a_string_outside_its_tensor_is_refused():
    graph = network()
    text = struct.pack("<3i", 1, 12, 4000) + b"abc"
    graph.model.buffers.append(schema.BufferT(data=np.frombuffer(text, np.uint8)))
    graph.graph.tensors.append(schema.TensorT(shape=[1], type=5, buffer=3, name="words"))
    refused(graph, "strings that lie outside its 15 bytes")


def loop(condition: int, body: int) -> FlatGraph:
    graph = FlatGraph()
    x = graph.input((1, 4), "float32")
    options = schema.WhileOptionsT(condSubgraphIndex=condition, bodySubgraphIndex=body)
    graph.op("WHILE", [x], graph.activation((1, 4), "float32"), options)
    graph.bytes()
    tensors = [schema.TensorT(shape=[1, 4], type=0, buffer=0, name=name) for name in "ab"]
    for _ in range(2):
        graph.model.subgraphs.append(
            schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[0], operators=[])
        )
    return graph


def test_subgraphs_may_be_called_but_not_without_end():
    assert tflite.inspect(flatbuffer.pack(loop(1, 2).model)).subgraphs == 3
    refused(loop(1, 7), "calls subgraph 7, but there are 3")
    refused(loop(1, 0), "subgraph 0 calls itself without end")


# --- Metadata and labels. ----------------------------------------------------------------------


def described(**fields) -> bytes:
    graph = network()
    image = ImageInput(**({"size": (8, 8), "mean": (0.0,) * 3, "std": (1.0,) * 3} | fields))
    metadata_writing.attach(graph.model, Metadata(image))
    return flatbuffer.pack(graph.model)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"crop_fraction": 1e-9}, r"crop_fraction must be in \[0.1, 1\], not 1e-09"),
        ({"crop_fraction": "0.9"}, "crop_fraction"),
        ({"interpolation": "cubic"}, "interpolation must be one of nearest, bilinear"),
        ({"size": (8, 9)}, "it tells of images of 8×9×3, but the input takes 8×8×3"),
        ({"size": (1 << 30, 8)}, "size must be"),
        ({"mean": (float("nan"),) * 3}, "mean and std must"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be positive"),
        ({"mean": (0.0,) * 4, "std": (1.0,) * 4}, "8×8×4, but the input takes 8×8×3"),
        ({"in_graph": "no"}, "in_graph must be true or false"),
    ],
)
def test_what_a_file_says_of_its_images_is_possible(fields, words):
    data = described(std=(1.0,) * 3)
    good = read_metadata(data).image
    assert good.size == (8, 8)
    model = flatbuffer.unpack(data)
    changed = vars(good) | fields
    content = json.dumps(changed, sort_keys=True).encode()
    flatbuffer.set_metadata_entries(model, {PREPROCESSING_NAME: content})
    for reader in (tflite.read_metadata, tflite.Predictor):
        with pytest.raises(ValueError, match=words):
            reader(flatbuffer.pack(model))


def test_metadata_that_nest_without_end_are_refused():
    model = flatbuffer.unpack(described())
    flatbuffer.set_metadata_entries(model, {PREPROCESSING_NAME: b"[" * 16_000})
    with pytest.raises(ValueError, match="nests without end"):
        tflite.read_metadata(flatbuffer.pack(model))


def packed(data: bytes, content: bytes, method=zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO(data)
    file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file, "a", method) as archive:
        archive.writestr("labels.txt", content)
    return file.getvalue()


def test_labels_are_unpacked_up_to_a_sane_size():
    data = described()
    assert tflite.read_metadata(packed(data, b"cat\ndog\n")).labels == ("cat", "dog")
    bomb = packed(data, b"a\n" * (20 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(ValueError, match=r"labels\.txt unpacks to more than 16 MiB"):
        tflite.read_metadata(bomb)


def test_labels_that_are_broken_or_encrypted_are_refused():
    whole = packed(described(), b"cat\ndog\n")
    directory = whole.rindex(b"PK\x01\x02")
    encrypted = whole[: directory + 8] + b"\x01" + whole[directory + 9 :]
    with pytest.raises(ValueError, match=r"labels\.txt is encrypted"):
        tflite.read_metadata(encrypted)
    entry = whole.rindex(b"PK\x03\x04")
    broken = whole[: entry + 42] + b"\xff" + whole[entry + 43 :]
    with pytest.raises(ValueError, match=r"its metadata cannot be read.*broken"):
        tflite.read_metadata(broken)
    with pytest.raises(ValueError, match="another method"):
        tflite.read_metadata(packed(described(), b"cat\n", zipfile.ZIP_LZMA))
