"""ONNX files: run by ONNX Runtime, which knows nothing of how they were made."""

import dataclasses
import sys

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

import slimnets
from slimnets import cli, data, evaluation
from slimnets.export.saved_model import export_saved_model
from slimnets.export.to_onnx import export_onnx
from slimnets.onnx_files import count_macs
from tests.helpers.lively import lively

pytestmark = pytest.mark.slow

# (name, options): what exporters stumble over. `benchmarks/exports.py` does the whole zoo.
NETWORKS = [
    ("mobilenet_v1_025", {}),
    ("mobilenet_v3_small", {"depth_multiplier": 0.5}),
    ("shufflenet_v1", {"scale": 0.25}),
]


def build(name, **options):
    net = slimnets.create_model(name, input_shape=(64, 64, 3), num_classes=10, **options)
    return lively(net)


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=[name for name, _ in NETWORKS])
def test_onnx_runtime_gives_the_same_logits_at_any_batch(name, options, tmp_path):
    net = build(name, prediction_fn=None, **options)
    made = export_onnx(net, tmp_path / "net.onnx", opset=13)
    assert "BatchNormalization" not in made.operators
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (entry,), (end,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.shape) == ("image", ["batch", 64, 64, 3])
    assert (end.name, end.shape) == ("logits", ["batch", 10])
    for batch in (1, 5):
        images = np.random.default_rng(9).uniform(-1, 1, (batch, 64, 64, 3)).astype(np.float32)
        expected = net.predict(images, verbose=0)
        (found,) = session.run(None, {"image": images})
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert count_macs(tmp_path / "net.onnx") == pytest.approx(slimnets.complexity(net).macs, 0.01)


def test_batch_norms_stay_if_that_is_asked_for(tmp_path):
    net = build("mobilenet_v1_025", prediction_fn=None)
    made = export_onnx(net, tmp_path / "net.onnx", keep_batchnorm=True, batch_size=2)
    layers = [layer for layer in net.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert made.operators["BatchNormalization"] == len(layers) == 27
    graph = onnx.load(tmp_path / "net.onnx").graph
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    # What folding needs and folded files lack: the statistics themselves.
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    first = next(node for node in graph.node if node.op_type == "BatchNormalization")
    mean = values[first.input[3]]
    np.testing.assert_allclose(mean, layers[0].moving_mean.numpy(), rtol=1e-6)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A network for the digits, its best.json and what was exported of it."""
    folder = tmp_path_factory.mktemp("digits")
    net = lively(slimnets.mobilenet_v1_025((32, 32, 3), num_classes=10))
    net.save(folder / "best.keras")
    prepare = dataclasses.replace(slimnets.preprocessing(net), crop_fraction=0.75)
    labels = tuple("ABCDEFGHIJ")
    export_onnx(net, folder / "best.onnx", preprocessing=prepare, labels=labels)
    return folder, net, prepare, labels


def test_an_exported_file_is_asked_as_its_model_is(digits):
    folder, net, prepare, labels = digits
    images = list(data.load("builtin:digits").splits["test"].images[:7])
    found = evaluation.open_classifier(folder / "best.onnx")
    assert found.labels == labels
    expected = net.predict(prepare(images), verbose=0)
    np.testing.assert_allclose(found.probabilities(images), expected, atol=1e-5)


def test_the_command_exports_what_evaluate_and_benchmark_take(digits, tmp_path, capfd):
    folder, *_ = digits
    words = ["export", f"{folder}/best.keras", "--format=onnx", f"--out={tmp_path}/net.onnx"]
    assert cli.main([*words, "--batch_size=3", "--json"]) == 0
    assert '"format": "onnx"' in capfd.readouterr().out
    assert cli.main(["evaluate", f"{tmp_path}/net.onnx", "--data=builtin:digits"]) == 0
    assert "400 images" in capfd.readouterr().out
    words = ["benchmark", f"{tmp_path}/net.onnx", "--runs=3", "--threads=1"]
    assert cli.main(words) == 0
    assert "net.onnx" in capfd.readouterr().out


def test_a_saved_model_gives_the_same(digits, tmp_path):
    import tensorflow as tf

    folder, net, *_ = digits
    words = ["export", f"{folder}/best.keras", "--format=savedmodel", f"--out={tmp_path}/saved"]
    assert cli.main(words) == 0
    images = np.random.default_rng(1).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)
    loaded = tf.saved_model.load(f"{tmp_path}/saved")
    found = loaded.serve(images)
    np.testing.assert_allclose(found, net.predict(images, verbose=0), atol=1e-5)
    assert cli.main(words) == 1  # there is one already


def test_wrong_arguments_are_told_before_any_work(tmp_path, monkeypatch):
    net = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="opset must be from 13 to 18, got 12"):
        export_onnx(net, tmp_path / "net.onnx", opset=12)
    with pytest.raises(ValueError, match=r"ends in \.onnx"):
        export_onnx(net, tmp_path / "net.pb")
    with pytest.raises(ValueError, match="batch_size must be a positive whole number"):
        export_onnx(net, tmp_path / "net.onnx", batch_size=0)
    with pytest.raises(ValueError, match="of a known size"):
        export_onnx(keras.Sequential([keras.Input((None, 8, 3))]), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r"slimnets\[onnx\]"):
        export_onnx(net, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


# --- Files from elsewhere ------------------------------------------------------------------------


def from_elsewhere(path, batch, end, weights):
    """As PyTorch writes a classifier: channels first, nothing said about images."""
    node, tensor = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("GlobalAveragePool", ["input"], ["pooled"]),
        node("Flatten", ["pooled"], ["flat"]),
        node("Gemm", ["flat", "w"], ["scores"]),
        *([node("Softmax", ["scores"], ["output"])] if end == "output" else []),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "main",
        [tensor("input", onnx.TensorProto.FLOAT, [batch, 3, 32, 32])],
        [tensor(end, onnx.TensorProto.FLOAT, [batch, 4])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)


@pytest.mark.parametrize("batch", [1, 4, "batch"])
@pytest.mark.parametrize("end", ["scores", "output"])
def test_a_file_with_channels_first_gives_probabilities_however_it_ends(batch, end, tmp_path):
    random = np.random.default_rng(0)
    weights = random.normal(size=(3, 4)).astype(np.float32)
    from_elsewhere(tmp_path / "net.onnx", batch, end, weights)
    photos = [random.integers(0, 256, (32, 32, 3), np.uint8) // (1 + n) for n in range(3)]
    scores = (np.stack(photos) / 127.5 - 1).mean((1, 2)) @ weights
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    with pytest.raises(ValueError, match=r"does not say how to prepare images.*--like"):
        evaluation.open_classifier(tmp_path / "net.onnx")
    found = evaluation.open_classifier(tmp_path / "net.onnx", like="mobilenet_v2_cifar10")
    np.testing.assert_allclose(found.probabilities(photos), expected, atol=1e-5)


def test_a_saved_model_changes_no_images_as_training_does(tmp_path):
    import tensorflow as tf

    layers = keras.layers
    net = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip(), layers.Flatten()])
    export_saved_model(net, tmp_path / "net")
    image = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)
    served = tf.saved_model.load(tmp_path / "net").signatures["serving_default"](image=image)
    np.testing.assert_array_equal(served["output_0"], image.reshape(4, -1))
