"""What reads and runs files works where TensorFlow and Keras are not installed.

On a Raspberry Pi with a Coral stick there is LiteRT and NumPy. The program below hides everything
else and uses the public names on two files: one of a few operators, and one that `convert` made.
"""

import json
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

import tflite
from tests.helpers.flatgraph import FlatGraph

LABELS = ("ant", "bee", "cat", "dog")

_ON_A_DEVICE = """
    import importlib.abc, json, sys

    HIDDEN = {"tensorflow", "keras", "tf_keras", "tensorflow_model_optimization", "jax", "torch"}
    HIDDEN |= {"mediapipe", "matplotlib", "sklearn", "slimnets", "h5py", "onnxruntime"}

    class Hide(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in HIDDEN:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Hide())
    try:
        import keras
    except ModuleNotFoundError:
        pass
    else:
        raise SystemExit("keras is not hidden")

    import numpy as np
    import tflite

    path, picture, folder = sys.argv[1:]
    said = {}

    def message(kind, call):
        try:
            call()
        except kind as error:
            return str(error)
        raise SystemExit(f"no {kind.__name__}")

    metadata = tflite.read_metadata(path)
    said["labels"] = metadata.labels
    predictor = tflite.Predictor(path, num_threads=1)
    size = tuple(tflite.inspect(path).tensors[0].shape[1:])
    if metadata.image is None:
        inputs = np.full((2, *size), 0.5, np.float32)
        said["probabilities"] = predictor.predict(inputs, preprocessed=True).tolist()
        said["refusal"] = message(ValueError, lambda: predictor.predict(picture))
    else:
        said["probabilities"] = predictor.predict(picture).tolist()
    report = tflite.inspect(path)
    said["operators"], said["macs"], said["shown"] = report.histogram, report.macs, str(report)
    verdict = tflite.check_edgetpu(path)
    said["mapped"], said["verdict"] = verdict.mapped_share, str(verdict)
    said["costs"] = [row.name for row in tflite.measure_costs(path).operations]
    said["timeout"] = message(ValueError, lambda: tflite.compile_edgetpu(path, timeout=0))
    said["runtime"] = message(ValueError, lambda: tflite.compile_edgetpu(path, min_runtime=9))
    said["missing"] = message(FileNotFoundError, lambda: tflite.compile_edgetpu("missing.tflite"))
    said["compiler"] = message(RuntimeError, lambda: tflite.compile_edgetpu(path, folder))
    assert sorted(tflite.TARGETS) == ["android", "coral", "cpu", "micro"]
    said["keras"] = message(ModuleNotFoundError, lambda: tflite.convert(path))
    assert not HIDDEN & set(sys.modules)
    print(json.dumps(said))
"""


def on_a_device(path: Path, folder: Path) -> dict:
    """What the program said of the file, after what both kinds of file have in common."""
    Image.fromarray(np.full((40, 50, 3), 128, np.uint8)).save(folder / "grey.png")
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_ON_A_DEVICE), path, folder / "grey.png", folder],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PATH": str(folder),  # no edgetpu_compiler on it
            "PYTHONPATH": str(Path(tflite.__file__).parents[1]),
        },
    )
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert "timeout must be a positive" in said["timeout"]
    assert "from 10 to 14, got 9" in said["runtime"]
    assert "missing.tflite" in said["missing"]
    assert "apt-get install edgetpu-compiler" in said["compiler"]
    assert f"{said['mapped']:.1%}" in said["verdict"]
    assert "keras" in said["keras"]
    return said


@pytest.mark.slow
def test_a_file_of_a_few_operators(tmp_path):
    graph = FlatGraph()
    x = graph.input((1, 2, 2, 1), "int8", scale=1 / 64)
    shape = graph.constant([1, 4], "int32")
    x = graph.op("RESHAPE", [x, shape], graph.activation((1, 4), scale=1 / 64))
    kernel = graph.constant(64 * np.eye(4), scale=1 / 64)  # the identity
    head = graph.activation((1, 4), scale=1 / 64)
    x = graph.op("FULLY_CONNECTED", [x, kernel, -1], head, schema.FullyConnectedOptionsT(), 4)
    graph.op(
        "SOFTMAX",
        [x],
        graph.activation((1, 4), scale=1 / 256, zero_point=-128),
        schema.SoftmaxOptionsT(beta=1.0),
        2,
    )
    (tmp_path / "net.tflite").write_bytes(graph.bytes())
    said = on_a_device(tmp_path / "net.tflite", tmp_path)
    assert said["operators"] == {"RESHAPE": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}
    assert said["macs"] == 16
    assert said["mapped"] == 1
    np.testing.assert_allclose(said["probabilities"], np.full((2, 4), 0.25), rtol=0, atol=1 / 256)
    assert "does not say how to prepare images" in said["refusal"]
    assert said["labels"] == []
    assert said["costs"] == ["RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]


@pytest.mark.slow
def test_a_converted_network_predicts_as_keras_does(tmp_path):
    import keras

    from tests.helpers.lively import lively

    x = inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = lively(keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(x)))
    how = types.SimpleNamespace(mean=0.0, std=1.0, value_range=(-1, 1), size=(16, 16))
    images = np.random.default_rng(0).uniform(-1, 1, (20, 16, 16, 3)).astype(np.float32)
    path = tmp_path / "net.tflite"
    tflite.convert(
        model,
        path,
        target="coral",
        calibration=images,
        preprocessing=how,
        labels=LABELS,
        effort="fast",
    )
    said = on_a_device(path, tmp_path)
    grey = np.full((1, 16, 16, 3), 128 / 127.5 - 1, np.float32)
    np.testing.assert_allclose(
        said["probabilities"], model.predict(grey, verbose=0), rtol=0, atol=0.02
    )
    assert said["labels"] == list(LABELS)
    assert said["mapped"] == 1
    assert said["macs"] == 8 * 8 * 27 * 8 + 8 * 4
