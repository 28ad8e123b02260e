"""The ranges of a detector's codes and logits are those of the anchors that find something."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.helpers.float_files import FloatFile
from tflite.files import flatbuffer
from tflite.quantizing.detector_heads import DetectorHeads, code_range, logit_range


def test_codes_have_the_range_of_those_on_objects():
    random = np.random.default_rng(0)
    codes = random.uniform(-3, 3, (500, 4))
    assert code_range(codes, np.ones(500)) == pytest.approx((-3, 3), abs=0.1)
    codes[0] = 30.0
    assert code_range(codes, np.ones(500))[1] == pytest.approx(30, abs=0.1)
    # One that is hardly an object is not worth the others' steps.
    assert code_range(codes, np.array([1e-4] + [1.0] * 499))[1] == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("scores", ["softmax", "sigmoid"])
def test_logits_far_off_cost_the_others_no_steps(scores):
    random = np.random.default_rng(0)
    logits = random.normal(0, 1, (4000, 3))
    logits[400:] += [40.0 if scores == "softmax" else -40.0, -40.0, -40.0]
    raised = np.exp(logits)
    whole = raised.sum(axis=1, keepdims=True) if scores == "softmax" else 1 + raised
    probabilities = raised / whole
    low, high = logit_range(logits, probabilities, probabilities[:, 1:].max(axis=1) > 0.05)
    assert -20 < low < -6
    assert high < 20


def joined() -> tuple[FloatFile, dict[str, int]]:
    """A file that ends as a detector's does, of one anchor a pixel."""
    file = FloatFile()
    codes, logits = file.conv(file.last, 4), file.conv(file.last, 3)
    scores = file.join("SOFTMAX", [logits], schema.SoftmaxOptionsT(beta=1.0))
    options = schema.ConcatenationOptionsT(axis=3)
    whole = file.join("CONCATENATION", [codes, scores], options, channels=7)
    return file, {"codes": codes, "logits": logits, "scores": scores, "whole": whole}


def test_ranges_stand_in_the_file():
    file, tensors = joined()
    found = DetectorHeads.of(file.bytes(), file.images(), None)
    assert found.codes is not None
    assert found.logits is not None
    flat = flatbuffer.unpack(found.with_ranges(file.bytes()))
    for name, ends in {"codes": found.codes, "whole": found.codes, "logits": found.logits}.items():
        quantization = flat.subgraphs[0].tensors[tensors[name]].quantization
        assert (quantization.min, quantization.max) == pytest.approx(ends)
    scores = flat.subgraphs[0].tensors[tensors["scores"]].quantization
    assert scores is None or scores.min is None


def test_a_detector_that_finds_nothing_keeps_its_ranges():
    assert DetectorHeads(7).with_ranges(b"a file") == b"a file"


def test_errors_count_by_how_sure_an_anchor_is():
    outputs = np.tile([5.0, 5.0, 5.0, 5.0, 0.1, 0.2, 0.7], (2, 3, 1))
    outputs[:, 1:, 4:] = [1.0, 0.0, 0.0]
    weights = DetectorHeads(7).weigh(outputs.reshape(2, -1)).reshape(outputs.shape)
    np.testing.assert_allclose(weights[:, 0, :4], 0.7)
    assert (weights[:, 1:, :4] == 0).all()
    assert (weights[..., 4:] == weights[0, 0, 4]).all()


def test_logits_that_no_number_can_be_the_exponential_of_have_a_range():
    logits = np.array([[5000.0, -5000.0], [-2.3, 1.9], [0.1, 0.7]] * 50, np.float32)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    with np.errstate(invalid="raise"):  # infinity by infinity
        low, high = logit_range(logits, probabilities, probabilities[:, 1] > 0.05)
    assert low < 0 < high
