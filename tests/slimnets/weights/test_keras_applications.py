"""keras.applications' models and the files that they are saved in, now and by Keras 2."""

import re

import h5py
import keras
import numpy as np
import pytest

import slimnets
from slimnets.weights import load_weights
from tests.helpers.closeness import assert_same_probabilities
from tests.helpers.lively import lively

pytestmark = pytest.mark.slow  # other libraries' networks, at their full width


def weights(model):
    return [variable.numpy() for variable in model.weights]


@pytest.fixture(scope="module")
def model():
    return slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=0.25, num_classes=10)


def refuses(model, source, match, **kwargs):
    before = weights(model)
    with pytest.raises(ValueError, match=match):
        load_weights(model, source, **kwargs)
    assert all(map(np.array_equal, before, weights(model)))


@pytest.mark.parametrize("size", [96, 128])
def test_keras_applications_own_weights_give_its_predictions(size):
    options = {"input_shape": (size, size, 3), "alpha": 0.25, "weights": None, "classes": 10}
    theirs = lively(keras.applications.MobileNet(**options))
    ours = slimnets.mobilenet_v1((size, size, 3), depth_multiplier=0.25, num_classes=10)
    load_weights(ours, theirs)
    image = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3)).astype("float32")
    assert_same_probabilities(ours(image), theirs(image), 5e-6)


def test_keras_applications_models_without_a_top_go_in_without_strict():
    shape = (32, 32, 3)
    theirs = lively(
        keras.applications.MobileNetV2(
            input_shape=shape, alpha=0.35, weights=None, include_top=False
        )
    )
    ours = lively(slimnets.mobilenet_v2(shape, depth_multiplier=0.35), seed=1)
    refuses(ours, theirs, "no classifier: pass strict=False")
    load_weights(ours, theirs, strict=False)
    assert all(map(np.array_equal, weights(ours)[:-2], weights(theirs)))


FAMILIES = {
    "MobileNet": ("mobilenet_v1", 0.25),
    "MobileNetV2": ("mobilenet_v2", 0.35),
    "MobileNetV3Small": ("mobilenet_v3_small", 1.0),
    "MobileNetV3Large": ("mobilenet_v3_large", 1.0),
}
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request):
    """A keras.applications model of 7 classes and its counterpart, with other weights."""
    name, alpha = FAMILIES[request.param]
    theirs = getattr(keras.applications, request.param)(SHAPE, alpha, weights=None, classes=7)
    ours = getattr(slimnets, name)(SHAPE, depth_multiplier=alpha, num_classes=7)
    return lively(theirs), ours


def same_backbone(ours, theirs):
    """Whether all convolutions and statistics before the classifier are the other's."""
    features = [w for w in weights(ours) if w.shape[-1] != 7]
    others = [w for w in weights(theirs) if w.shape[-1] != 7]
    return len(features) == len(others) > 100 and all(map(np.array_equal, features, others))


def same_classifier(ours, theirs):
    return all(np.array_equal(a.ravel(), b.ravel()) for a, b in tails(ours, theirs))


def tails(ours, theirs):
    logits = ours.get_layer("Logits.Conv2d_1c_1x1.conv")
    last = next(layer for layer in reversed(theirs.layers) if layer.weights)
    return zip(logits.get_weights(), last.get_weights(), strict=True)


def write_as_keras_2(path, model, layer_name=lambda name: name):
    """Weights alone, as `mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5` has them."""
    with h5py.File(path, "w") as file:
        layers = [layer_name(layer.name) for layer in model.layers]
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, name in zip(model.layers, layers, strict=True):
            group = file.create_group(name)
            depthwise = type(layer).__name__ == "DepthwiseConv2D"
            kinds = ["depthwise_kernel" if depthwise else w.name for w in layer.weights]
            paths = [f"{name}/{kind}:0" for kind in kinds]
            group.attrs["weight_names"] = [path.encode() for path in paths]
            for weight, inner in zip(layer.get_weights(), paths, strict=True):
                group[inner] = weight


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5", "x.h5", "keras2.h5", "no_suffix"])
def test_keras_applications_files_are_read_by_their_layers(pair, name, tmp_path):
    theirs, ours = pair
    lively(ours, seed=1)
    path = tmp_path / name
    if name == "keras2.h5":
        write_as_keras_2(path, theirs)
    elif name == "x.weights.h5":
        theirs.save_weights(path)
    else:
        theirs.save(tmp_path / ("x.keras" if name == "no_suffix" else name))
    if name == "no_suffix":
        (tmp_path / "x.keras").rename(path)
    load_weights(ours, path)
    assert same_backbone(ours, theirs)
    assert same_classifier(ours, theirs)


