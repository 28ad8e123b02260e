"""Our own files: read by layer name, whole, and from nowhere else."""

import zipfile

import h5py
import numpy as np
import pytest

import slimnets
from slimnets.weights import load_weights
from tests.helpers.closeness import assert_same_probabilities
from tests.helpers.lively import lively

SMALL = {"input_shape": (32, 32, 3), "depth_multiplier": 0.25, "num_classes": 10}


def small(seed=0, **kwargs):
    return lively(slimnets.mobilenet_v1(**{**SMALL, **kwargs}), seed)


def weights(model):
    return [variable.numpy() for variable in model.weights]


def equal(one, other):
    return all(map(np.array_equal, weights(one), weights(other)))


@pytest.fixture(scope="module")
def model():
    return small()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    return folder


def refuses(model, source, match, **kwargs):
    before = weights(model)
    with pytest.raises(ValueError, match=match):
        load_weights(model, source, **kwargs)
    assert all(map(np.array_equal, before, weights(model)))


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_our_files_are_loaded_whole(model, folder, name):
    other = small(seed=1)
    load_weights(other, folder / name)
    assert equal(other, model)


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_our_files_must_fit_and_can_do_without_the_classifier(model, folder, name):
    other = small(seed=1, num_classes=7)
    refuses(other, folder / name, r"2 of another shape: Logits(.|\n)*pass strict=False")
    load_weights(other, folder / name, strict=False)
    assert all(map(np.array_equal, weights(other)[:-2], weights(model)[:-2]))
    refuses(small(depth_multiplier=0.5), folder / name, "nothing was loaded")
    refuses(slimnets.mobilenet_v2((32, 32, 3)), folder / name, "missing: layer_1.conv/0")


def test_a_keras_file_brings_its_epsilon_and_insists_on_its_padding(tmp_path):
    source = small(use_explicit_padding=True, arg_scope={"batch_norm": {"epsilon": 1e-5}})
    source.save(tmp_path / "source.keras")
    refuses(small(seed=1), tmp_path / "source.keras", "use_explicit_padding=True")
    other = small(seed=1, use_explicit_padding=True)
    load_weights(other, tmp_path / "source.keras")
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    assert_same_probabilities(other(image), source(image), 2e-6)
    relu = {"conv": {"activation": "relu"}, "depthwise": {"activation": "relu"}}
    plain = small(use_explicit_padding=True, arg_scope=relu)
    refuses(plain, tmp_path / "source.keras", "has the activation 'relu6'")


def test_weights_that_lie_in_another_file_are_refused(model, folder, tmp_path):
    for link in (
        h5py.ExternalLink(folder / "model.weights.h5", "layers/conv2d"),
        h5py.SoftLink("/x"),
    ):
        path = tmp_path / "linked.weights.h5"
        model.save_weights(path, overwrite=True)
        with h5py.File(path, "a") as file:
            del file["layers/conv2d"]
            file["layers/conv2d"] = link
        refuses(small(seed=1), path, "refused the link 'conv2d'")


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_damaged_files_are_refused(folder, tmp_path, name):
    other = small(seed=1)
    whole = (folder / name).read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2]):
        (tmp_path / name).write_bytes(content)
        refuses(other, tmp_path / name, "not a readable weight file")


def test_a_compressed_keras_file_is_refused(folder, tmp_path):
    with (
        zipfile.ZipFile(folder / "model.keras") as source,
        zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
    refuses(small(seed=1), tmp_path / "bomb.keras", "compressed")


def test_our_own_h5_is_read_too(model, tmp_path):
    model.save(tmp_path / "model.h5")
    other = small(seed=1)
    load_weights(other, tmp_path / "model.h5")
    assert equal(other, model)


def test_weights_from_our_file_with_other_classes(model, folder, caplog):
    other = slimnets.mobilenet_v1(**{**SMALL, "num_classes": 3}, weights=folder / "model.keras")
    assert all(map(np.array_equal, weights(other)[:-2], weights(model)[:-2]))
    assert "the source has 10 classes, the model 3 classes" in caplog.text


def test_weights_of_our_file_with_fixed_padding_build_the_network_so(tmp_path):
    source = small(use_explicit_padding=True)
    source.save(tmp_path / "source.keras")
    assert equal(slimnets.mobilenet_v1(**SMALL, weights=tmp_path / "source.keras"), source)
