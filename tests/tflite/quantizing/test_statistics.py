"""Statistics of activations are NumPy's, and ranges those of each tensor itself."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.helpers.float_files import RELU, RELU6, FloatFile
from tflite.files import flatbuffer
from tflite.quantizing.activation_ranges import set_ranges
from tflite.quantizing.execution import constant
from tflite.quantizing.statistics import measure, merged, with_headroom


def pointwise(file: FloatFile, operator: int, images: np.ndarray) -> np.ndarray:
    """A 1×1 convolution by NumPy, from the constants of the file."""
    tensors = file.graph.tensors
    _, weights, bias = (tensors[i] for i in file.graph.operators[operator].inputs)
    matrix = constant(file.model, weights)[:, 0, 0]
    return images @ matrix.T + constant(file.model, bias)


def test_low_high_and_mean_are_numpys():
    file = FloatFile()
    output = file.conv(file.last, 4, activation=RELU)
    images = file.images(7)
    images[0] *= 3
    found = measure(file.bytes(), images)[output]
    expected = np.maximum(pointwise(file, 0, images), 0)
    np.testing.assert_allclose(found.low, expected.min(axis=(0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found.high, expected.max(axis=(0, 1, 2)), rtol=1e-5)
    # An image of more than the mean square counts the less.
    squares = np.square(expected).mean(axis=(1, 2, 3))
    weights = squares.mean() / np.maximum(squares, squares.mean())
    assert weights[0] < weights[1:].min() == 1
    np.testing.assert_allclose(found.weights, weights, rtol=1e-4)
    means = expected.mean(axis=(1, 2))
    np.testing.assert_allclose(found.mean, np.average(means, axis=0, weights=weights), rtol=1e-4)


def test_two_sets_of_images_are_one():
    file = FloatFile()
    output = file.conv(file.last, 4)
    data, images = file.bytes(), file.images(8)
    parts = [measure(data, images[part]) for part in (slice(3), slice(3, 8))]
    whole, both = measure(data, images)[output], merged(*parts, fitted=True)[output]
    np.testing.assert_allclose(both.high, whole.high)
    np.testing.assert_allclose(both.mean, whole.mean, rtol=0.05)
    ranges_alone = merged(*parts, fitted=False)[output]
    np.testing.assert_allclose(ranges_alone.low, whole.low)
    np.testing.assert_allclose(ranges_alone.mean, parts[0][output].mean)


def test_a_summand_has_its_own_range_and_not_the_sums():
    """TensorFlow's calibration gives it the sum's."""
    file = FloatFile()
    small, large = file.conv(file.last, 4), file.conv(file.last, 4, gains=[50] * 4)
    total = file.join("ADD", [small, large], schema.AddOptionsT())
    data, images = file.bytes(), file.images()
    tensors = flatbuffer.unpack(set_ranges(data, measure(data, images))).subgraphs[0].tensors
    expected = pointwise(file, 0, images)
    found = tensors[small].quantization
    np.testing.assert_allclose(
        [found.min[0], found.max[0]], [expected.min(), expected.max()], rtol=1e-5
    )
    assert tensors[total].quantization.max[0] > 10 * tensors[small].quantization.max[0]


def test_zero_is_in_every_range():
    file = FloatFile(channels=1)
    output = file.conv(file.last, 2)
    images = file.images() * 0 + 1
    data = file.bytes()
    quantization = (
        flatbuffer.unpack(set_ranges(data, measure(data, images)))
        .subgraphs[0]
        .tensors[output]
        .quantization
    )
    assert quantization.min[0] <= 0 <= quantization.max[0]


def test_headroom_ends_where_relu6_does():
    file = FloatFile()
    bent = file.conv(file.last, 4, activation=RELU6, gains=[9, 9, 1, 1])
    found = measure(file.bytes(), file.images())
    assert found[bent].high.max() == 6
    wider = with_headroom(found, 16)[bent].high
    assert wider.max() == 6
    assert (wider[2:] > found[bent].high[2:]).all()