def as_first_released(name):
    """Layers' names in the files that were published before Keras's names were settled."""
    block = re.match(r"block_(\d+)_(\w+?)(_BN)?$", name)
    if block:
        number, part = block[1], block[2]
        return (
            f"bn{number}_conv_{number}_bn_{part}"
            if block[3]
            else f"mobl{number}_conv_{number}_{part}"
        )
    return name.replace("expanded_conv", "mobl0_conv_0")


def as_keras_2_called_v3(name):
    name = re.sub(r"^conv", "Conv", name).replace("logits", "Logits")
    name = re.sub(r"_bn$", "/BatchNorm", name)
    name = re.sub(r"squeeze_excite_conv", "squeeze_excite/Conv", name)
    return re.sub(r"(expanded_conv(_\d+)?)_(expand|depthwise|project|squeeze)", r"\1/\3", name)


@pytest.mark.parametrize("include_top", [True, False])
@pytest.mark.parametrize(
    ("title", "rename"),
    [("MobileNetV2", as_first_released), ("MobileNetV3Small", as_keras_2_called_v3)],
)
def test_published_files_of_other_names_are_read(title, rename, include_top, tmp_path, caplog):
    name, alpha = FAMILIES[title]
    build = getattr(keras.applications, title)
    theirs = lively(build(SHAPE, alpha, weights=None, classes=7, include_top=include_top))
    write_as_keras_2(tmp_path / "weights.h5", theirs, rename)
    ours = getattr(slimnets, name)(
        SHAPE, depth_multiplier=alpha, num_classes=7, weights=tmp_path / "weights.h5"
    )
    if include_top:
        assert same_backbone(ours, theirs)
        assert same_classifier(ours, theirs)
        assert not caplog.messages
    else:
        count = len(theirs.weights)
        assert all(map(np.array_equal, weights(ours)[:count], weights(theirs)))
        assert "the source has no classifier, the model 7 classes" in caplog.text


def test_layers_of_ones_own_on_top_are_left_and_said(tmp_path, caplog):
    base = keras.applications.MobileNetV2(SHAPE, 0.35, weights=None, include_top=False)
    lively(base)
    flat = keras.layers.GlobalAveragePooling2D()(base.output)
    flat = keras.Model(base.input, keras.layers.Dense(3, name="mine")(flat))
    nested = keras.Sequential(
        [base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, name="mine")]
    )
    for model in (flat, nested):
        model.save(tmp_path / "mine.keras")
        model.save(tmp_path / "mine.h5")
        for source in (model, tmp_path / "mine.keras", tmp_path / "mine.h5"):
            caplog.clear()
            ours = slimnets.mobilenet_v2(
                SHAPE, depth_multiplier=0.35, num_classes=0, weights=source
            )
            assert same_backbone(ours, base)
            assert "mine/kernel, mine/bias" in caplog.text
    refuses(
        slimnets.mobilenet_v2(SHAPE, depth_multiplier=0.35), tmp_path / "mine.h5", "mine/kernel"
    )


def test_keras_applications_other_padding_is_refused():
    source = keras.applications.MobileNet(input_shape=(64, 64, 3), alpha=0.25, weights=None)
    odd = slimnets.mobilenet_v1((72, 72, 3), depth_multiplier=0.25)
    refuses(odd, source, r"halves a map of 9×9 in Conv2d_6_depthwise")
    explicit = slimnets.mobilenet_v1((64, 64, 3), depth_multiplier=0.25, use_explicit_padding=True)
    refuses(explicit, source, "use_explicit_padding=False")


def test_keras_applications_other_models_are_refused(model):
    source = keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.5, weights=None)
    refuses(model, source, r"like mobilenet_v1\(depth_multiplier=0\.5\) with 1000 classes, the mod")
    refuses(slimnets.mobilenet_v2((32, 32, 3)), source, "of keras.applications; model 'Mobilenet")
    refuses(model, keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), "is none of keras")
