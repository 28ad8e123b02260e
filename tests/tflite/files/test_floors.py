"""Of what an h-swish reads, values below -3 are as good as -3, and ranges make use of it."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.helpers.float_files import RELU6, FloatFile
from tflite.files import flatbuffer
from tflite.files.floors import find_floors
from tflite.quantizing.activation_ranges import set_ranges
from tflite.quantizing.statistics import measure
from tflite.runtime import Session


def swished(file: FloatFile, source: int, offset: float = 3.0) -> int:
    """source · relu6(source + offset)"""
    shifted = file.join(
        "ADD",
        [source, file.constant(np.asarray([offset]), "float32")],
        schema.AddOptionsT(fusedActivationFunction=RELU6),
    )
    return file.join("MUL", [source, shifted], schema.MulOptionsT())


def test_what_only_an_h_swish_reads_has_a_floor():
    file = FloatFile()
    source = file.conv(file.last, 4)
    file.conv(swished(file, source), 5)
    assert find_floors(flatbuffer.unpack(file.bytes())) == {source: -3.0}


@pytest.mark.parametrize("offset", [0.0, -3.0])
def test_other_offsets_than_positive_ones_have_none(offset):
    file = FloatFile()
    file.conv(swished(file, file.conv(file.last, 4), offset), 5)
    assert find_floors(flatbuffer.unpack(file.bytes())) == {}


def test_what_others_read_too_has_none():
    file = FloatFile()
    source = file.conv(file.last, 4)
    file.join("ADD", [swished(file, source), source], schema.AddOptionsT())
    assert find_floors(flatbuffer.unpack(file.bytes())) == {}


def test_a_range_ends_at_the_floor_and_the_function_stays():
    """Clipping there by hand changes no output of the network."""
    file = FloatFile()
    source = file.conv(file.last, 4, gains=[20] * 4)
    file.conv(swished(file, source), 5)
    data, images = file.bytes(), file.images(6)
    found = measure(data, images)
    assert -3.1 < found[source].range[0] <= -3.0
    tensors = flatbuffer.unpack(set_ranges(data, found)).subgraphs[0].tensors
    assert tensors[source].quantization.min[0] > -3.1

    values = Session(data, keep_all_tensors=True)
    list(values.steps(images[:1]))
    inner = values.tensor(source)
    assert inner.min() < -4, "the case that this is about"

    def swish(x):
        return x * np.clip(x + 3, 0, 6)

    np.testing.assert_array_equal(swish(inner), swish(np.maximum(inner, -3)))
