"""Keras's older HDF5 layout, as Keras 2 and keras.applications write it."""

import h5py
import numpy as np
import pytest

from slimnets.weights import keras_h5


def write(path, **changes):
    """Two layers and a model inside, with names cut into two attributes as Keras cuts long ones."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names0"] = [b"input", b"conv"]
        file.attrs["layer_names1"] = [b"inner"]
        file.create_group("input").attrs["weight_names"] = np.array([], "S1")
        conv = file.create_group("conv")
        conv.attrs["weight_names"] = [b"conv_1/kernel:0", b"conv_1/bias:0"]
        conv["conv_1/kernel:0"], conv["conv_1/bias:0"] = np.zeros((3, 3, 1, 2)), np.zeros(2)
        inner = file.create_group("inner")
        inner.attrs["weight_names"] = [b"dw/depthwise_kernel:0", b"bn/gamma:0"]
        inner["dw/depthwise_kernel:0"], inner["bn/gamma:0"] = np.ones((3, 3, 2, 1)), np.ones(2)
        for name, value in changes.items():
            del file[name]
            file[name] = value
    return path


def names(path):
    with h5py.File(path) as file:
        assert keras_h5.is_older_layout(file)
        return [name for name, _ in keras_h5.variables(file)]


def test_layers_come_in_their_order_under_their_own_names(tmp_path):
    # Keras 2 numbered scopes anew in every session: the group has the layer's name.
    found = names(write(tmp_path / "a.h5"))
    assert found == ["conv/kernel", "conv/bias", "dw/depthwise_kernel", "bn/gamma"]


def test_a_whole_model_keeps_its_weights_in_a_group(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = ["fc"]
        root.create_group("fc").attrs["weight_names"] = ["fc/kernel"]
        root["fc/fc/kernel"] = np.zeros((2, 2))
    assert names(tmp_path / "a.h5") == ["fc/kernel"]


def test_data_of_other_files_is_refused(tmp_path):
    elsewhere = write(tmp_path / "elsewhere.h5")
    link = write(tmp_path / "link.h5", conv=h5py.ExternalLink(str(elsewhere), "conv"))
    with pytest.raises(ValueError, match="refused 'conv'"):
        names(link)
    layout = h5py.VirtualLayout((2,), "f8")
    layout[:] = h5py.VirtualSource(str(elsewhere), "inner/bn/gamma:0", (2,))
    with h5py.File(write(tmp_path / "virtual.h5"), "a") as file:
        del file["inner/bn/gamma:0"]
        file.create_virtual_dataset("inner/bn/gamma:0", layout)
    with pytest.raises(ValueError, match="whose data lie in another file"):
        names(tmp_path / "virtual.h5")
