"""A quantization-aware model is its int8 file: same steps, same answers, trained or not."""

import keras
import numpy as np
import pytest
from keras import layers

import slimnets
import tflite
from slimnets.optimization import awareness, quantize_aware
from tests.helpers.flatgraph import FlatGraph
from tests.helpers.small_networks import shufflenet_unit, v3_block
from tflite.files import flatbuffer
from tflite.files.metadata import read_metadata
from tflite.images import Preprocessing
from tflite.quantizing.unfolding import trainable_model
from tflite.runtime import Session

IMAGES = np.random.default_rng(0).uniform(-1, 1, (24, 16, 16, 3)).astype(np.float32)


def convert(model, **options):
    return tflite.convert(model, calibration=IMAGES, effort="fast", **options).bytes


def steps(file: bytes) -> list:
    """Scale and zero point of every tensor that is computed, in the file's order."""
    flat = flatbuffer.unpack(file)
    tensors = flat.subgraphs[0].tensors
    found = [tensors[i] for operator in flat.subgraphs[0].operators for i in operator.outputs]
    return [(float(t.quantization.scale[0]), int(t.quantization.zeroPoint[0])) for t in found]


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return v3_block()


@pytest.fixture(scope="module")
def plain(network) -> bytes:
    return convert(network)


@pytest.fixture(scope="module")
def aware(network) -> keras.Model:
    return quantize_aware(network, calibration=IMAGES, effort="fast")


@pytest.mark.slow
def test_it_begins_as_the_file_of_post_training_quantization(aware, plain):
    file = convert(aware)
    assert len(file) == pytest.approx(len(plain), rel=0.01)
    assert steps(file) == steps(plain)
    np.testing.assert_array_equal(Session(file).run(IMAGES), Session(plain).run(IMAGES))


