"""Whole conversions: what more effort does for hard networks, on images it has not seen."""

import keras
import numpy as np
import pytest
from keras import layers

import tflite
from tests.helpers.lively import lively

SIZE = 24


def pictures(count: int, seed: int, size: int = SIZE) -> np.ndarray:
    """Smooth coloured blots in -1 .. 1."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (count, 6, 6, 3)).astype(np.float32)
    return np.asarray(keras.ops.image.resize(coarse, (size, size), "bicubic")).clip(-1, 1)


def block(x, activation="relu6", residual=True):
    branch = layers.Conv2D(24, 1, activation=activation)(x)
    branch = layers.DepthwiseConv2D(3, padding="same", activation=activation)(branch)
    branch = layers.Conv2D(8, 1)(branch)
    return layers.Add()([x, branch]) if residual else branch


def network(activation="relu6", residual=True, blocks=3) -> keras.Model:
    x = images = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(x)
    for _ in range(blocks):
        x = block(x, activation, residual)
    x = layers.GlobalAveragePooling2D()(x)
    return lively(keras.Model(images, layers.Dense(10, name="head")(x)))


def pathological(kind: str) -> keras.Model:
    model = network()
    stem = model.get_layer("stem")
    kernel, bias = (np.array(weight) for weight in stem.get_weights())
    if kind == "one channel 100 times larger":
        enlarge(model, channel=0, factor=100)
        return model
    kernel[..., 0], bias[0] = 0, 300 if kind == "a huge bias" else 0
    stem.set_weights([kernel, bias])
    return model


def enlarge(model: keras.Model, channel: int, factor: float) -> None:
    """One channel of the residual stream, all that writes and reads it included: exact in float."""
    for layer in model.layers:
        if "kernel" not in {weight.path.rsplit("/")[-1] for weight in layer.weights}:
            continue
        kernel, bias = (np.array(weight) for weight in layer.get_weights())
        if kernel.shape[-1] == 8:
            kernel[..., channel] *= factor
            bias[channel] *= factor
        if kernel.shape[-2] == 8:
            kernel[..., channel, :] /= factor
        layer.set_weights([kernel, bias])


def sqnr(model, effort, calibration) -> float:
    data = tflite.convert(
        model, calibration=calibration, effort=effort, output_type="float32"
    ).bytes
    return tflite.compare(model, data, pictures(32, seed=99)).sqnr_db


@pytest.mark.slow
def test_one_channel_a_hundred_times_larger_is_cured():
    model, images = pathological("one channel 100 times larger"), pictures(32, seed=1)
    assert sqnr(model, "normal", images) > sqnr(model, "fast", images) + 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a dead channel", "a huge bias"])
def test_planted_pathologies_do_no_harm(kind):
    model, images = pathological(kind), pictures(32, seed=1)
    assert sqnr(model, "normal", images) > max(30, sqnr(model, "fast", images) - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [network("leaky_relu"), network(residual=False), network(blocks=0), network("hard_silu")],
    ids=["LeakyReLU", "without residuals", "two layers", "h-swish"],
)
def test_other_networks_are_better_on_images_not_seen(model):
    images = pictures(32, seed=1)
    assert sqnr(model, "normal", images) > sqnr(model, "fast", images)


def spiky(activation: str) -> keras.Model:
    """One channel is 0 but where red is above 0.95: there it goes to 100."""
    x = images = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 1, activation="relu", name="spike")(x)
    for _ in range(2):
        x = block(x, activation)
    x = layers.GlobalAveragePooling2D()(x)
    model = lively(keras.Model(images, layers.Dense(10)(x)))
    kernel, bias = (np.array(weight) for weight in model.get_layer("spike").get_weights())
    kernel[..., 0], bias[0] = [2000, 0, 0], -1900
    model.get_layer("spike").set_weights([kernel, bias])
    return model


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "hard_silu"])
def test_one_value_in_a_million_does_not_decide_for_all_others(activation):
    model, images = spiky(activation), 0.9 * pictures(32, seed=1)
    images[7, 0, 0] = 1
    fast, normal = (
        tflite.convert(model, calibration=images, effort=effort, output_type="float32").bytes
        for effort in ("fast", "normal")
    )
    usual = 0.9 * pictures(32, seed=99)
    sqnr = tflite.compare(model, normal, usual).sqnr_db
    assert sqnr > tflite.compare(model, fast, usual).sqnr_db + 6


@pytest.mark.slow
def test_the_same_images_give_the_same_bytes():
    model, images = network(), pictures(16, seed=1)
    one, other = (tflite.convert(model, calibration=images, effort="normal") for _ in range(2))
    assert one.bytes == other.bytes


@pytest.mark.slow
@pytest.mark.parametrize("count", [13, 22, 30])
def test_images_that_are_no_whole_batches(count):
    model, images = network(), pictures(count, seed=1)
    made = tflite.convert(model, calibration=images, batch_size=4, output_type="float32")
    assert tflite.compare(model, made.bytes, pictures(32, seed=99)).sqnr_db > 30


@pytest.mark.slow
def test_the_file_has_the_operators_and_versions_of_fast():
    model, images = network(), pictures(16, seed=1)
    fast, normal = (
        tflite.convert(model, target="coral", calibration=images, effort=effort)
        for effort in ("fast", "normal")
    )
    assert normal.bytes != fast.bytes
    assert normal.report.edgetpu.ok
    one, other = (tflite.inspect(file.bytes).operations for file in (fast, normal))
    assert [(o.name, o.version) for o in one] == [(o.name, o.version) for o in other]


@pytest.mark.slow
def test_one_image_judges_nothing_and_says_so():
    report = tflite.convert(network(), calibration=pictures(1, seed=1), effort="normal").report
    assert "too few images" in str(report.quantizing)
    assert any("only 1 calibration image" in warning for warning in report.warnings)


@pytest.mark.slow
@pytest.mark.parametrize("images", [np.full((12, SIZE, SIZE, 3), 0.3), pictures(1, 1).repeat(9, 0)])
def test_images_that_tell_nothing_give_the_file_of_fast_and_a_warning(images):
    model = network()
    one, other = (
        tflite.convert(model, calibration=images, effort=effort) for effort in ("fast", "normal")
    )
    assert one.bytes == other.bytes
    assert any(" calibration images are " in warning for warning in other.report.warnings)


@pytest.mark.slow
def test_of_a_network_that_hardly_answers_what_litert_cannot_run_is_left_out(caplog):
    """Untrained, without a batch's statistics, its maps become smaller from layer to layer."""
    keras.utils.set_random_seed(0)
    net = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=3, classifier_activation=None
    )
    images = np.random.default_rng(0).uniform(-1, 1, (24, 32, 32, 3)).astype(np.float32)
    made = tflite.convert(net, precision="int8", calibration=images)
    assert "is left out: the given .tflite bytes: LiteRT cannot run this file" in caplog.text
    assert made.report.quantizing.trials


@pytest.mark.slow
def test_the_report_tells_what_was_tried():
    report = tflite.convert(network(), calibration=pictures(16, seed=1)).report
    assert report.quantizing.effort == "normal"
    assert report.quantizing.trials[report.quantizing.chosen] == max(
        report.quantizing.trials.values()
    )
    assert report.quantizing.chosen in str(report)
    assert report.to_dict()["quantizing"]["judges"] == 2
    assert (report.partitions, report.outside) == (1, {"QUANTIZE": 2})


def test_an_unknown_effort_is_refused():
    with pytest.raises(ValueError, match="effort must be one of fast, normal, high, got 'hi'"):
        tflite.convert(network(), calibration=pictures(1, seed=1), effort="hi")
