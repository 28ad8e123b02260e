"""Spoiled .tflite files, and what is done with each: every reader of this package."""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.helpers.flatgraph import FlatGraph, conv_options, depthwise_options, pool_options
from tests.hostile.mutations import HOSTILE_FLOATS, spoil_bytes, spoil_tree
from tflite.files import flatbuffer, metadata_writing
from tflite.files.metadata import PREPROCESSING_NAME, Metadata
from tflite.files.metadata_schema import METADATA_NAME
from tflite.images import ImageInput

SUFFIX = ".tflite"
_LABELS = tuple(f"class {n}" for n in range(6))


def quantized_network() -> bytes:
    """What `convert` makes of a small network: int8 inside, pixels, metadata and labels."""
    graph = FlatGraph()
    image = graph.input((1, 16, 16, 3), "uint8", scale=1 / 127.5, zero_point=127)
    x = graph.op("QUANTIZE", [image], (1, 16, 16, 3), version=1)
    bias = _bias(graph, 8)
    stride = conv_options(strideW=2, strideH=2, fusedActivationFunction=3)
    x = graph.op("CONV_2D", [x, graph.weights(8, 3, 3, 3), bias], (1, 8, 8, 8), stride, 3)
    inner = [x, graph.weights(1, 3, 3, 8), bias]
    y = graph.op("DEPTHWISE_CONV_2D", inner, (1, 8, 8, 8), depthwise_options(), 3)
    y = graph.op("CONV_2D", [y, graph.weights(8, 1, 1, 8), bias], (1, 8, 8, 8), conv_options(), 3)
    x = graph.op("ADD", [x, y], (1, 8, 8, 8), schema.AddOptionsT(), 2)
    pads = graph.constant([[0, 0], [1, 1], [1, 1], [0, 0]], "int32")
    x = graph.op("PAD", [x, pads], (1, 10, 10, 8), schema.PadOptionsT())
    x = graph.op("AVERAGE_POOL_2D", [x], (1, 5, 5, 8), pool_options(), 2)
    axes = graph.constant([1, 2], "int32")
    x = graph.op("MEAN", [x, axes], (1, 8), schema.ReducerOptionsT(), 2)
    dense = [x, graph.weights(6, 8), _bias(graph, 6)]
    x = graph.op("FULLY_CONNECTED", dense, (1, 6), schema.FullyConnectedOptionsT(), 4)
    x = graph.op("RESHAPE", [x, graph.constant([1, 6], "int32")], (1, 6), schema.ReshapeOptionsT())
    y = graph.activation((1, 6), scale=1 / 256, zero_point=-128)
    x = graph.op("SOFTMAX", [x], y, schema.SoftmaxOptionsT(beta=1.0), 2)
    return _described(graph, x)


def _bias(graph: FlatGraph, count: int) -> int:
    index = graph.constant(np.arange(count), "int32")
    # LiteRT holds a bias to the scale of what it is added to: 0.1 · 0.1.
    quantization = graph.graph.tensors[index].quantization
    quantization.scale, quantization.zeroPoint = [0.01], [0]
    return index


def float_network() -> bytes:
    """Upsampling, slices and a concatenation, with an open batch."""
    graph = FlatGraph()

    def made(*shape):
        return graph.activation(shape, "float32", signature=[-1, *shape[1:]])

    x = graph.input((1, 8, 8, 3), "float32", signature=[-1, 8, 8, 3])
    size = graph.constant([16, 16], "int32")
    resize = schema.ResizeBilinearOptionsT(halfPixelCenters=True)
    x = graph.op("RESIZE_BILINEAR", [x, size], made(1, 16, 16, 3), resize, 3)
    kernel, bias = graph.weights(4, 3, 3, 3, dtype="float32"), graph.constant([0] * 4, "float32")
    x = graph.op("CONV_2D", [x, kernel, bias], made(1, 16, 16, 4), conv_options())
    y = graph.op("HARD_SWISH", [x], made(1, 16, 16, 4), schema.HardSwishOptionsT())
    both = schema.ConcatenationOptionsT(axis=3)
    x = graph.op("CONCATENATION", [x, y], made(1, 16, 16, 8), both)
    half = [graph.constant(v, "int32") for v in ([0] * 4, [0, 0, 0, 4], [1] * 4)]
    cut = schema.StridedSliceOptionsT(beginMask=7, endMask=7)
    x = graph.op("STRIDED_SLICE", [x, *half], made(1, 16, 16, 4), cut)
    x = graph.op("MEAN", [x, half[2]], made(1, 4), schema.ReducerOptionsT())
    dense = [x, graph.weights(6, 4, dtype="float32"), -1]
    x = graph.op("FULLY_CONNECTED", dense, made(1, 6), schema.FullyConnectedOptionsT())
    return _described(graph, graph.op("LOGISTIC", [x], made(1, 6)))