@pytest.mark.slow
def test_it_costs_what_its_network_costs_and_is_no_model_for_onnx(aware, network, tmp_path):
    cost, wanted = slimnets.complexity(aware), slimnets.complexity(network)
    assert cost.macs == wanted.macs > 0
    with pytest.raises(ValueError, match=r"quantization-aware.*Export the model that it was made"):
        slimnets.export_onnx(aware, tmp_path / "aware.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["android", "coral"])
def test_it_takes_images_normalized_by_channel_as_the_file_takes_pixels(target):
    """PyTorch's weights: the file's first layer normalizes, and equalization may change it."""
    how = Preprocessing(
        size=(16, 16),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        value_range=(0, 1),
        crop_fraction=1.0,
    )
    random = np.random.default_rng(1)
    colours = random.uniform(0, 1, (24, 1, 1, 3))  # without them all images would be alike
    pixels = (random.integers(0, 256, (24, 16, 16, 3)) * colours).astype(np.uint8)
    images, whole = how(list(pixels)), v3_block()
    network = keras.Model(whole.input, whole.layers[-1].input)  # to its average: no softmax
    aware = quantize_aware(network, target, images, preprocessing=how, effort="normal")
    file = tflite.convert(aware, calibration=images, preprocessing=how, target=target).bytes
    expected = np.asarray(network(images))
    spread = expected.std(axis=0).mean()
    found = Session(file, read_metadata(file).image.of_file).run(pixels.astype(np.float32))
    for given in (np.asarray(aware(images)), found):
        assert np.sqrt(np.square(given - expected).mean()) < 0.25 * spread


@pytest.mark.parametrize("into", [0.0437, 0.0566, 0.05, 0.0507, 0.21])
def test_steps_become_those_of_another_scale_as_the_kernel_rounds_them(into):
    """XNNPACK multiplies by 256ths: one value in fifty falls the other way than the exact ratio."""
    file = FlatGraph()
    entering = file.input((1, 16, 16, 1), scale=0.05, zero_point=-3)
    leaving = file.activation((1, 16, 16, 1), scale=into, zero_point=5)
    data = file.bytes(file.op("QUANTIZE", [entering], leaving, version=2))
    steps = np.arange(-128, 128).reshape(1, 16, 16, 1)
    images = ((steps + 3) * 0.05).astype(np.float32)
    found = trainable_model(data, None, "android", "requantized")(images)
    np.testing.assert_allclose(found, Session(data).run(images), atol=1e-5)


@pytest.mark.slow
def test_the_file_of_a_trained_model_computes_what_the_model_does(aware, plain, tmp_path):
    trained = keras.models.clone_model(aware)
    trained.set_weights(aware.get_weights())
    trained.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    trained.fit(IMAGES, np.arange(24) % 10, batch_size=12, verbose=0)
    file = convert(trained)
    assert file != plain
    assert steps(file) == steps(plain)
    agreement = tflite.compare(trained, file, IMAGES)
    # Rounding to 1/256, and now and then a step of a layer that fell the other way.
    assert agreement.max_abs_error < 1.5 / 256
    trained.save(tmp_path / "trained.keras")
    assert convert(tmp_path / "trained.keras") == file


@pytest.mark.slow
def test_zeros_and_equal_weights_stay_so(network):
    sparse = keras.models.clone_model(network)
    sparse.set_weights(network.get_weights())
    head = sparse.get_layer("logits")
    kernel, bias = head.get_weights()
    kernel[:, :, ::2] = 0
    head.set_weights([np.round(kernel, 1), bias])
    options = {"calibration": IMAGES, "effort": "fast", "preserve": ("sparsity", "clusters")}
    model = quantize_aware(sparse, **options)
    (layer,) = [x for x in model.layers if x.name.startswith("logits")]
    before = layer.integers()
    model.compile(keras.optimizers.Adam(3e-2), "sparse_categorical_crossentropy")
    model.fit(IMAGES, np.arange(24) % 10, batch_size=24, verbose=0)
    after = layer.integers()
    assert (after != before).any()
    assert (after[before == 0] == 0).all()
    for channel in range(10):
        pairs = {*zip(before[..., channel].flat, after[..., channel].flat, strict=True)}
        assert len(pairs) == len(np.unique(before[..., channel]))


@pytest.mark.slow
def test_shuffles_and_groups_can_be_trained():
    unit = shufflenet_unit()
    images = np.random.default_rng(0).uniform(-1, 1, (12, 8, 8, 24)).astype(np.float32)
    flat = keras.Model(unit.input, layers.GlobalAveragePooling2D()(unit.output))
    options = {"calibration": images, "effort": "fast"}
    model = quantize_aware(flat, "coral", **options)
    file = tflite.convert(model, target="coral", **options).bytes
    assert tflite.compare(model, file, images).sqnr_db > 40


@pytest.mark.slow
def test_it_becomes_the_file_that_it_was_made_of_and_no_other(aware):
    for options in ({"precision": "float32"}, {"target": "coral"}, {"batch_size": 2}):
        with pytest.raises(ValueError, match="is quantization-aware: it becomes an int8 file"):
            convert(aware, **options)
    with pytest.raises(ValueError, match="uint8 and uint8 at its ends, not int8 and uint8"):
        convert(aware, input_type="int8")


def test_what_cannot_be_preserved_is_told(network):
    with pytest.raises(ValueError, match=r"got 'cluster'\. Did you mean 'clusters'"):
        quantize_aware(network, calibration=IMAGES, preserve="cluster")
    with pytest.raises(ValueError, match="effort 'normal' changes weights one by one"):
        quantize_aware(network, calibration=IMAGES, preserve="sparsity")


@pytest.mark.slow
def test_an_operator_that_cannot_be_trained_is_named():
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, layers.Conv2DTranspose(4, 3, name="up")(images))
    with pytest.raises(ValueError, match="does not know the operator TRANSPOSE_CONV"):
        quantize_aware(model, calibration=IMAGES[:, :8, :8], effort="fast")


def test_a_form_that_is_not_its_file_is_no_starting_point(network, monkeypatch):
    """Such a bug has been: images in other units, so that training began somewhere else."""

    def wrong(*args, **kwargs):
        images = keras.Input((16, 16, 3))
        return keras.Model(images, trainable_model(*args, **kwargs)(images) * 0.5)

    monkeypatch.setattr(awareness, "trainable_model", wrong)
    with pytest.raises(RuntimeError, match=r"trainable form of 'v3_block' is not its int8 file"):
        quantize_aware(network, calibration=IMAGES, effort="fast")


@pytest.mark.slow
def test_an_operator_that_reads_one_tensor_twice_can_be_trained():
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu")(images)
    x = layers.Concatenate()([layers.Multiply()([x, x]), x])
    x = layers.Concatenate()([x, x])
    model = keras.Model(images, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    some = np.random.default_rng(0).uniform(-1, 1, (12, 8, 8, 3)).astype(np.float32)
    aware = quantize_aware(model, calibration=some, effort="fast")
    file = tflite.convert(aware, calibration=some).bytes
    assert tflite.compare(aware, file, some).sqnr_db > 30
