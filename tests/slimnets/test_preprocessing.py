"""The one definition of how an image becomes a tensor."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import slimnets
from slimnets import evaluation
from slimnets.catalog import for_size, preprocessing
from slimnets.preprocessing import Preprocessing


@pytest.fixture
def pattern():
    y, x = np.mgrid[0:150, 0:200]
    return np.stack([(x * y) % 256, (3 * x + y) % 256, (x * x + 7 * y) % 256], -1).astype(np.uint8)


def test_mobilenets_see_black_as_minus_one_and_white_as_one():
    prepare = preprocessing("mobilenet_v1")
    assert prepare(np.zeros((8, 8, 3), np.uint8)).min() == -1
    assert prepare(np.full((8, 8), 255, np.uint8)).max() == 1
    assert prepare(np.zeros((5, 9), np.uint8)).shape == (224, 224, 3)


def test_torchvision_style_gives_what_torchvision_gives(pattern):
    # ImageClassification(crop_size=224, resize_size=256, antialias=True) of torchvision 0.29.
    expected = {
        (0, 0): (-1.19317, -0.10994, 1.3851),
        (0, 223): (1.0673, 2.28852, 0.35678),
        (111, 57): (0.03981, -1.68557, 0.19991),
        (200, 180): (0.77618, -1.47549, 0.77508),
        (223, 0): (0.07406, 2.18347, -0.51468),
    }
    got = preprocessing("squeezenet1_1")(pattern)
    for place, values in expected.items():
        np.testing.assert_allclose(got[place], values, atol=1e-4)


def test_inception_style_keeps_the_central_seven_eighths():
    image = np.zeros((160, 320, 3), np.uint8)
    image[10:150, 20:300] = 255
    assert preprocessing("mobilenet_v1")(image).min() == 1
    image[10, 20] = 0
    assert preprocessing("mobilenet_v1")(image).min() < 1


def test_small_inputs_take_the_whole_image():
    model = SimpleNamespace(layers=(), name="MobilenetV1", input_shape=(None, 48, 32, 3))
    prepare = preprocessing(model)
    assert (prepare.size, prepare.crop_fraction) == ((48, 32), 1.0)
    assert for_size(preprocessing("mobilenet_v2"), (160, 160)).crop_fraction == 0.875


def test_a_model_of_unknown_size_takes_the_family_size():
    model = SimpleNamespace(layers=(), name="MobilenetV1", input_shape=(None, None, None, 3))
    assert preprocessing(model).size == (224, 224)


def test_every_kind_of_image_becomes_rgb(tmp_path):
    prepare = Preprocessing(size=(4, 4), crop_fraction=1.0)
    grey = Image.new("L", (4, 4), 51)
    assert prepare.pixels(grey).tolist() == np.full((4, 4, 3), 51).tolist()
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert prepare.pixels(clear).min() == 255  # white where nothing is drawn, not hidden red
    ink = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    assert prepare.pixels(ink)[0, 0].tolist() == [255, 0, 0]
    deep = Image.fromarray(np.full((4, 4), 0x8080, np.uint16))
    deep.save(tmp_path / "deep.png")
    assert prepare.pixels(tmp_path / "deep.png")[0, 0].tolist() == [128, 128, 128]


def test_a_photograph_is_turned_upright_by_its_exif_orientation(tmp_path):
    image = Image.new("RGB", (8, 4), "black")
    image.paste("white", (0, 0, 4, 4))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to show
    image.save(tmp_path / "turned.png", exif=exif)
    pixels = Preprocessing(size=(8, 4), crop_fraction=1.0).pixels(tmp_path / "turned.png")
    assert pixels[:4].min() == 255
    assert pixels[4:].max() == 0


def test_one_image_a_list_and_a_batch_agree(pattern, tmp_path):
    prepare = preprocessing("mobilenet_v1")
    Image.fromarray(pattern).save(tmp_path / "pattern.png")
    one = prepare(pattern)
    many = prepare([pattern, Image.fromarray(pattern), str(tmp_path / "pattern.png")])
    assert many.dtype == np.float32
    assert (many == one).all()
    assert (prepare(np.stack([pattern, pattern])) == one).all()


def test_a_device_file_prepares_images_the_same_way(pattern):
    from tflite.images import image_input

    ours = preprocessing("mobilenet_v1")
    theirs = image_input(ours, (224, 224, 3))
    np.testing.assert_allclose(theirs(pattern), ours(pattern), atol=1e-6)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("nowhere/cat.jpg", ValueError, "nowhere/cat.jpg"),
        (np.zeros((4, 4, 3), np.float32), TypeError, "uint8"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, r"\(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"\(0, 4, 3\)"),
        ([], ValueError, "empty"),
        (7, TypeError, "int"),
    ],
)
def test_what_is_no_image_is_named(image, error, message):
    with pytest.raises(error, match=message):
        preprocessing("mobilenet_v1")(image)


def test_a_cut_off_jpeg_is_named(tmp_path, pattern):
    Image.fromarray(pattern).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.jpg.*truncated"):
        preprocessing("mobilenet_v1")(tmp_path / "cut.jpg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (0, 4)}, "size"),
        ({"crop_fraction": 1.5}, "crop_fraction"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"interpolation": "area"}, "bilinear"),
    ],
)
def test_impossible_preprocessings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Preprocessing(), **change)


def test_unknown_networks_and_other_objects_are_refused():
    with pytest.raises(ValueError, match="'resnet50'"):
        preprocessing("resnet50")
    with pytest.raises(TypeError, match="Keras model"):
        preprocessing(3)


# --- Models that scale pixels themselves ----------------------------------------------------------


def guide(*first):
    """As Keras's guides begin and end a model."""
    layers = keras.layers
    body = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten()])
    end = layers.Dense(3, "softmax", kernel_initializer=keras.initializers.RandomNormal(0.0, 0.01))
    return keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip(), *first, body, end])


