"""One way to open a .keras file, and one sentence for each way in which it is none."""

import zipfile

import keras
import numpy as np
import pytest

from tflite import keras_models


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "net.keras"
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1)]).save(path)
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_saved_model_is_loaded_by_path_or_text(saved, kind):
    model = keras_models.load(kind(saved))
    assert model.output_shape == (None, 4, 4, 2)
    assert keras_models.load(model) is model


def damaged(path, content: bytes):
    path.write_bytes(content)
    return path


def test_a_file_that_was_cut_off_is_no_zip_archive(saved, tmp_path):
    path = damaged(tmp_path / "net.keras", saved.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"net\.keras is no Keras model.*cut off"):
        keras_models.load_file(path)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_an_archive_that_is_damaged_inside_is_named(saved, tmp_path, name):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as copy:
        for entry in source.namelist():
            content = source.read(entry)
            copy.writestr(entry, content[: len(content) // 2] if entry == name else content)
    with pytest.raises(ValueError, match=r"net\.keras is no Keras model that can be loaded safely"):
        keras_models.load_file(path)


def test_another_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.keras", "w") as archive:
        archive.writestr("cat.jpg", np.zeros(9).tobytes())
    with pytest.raises(ValueError, match=r"photos\.keras is no Keras model"):
        keras_models.load_file(tmp_path / "photos.keras")
