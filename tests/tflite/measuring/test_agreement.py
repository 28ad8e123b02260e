"""`compare`: its figures are those of NumPy on the two runtimes' outputs."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import tflite
from tests.helpers.lively import lively
from tflite.measuring.agreement import relative_error


@pytest.fixture(scope="module")
def model():
    x = inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu6", name="stem")(x)
    x = keras.layers.Conv2D(4, 1, name="head")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return lively(keras.Model(inputs, x, name="tiny"))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (20, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def int8(model, images):
    return tflite.convert(
        model,
        calibration=images,
        input_type="float32",
        output_type="float32",
        optimize=False,
        effort="fast",
    ).bytes


@pytest.mark.slow
def test_figures_are_those_of_numpy_on_both_outputs(model, images, int8):
    interpreter = Interpreter(model_content=int8)
    runner = interpreter.get_signature_runner("serving_default")
    found = np.concatenate([runner(image=image[np.newaxis])["logits"] for image in images])
    expected = model.predict(images, verbose=0)
    error = np.abs(found - expected)

    agreement = tflite.compare(model, int8, images)
    assert agreement.n == 20
    noise = 5e-6 * float(np.abs(expected).max())  # of Keras, which is asked twice
    assert agreement.max_abs_error == pytest.approx(error.max(), rel=0, abs=noise)
    assert agreement.mean_abs_error == pytest.approx(error.mean(), rel=0, abs=noise)
    assert agreement.top1_agreement == (found.argmax(1) == expected.argmax(1)).mean()
    sqnr = 10 * np.log10((expected**2).sum() / (error**2).sum())
    assert agreement.sqnr_db == pytest.approx(sqnr, abs=0.01)
    assert agreement.layers == ()


@pytest.mark.slow
def test_layers_are_compared_on_request(model, images, int8):
    layers = {layer.name: layer for layer in tflite.compare(model, int8, images, True).layers}
    assert list(layers) == ["stem", "head", "pool"]
    # One of 256 steps over relu6's 0..6 is 0.0235: rounding costs half, the input a bit more.
    assert 0.0117 <= layers["stem"].max_abs_error < 0.1
    assert layers["stem"].sqnr_db > 30


@pytest.mark.slow
def test_another_network_is_found_out(model, images, int8):
    other = lively(keras.models.clone_model(model), seed=1)
    assert tflite.compare(other, int8, images).sqnr_db < 10


@pytest.mark.slow
def test_two_classes_on_one_output_agree_by_its_side(images):
    x = keras.Input((16, 16, 3))
    pool = keras.layers.GlobalAveragePooling2D()(x)
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(x, head(pool))
    head.kernel.assign(np.full((3, 1), 40, np.float32))
    data = tflite.convert(model, precision="float32").bytes
    assert tflite.compare(model, data, images).top1_agreement == 1
    sides = model.predict(images, verbose=0)[:, 0] > 0.5
    head.kernel.assign(-head.kernel)
    assert 0 < sides.mean() < 1
    assert tflite.compare(model, data, images).top1_agreement == 0


@pytest.mark.slow
def test_images_of_another_shape_are_refused(model, int8):
    with pytest.raises(ValueError, match=r"\(N, 16, 16, 3\).*got \(2, 8, 8, 3\)"):
        tflite.compare(model, int8, np.zeros((2, 8, 8, 3), np.float32))


def affine_network(scale, offset, batch_size=None):
    images = keras.Input((4, 4, 1), batch_size=batch_size)
    return keras.Model(images, keras.layers.Rescaling(scale, offset)(images))


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3])
def test_the_relative_error_is_the_largest_difference_over_the_greatest_output(batch_size):
    images = np.full((4, 4, 4, 1), 0.5, np.float32)
    images[1, 2, 3] = -2.0
    plain, other = affine_network(2.0, 0.0), affine_network(2.0, 0.25, batch_size)
    assert relative_error(plain, other, images) == pytest.approx(0.25 / 4.0)
    assert relative_error(plain, plain, images) == 0


def test_an_output_that_is_finite_in_one_model_only_is_an_infinite_error():
    images = np.ones((2, 4, 4, 1), np.float32)
    infinite = affine_network(float("inf"), 0.0)
    assert relative_error(affine_network(1.0, 0.0), infinite, images) == np.inf
    assert relative_error(infinite, infinite, images) == 0
