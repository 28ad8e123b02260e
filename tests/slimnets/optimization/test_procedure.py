"""Pruning and clustering on the bridge, and the whole way from a file to a smaller one."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import slimnets
from slimnets import sidecar
from slimnets.cli import main
from slimnets.optimization import cluster, from_tf_keras, optimize, prune, pruning_step
from tflite.files import flatbuffer


def tiny() -> keras.Model:
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="first")(images)
    x = layers.ReLU(6)(layers.BatchNormalization(name="bn")(x))
    x = layers.Conv2D(16, 1, use_bias=False, name="second")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="bn_2")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, layers.Dense(10, activation="softmax", name="head")(x), name="tiny")


def trained(twin, callbacks=()):
    images = np.random.default_rng(0).normal(0, 1, (16, 8, 8, 3)).astype(np.float32)
    twin.compile("adam", "sparse_categorical_crossentropy")
    twin.fit(images, np.arange(16) % 10, batch_size=4, verbose=0, callbacks=list(callbacks))
    return from_tf_keras(twin)


def kernel(model, name: str) -> np.ndarray:
    return model.get_layer(name).get_weights()[0]


@pytest.mark.slow
def test_the_smallest_weights_become_zero():
    model = trained(prune(tiny(), 0.75, steps=4), [pruning_step()])
    assert (kernel(model, "second") == 0).mean() == 0.75
    assert (kernel(model, "head") == 0).mean() == 0.75
    assert (kernel(model, "first") == 0).sum() == 0


@pytest.mark.slow
def test_two_of_each_four_inputs_become_zero():
    model = trained(prune(tiny(), "2:4", steps=4), [pruning_step()])
    for name in ("second", "head"):
        fours = np.moveaxis(kernel(model, name), -2, -1).reshape(-1, 4)
        assert ((fours == 0).sum(axis=1) >= 2).all()


@pytest.mark.slow
def test_clusters_have_few_values_and_keep_zeros():
    model = tiny()
    weights = kernel(model, "second")
    weights[..., ::2] = 0
    model.get_layer("second").kernel.assign(weights)
    clustered = trained(cluster(model, 4, preserve_sparsity=True))
    assert len(np.unique(kernel(clustered, "second"))) <= 4
    assert (kernel(clustered, "second")[..., ::2] == 0).all()
    assert len(np.unique(kernel(trained(cluster(model, 4)), "head"))) <= 4


def test_what_cannot_be_done_is_told():
    with pytest.raises(ValueError, match=r"between 0 and 1, or be '2:4'; got 1\.5"):
        prune(tiny(), 1.5)
    with pytest.raises(ValueError, match="Did you mean 'constant'"):
        prune(tiny(), 0.5, "constnt")
    with pytest.raises(ValueError, match="from 2 to 256, got 1"):
        cluster(tiny(), 1)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A .keras file and its description."""
    path = tmp_path_factory.mktemp("optimize") / "start.keras"
    tiny().save(path)
    prepare = slimnets.Preprocessing((8, 8), mean=(0,) * 3, std=(1,) * 3, value_range=(-1, 1))
    about = sidecar.Sidecar("mobilenet_v1_025", {}, prepare, tuple("0123456789"), "random")
    sidecar.path_beside(path).write_bytes(about.to_json())
    return path


def test_what_cannot_be_done_is_told_before_any_work(tmp_path):
    tiny().save(tmp_path / "start.keras")
    options = {"method": "prune", "source": "builtin:digits"}
    with pytest.raises(ValueError, match=r"start\.keras is the file to start from; write to anot"):
        optimize(tmp_path / "start.keras", tmp_path / "start.keras", **options)
    with pytest.raises(ValueError, match="sparsity must lie between 0 and 1"):
        optimize(tmp_path / "none.keras", tmp_path / "out.keras", sparsity=80.0, **options)


@pytest.mark.slow
def test_a_file_is_pruned_clustered_and_quantized_on_the_command_line(start, tmp_path, capsys):
    out = tmp_path / "small.keras"
    words = [str(start), "--method=prune-cluster-qat", "--data=builtin:digits", f"--out={out}"]
    assert main(["optimize", *words, "--epochs=1", "--sparsity=0.5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["zeros"] >= 0.5
    assert result["precision"] == "int8"
    before, after = result["rows"]
    assert (before["name"], after["name"]) == ("before", "after")
    assert after["gzip_bytes"] < before["gzip_bytes"]
    for ending in (".keras", ".json", ".tflite", ".report.json", ".png"):
        assert out.with_suffix(ending).stat().st_size > 0


@pytest.mark.slow
def test_values_shared_in_training_are_shared_in_the_file_which_leaves_out_zeros(start, tmp_path):
    """Though batch norms, folded into the weights, have a factor for each channel."""
    out = tmp_path / "few.keras"
    options = {"source": "builtin:digits", "epochs": 1, "sparsity": 0.8, "clusters": 4}
    optimize(start, out, method="prune-cluster", **options)
    flat = flatbuffer.unpack(out.with_suffix(".tflite").read_bytes())
    sparse = [t for t in flat.subgraphs[0].tensors if t.sparsity is not None]
    (second,) = [t for t in sparse if list(t.shape) == [16, 1, 1, 8]]
    values = np.asarray(flat.buffers[second.buffer].data).view(np.float32)
    assert len(values) <= 0.25 * 16 * 8
    assert len(np.unique(values)) < 4


def test_a_wrong_command_line_says_what_to_write(capsys):
    assert main(["optimize", "x.keras", "--data=builtin:digits", "--out=y.keras"]) == 2
    assert "--method is missing, for example --method=qat" in capsys.readouterr().err


@pytest.mark.slow
def test_what_becomes_of_a_model_from_elsewhere_says_how_it_takes_images(tmp_path):
    body = tiny()
    own = [layers.RandomFlip(), layers.Rescaling(1 / 127.5, -1), body]
    keras.Sequential([keras.Input((8, 8, 3)), *own], name="mine").save(tmp_path / "mine.keras")
    out = tmp_path / "small.keras"
    result = optimize(
        tmp_path / "mine.keras", out, method="prune", source="builtin:digits", epochs=1
    )
    told = sidecar.read(out, keras.models.load_model(out))
    assert told.preprocessing.range == (0, 255)
    assert told.labels == tuple("0123456789")
    assert result["agreement"] > 0.99
    assert result["zeros"] == pytest.approx(0.5, abs=0.01)
