"""The file for `torch.load`: what it is given, for PyTorch itself is not part of the suite."""

import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import slimnets
from slimnets import cli
from slimnets.export.torch_file import export_torch_file


@pytest.fixture(scope="module")
def model():
    return slimnets.mobilenet_v2(
        (32, 32, 3), depth_multiplier=0.25, num_classes=4, use_explicit_padding=True
    )


def stand_in(fails=False):
    """What is used of PyTorch: arrays as they are, pickled."""

    def save(tensors, file):
        pickle.dump(tensors, file)
        if fails:
            raise OSError("no space left on device")

    return SimpleNamespace(from_numpy=lambda values: values, save=save)


def test_torch_save_is_given_the_state_dict(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", stand_in())
    export_torch_file(model, tmp_path / "v2.pth")
    written = pickle.loads((tmp_path / "v2.pth").read_bytes())
    assert written["features.0.0.weight"].shape == (8, 3, 3, 3)  # out, in, height, width
    assert written["classifier.1.weight"].shape == (4, 1280)
    expected = slimnets.export_torch(model)
    assert list(written) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(written[name], values)


def test_a_file_that_was_there_survives_a_failure(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", stand_in(fails=True))
    (tmp_path / "v2.pth").write_bytes(b"before")
    with pytest.raises(OSError, match="no space left"):
        export_torch_file(model, tmp_path / "v2.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["v2.pth"]
    assert (tmp_path / "v2.pth").read_bytes() == b"before"


def test_without_pytorch_another_format_is_named(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    model.save(tmp_path / "v2.keras")
    out = str(tmp_path / "v2.pth")
    assert cli.main(["export", str(tmp_path / "v2.keras"), "--format=torch", f"--out={out}"]) != 0
    assert "--format=safetensors holds the same weights" in capsys.readouterr().err