def functional(arithmetic):
    image = keras.Input((8, 8, 3))
    return keras.Model(image, guide()(arithmetic(image)))


def normalization(mean):
    return keras.layers.Normalization(mean=[mean] * 3, variance=[mean**2] * 3)


OWN_SCALING = {
    "Rescaling": lambda: guide(keras.layers.Rescaling(1 / 255)),
    "Normalization": lambda: guide(normalization(120.0)),
    "preprocess_input": lambda: functional(keras.applications.mobilenet_v2.preprocess_input),
    "its caffe form": lambda: functional(keras.applications.resnet50.preprocess_input),
    "inside a nested model": lambda: keras.Sequential(
        [keras.Input((8, 8, 3)), guide(keras.layers.Rescaling(1 / 127.5, -1))]
    ),
}


@pytest.mark.parametrize("how", OWN_SCALING)
@pytest.mark.parametrize("like", [None, "mobilenet_v2_cifar10"])
def test_a_model_that_scales_pixels_itself_is_given_pixels(how, like, tmp_path):
    model = OWN_SCALING[how]()
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    expected = model.predict_on_batch(photo[np.newaxis].astype(np.float32))
    model.save(tmp_path / "mine.keras")
    found = evaluation.open_classifier(tmp_path / "mine.keras", like=like)
    np.testing.assert_allclose(found.probabilities([photo]), expected, atol=1e-6)


def test_keras_applications_networks_with_a_rescaling_inside_are_given_pixels():
    make = keras.applications.MobileNetV3Small
    for inside, white in ((True, 255), (False, 1)):
        model = make((64, 64, 3), weights=None, include_preprocessing=inside)
        assert slimnets.preprocessing(model).range[1] == white


def test_arithmetic_of_small_numbers_is_no_scaling_of_pixels():
    for model in (
        guide(keras.layers.Rescaling(2.0, -1)),
        guide(normalization(0.5)),
        functional(lambda x: x / 2.0),
    ):
        with pytest.raises(ValueError, match="does not say how it takes images"):
            evaluation.prepare_for(model)
