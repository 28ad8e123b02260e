"""`quantization_report`: error, range and saturation of every layer, and which costs most."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tflite
from tests.tflite.quantizing.test_effort import network, pictures
from tflite.files import flatbuffer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def file(model) -> bytes:
    return tflite.convert(model, calibration=pictures(32, seed=1)).bytes


def coarsened(file: bytes, layer: str) -> bytes:
    """The file with one activation's scale 16 times what it was: 16 steps where 256 were."""
    flat = flatbuffer.unpack(file)
    (tensor,) = (
        t
        for t in flat.subgraphs[0].tensors
        if flatbuffer.text(t.name).startswith(f"{layer}_1/")
        and flatbuffer.type_name(t) == "int8"
        and len(t.quantization.scale) == 1
    )
    tensor.quantization = schema.QuantizationParametersT(
        scale=np.asarray(tensor.quantization.scale) * np.float32(16),
        zeroPoint=np.asarray(tensor.quantization.zeroPoint),
    )
    return flatbuffer.pack(flat)


def test_layers_are_told_in_order_and_equalization_is_undone(model, file):
    report = tflite.quantization_report(model, file, pictures(8, seed=2))
    names = [layer.name for layer in model.layers]
    found = [names.index(layer.name) for layer in report.layers]
    assert found == sorted(found)
    assert len(found) >= 10
    assert min(layer.sqnr_db for layer in report.layers) > 20
    assert all(0 < layer.used <= 1 for layer in report.layers)
    assert report.poor == ()


def test_the_layer_that_costs_most_is_named(model, file):
    worse = coarsened(file, "stem")
    report = tflite.quantization_report(model, worse, pictures(8, seed=2))
    stem = next(layer for layer in report.layers if layer.name == "stem")
    whole = tflite.quantization_report(model, file, pictures(8, seed=2))
    before = next(layer for layer in whole.layers if layer.name == "stem")
    # Four bits less are 24 dB.
    assert before.sqnr_db - stem.sqnr_db > 15
    assert "costs most" in str(report)


def test_a_picture(model, file, tmp_path):
    report = tflite.quantization_report(model, file, pictures(4, seed=2))
    path = report.plot(tmp_path / "layers.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_float_file_and_other_images_are_refused(model, file):
    with pytest.raises(ValueError, match=r"\(N, 24, 24, 3\).*got \(2, 8, 8, 3\)"):
        tflite.quantization_report(model, file, np.zeros((2, 8, 8, 3), np.float32))
    floats = tflite.convert(model, precision="float32").bytes
    with pytest.raises(ValueError, match="precision='int8'"):
        tflite.quantization_report(model, floats, pictures(2, seed=2))