def _described(graph: FlatGraph, output: int) -> bytes:
    graph.bytes(output)
    tensor = graph.graph.tensors[graph.graph.inputs[0]]
    image = ImageInput(
        tuple(tensor.shape[1:3]), mean=(127.5,) * 3, std=(127.5,) * 3, crop_fraction=0.875
    )
    metadata_writing.attach(graph.model, Metadata(image, _LABELS, name="small"))
    return metadata_writing.append_labels(flatbuffer.pack(graph.model), _LABELS)


_BASES = (quantized_network(), float_network())


def make(seed: int) -> bytes:
    """The spoiled file of this number."""
    rng = np.random.default_rng(seed)
    base = _BASES[seed % len(_BASES)]
    kind = int(rng.integers(10))
    if kind < 2:
        return spoil_bytes(base, rng)
    if kind < 3:
        return _spoil_labels(base, rng)
    model = flatbuffer.unpack(base)
    if kind < 4:
        _spoil_metadata(model, rng)
    else:
        for _ in range(1 if rng.random() < 0.8 else 3):
            spoil_tree(model, rng)
    try:
        return flatbuffer.pack(model)
    # Not every value can be written.
    except (AttributeError, TypeError, struct.error, ValueError, LookupError, OverflowError):
        return spoil_bytes(base, rng)


_FIELDS: dict[str, tuple[Any, ...]] = {
    "size": ([0, 0], [16], [-1, 16], [1 << 30, 1 << 30], "16", None, [16.0, 16.0], [15, 16]),
    "mean": ([], [1.0], ["a"] * 3, [float("nan")] * 3, None, 127.5, [[1]] * 3, [1e300] * 3),
    "std": ([0.0] * 3, [-1.0] * 3, [1.0] * 4, [float("inf")] * 3, None, [True] * 3),
    "crop_fraction": (0, -1, 1e-12, 7, float("nan"), "0.875", None, [1], True),
    "interpolation": ("cubic", None, 3, ["bilinear"], {}, "__class__"),
    "keep_aspect_ratio": ("yes", None, 2),
    "in_graph": ("no", None, []),
    "colour": ("blue",),
}


def _spoil_metadata(model: schema.ModelT, rng: np.random.Generator) -> None:
    entry = PREPROCESSING_NAME
    if rng.random() < 0.4:
        entry = METADATA_NAME
        if rng.random() < 0.7:
            # Without the exact table, what MediaPipe's says is read.
            names = (flatbuffer.text(e.name) for e in model.metadata)
            model.metadata = [e for e, n in zip(model.metadata, names, strict=True) if n == entry]
        content = bytearray(flatbuffer.metadata_entry(model, entry))
        place = int(rng.integers(len(content) // 4)) * 4
        content[place : place + 4] = (
            struct.pack("<f", float(rng.choice(HOSTILE_FLOATS)))
            if rng.random() < 0.5
            else rng.bytes(4)
        )
        flatbuffer.set_metadata_entries(model, {entry: bytes(content)})
        return
    fields = json.loads(flatbuffer.metadata_entry(model, entry))
    name = sorted(_FIELDS)[int(rng.integers(len(_FIELDS)))]
    fields[name] = _FIELDS[name][int(rng.integers(len(_FIELDS[name])))]
    if rng.random() < 0.1:
        del fields[name]
    content = json.dumps(fields).encode()
    if rng.random() < 0.2:
        content = (b"[" * 100_000, b"", b"null", b"\xff", b"7", b'{"size":' * 1000)[
            int(rng.integers(6))
        ]
    flatbuffer.set_metadata_entries(model, {entry: content})


def _spoil_labels(base: bytes, rng: np.random.Generator) -> bytes:
    data = base[: base.rindex(b"PK\x03\x04")]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", int(rng.choice([0, 8]))) as archive:
        texts = ("a\nb\n", "a\n" * 9_000_000, "\x00" * 10, "", "ä\n" * 6)
        archive.writestr(
            ("labels.txt", "../labels.txt", "other.txt")[int(rng.integers(3))],
            texts[int(rng.integers(len(texts)))],
        )
    content = file.getvalue()
    match int(rng.integers(4)):
        case 0:  # encrypted, says the flag
            at = content.rindex(b"PK\x01\x02")
            content = content[: at + 8] + b"\x01" + content[at + 9 :]
            content = content[:6] + b"\x01" + content[7:]
        case 1:
            content = spoil_bytes(content, rng)
    return data + content


def use(path: Path, rng: np.random.Generator) -> None:
    """Reads, checks and runs the file by every way there is; raises what they raise."""
    import tflite
    from tests.hostile.running import attempts

    def predict() -> None:
        predictor = tflite.Predictor(path)
        assert predictor.predict(np.zeros((20, 30, 3), np.uint8)).dtype == np.float32

    ways = {
        "inspect": lambda: str(tflite.inspect(path)),
        "check_edgetpu": lambda: str(tflite.check_edgetpu(path)),
        "read_metadata": lambda: tflite.read_metadata(path),
        "Predictor": predict,
    }
    if rng.random() < 0.05:
        ways["measure_costs"] = lambda: tflite.measure_costs(path)
    attempts(ways)
