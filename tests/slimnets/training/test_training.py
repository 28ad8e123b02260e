"""Training: configs that are checked, runs that repeat, models that are kept."""

import importlib.util
import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from ml_collections import ConfigDict

from slimnets import data, sidecar
from slimnets.data import pipeline
from slimnets.evaluation import labels_beside
from slimnets.training import default_config
from slimnets.training.averaging import Average
from slimnets.training.callbacks import KeepRun, StopOnNaN
from slimnets.training.checkpoints import Standing
from slimnets.training.config import check_config
from slimnets.training.default_recipe import resolve
from slimnets.training.loop import train
from slimnets.training.recipe import build_model, build_optimizer, build_preprocessing
from tests.helpers.tiny_training import make_tiny, tiny_model
from tflite.images import Preprocessing

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = Preprocessing(size=(16, 16), crop_fraction=1.0)


def tiny_config(**changes):
    config = default_config()
    config.epochs = 2
    config.batch_size = 128
    config.model.name = "mobilenet_v1_025"
    config.model.input_size = (32, 32)
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.8}}
    config.data.shift = 1
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, r"config\.epoch;.*Did you mean epochs"),
        ({"learning_rate": {"peek": 3}}, r"config\.learning_rate\.peek.*learning_rate\.peak"),
        ({"epochs": 0}, r"config\.epochs must be a whole number, 1 or more, got 0"),
        ({"learning_rate": {"peak": "fast"}}, "number above 0, got 'fast'"),
        ({"optimizer": {"name": "adagrad"}}, "sgd, rmsprop, adam"),
        ({"precision": "half"}, "mixed_bfloat16"),
        ({"ema": 1.0}, r"config\.ema must be in \[0, 1\), got 1\.0"),
        ({"clip_norm": -1}, r"config\.clip_norm must be 0 or more"),
        ({"checkpoint": {"step": 3}}, r"Did you mean checkpoint\.steps"),
        ({"model": {"input_size": 32}}, r"\(height, width\)"),
        ({"learning_rate": {"schedule": "steps"}}, r"step_epochs and schedule 'steps' go together"),
        ({"learning_rate": {"step_epochs": (3,)}}, r"go together, got \(3,\) and .*'cosine'"),
        (
            {"learning_rate": {"schedule": "steps", "step_epochs": (6, 3)}},
            r"each above the one before, got \(6, 3\)",
        ),
    ],
)
def test_a_wrong_config_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        check_config(ConfigDict(change))


def test_a_config_may_name_only_what_it_changes():
    config = check_config({"epochs": 3, "model": {"kwargs": {"depth_multiplier": 0.5}}})
    assert config.epochs == 3
    assert config.model.kwargs.depth_multiplier == 0.5
    assert config.optimizer.name == "adam"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model.name": "mobilnet_v1_025"}, ValueError, "Did you mean 'mobilenet_v1_025'"),
        ({"model.kwargs": {"deph_multiplier": 1}}, TypeError, "deph_multiplier"),
    ],
)
def test_an_unknown_network_or_argument_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        build_model(check_config(tiny_config(**change)), 10)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_its_network_builds(path):
    config = resolve(check_config(runpy.run_path(str(path))["get_config"]()), images=100_000)
    model = build_model(config, num_classes=7, load=False)
    assert sidecar.class_count(model) == 7
    assert model.input_shape == (None, *config.model.input_size, config.model.channels)
    build_optimizer(config, steps_per_epoch=10)


@pytest.mark.parametrize(
    ("rate", "step", "expected"),
    [
        ({"schedule": "constant"}, 70, 0.5),
        ({"schedule": "linear"}, 50, 0.25),
        ({"schedule": "cosine"}, 50, 0.25),
        ({"schedule": "cosine", "warmup_epochs": 2.0}, 10, 0.25),
        ({"schedule": "cosine", "warmup_epochs": 2.0}, 60, 0.25),
        ({"schedule": "exponential", "decay_rate": 0.5, "decay_epochs": 2.0}, 59, 0.125),
        ({"schedule": "constant", "warmup_epochs": 2.0}, 5, 0.125),
        ({"schedule": "constant", "warmup_epochs": 2.0}, 70, 0.5),
        ({"schedule": "linear", "warmup_epochs": 2.0}, 60, 0.25),
    ],
)
def test_schedules_are_where_they_should_be(rate, step, expected):
    config = check_config({"epochs": 10, "learning_rate": {"peak": 0.5, **rate}})
    optimizer = build_optimizer(config, steps_per_epoch=10)
    optimizer.iterations.assign(step)
    np.testing.assert_allclose(float(optimizer.learning_rate), expected, rtol=1e-5)


def test_wrong_optimizer_arguments_are_named():
    config = check_config({"optimizer": {"name": "sgd", "kwargs": {"beta_1": 0.5}}})
    with pytest.raises(ValueError, match="kwargs do not fit sgd"):
        build_optimizer(config, 1)


def test_batches_repeat_with_the_seed_and_differ_between_epochs():
    split = data.load("builtin:digits").splits["val"]

    def epochs(seed):
        batches = pipeline.training_dataset(
            split, SMALL, num_classes=10, batch_size=200, seed=seed, flip=True, shift=2
        )
        return [next(iter(batches))[0].numpy() for _ in range(1)] + [
            images.numpy() for images, _ in batches
        ]

    first, second = epochs(0)
    again, _ = epochs(0)
    other, _ = epochs(1)
    assert (first == again).all()
    assert (first != second).any()
    assert (first != other).any()


def test_shifted_images_are_the_images_moved_over_black():
    split = data.load("builtin:digits").splits["val"].select(np.arange(8))
    plain = {image.tobytes(): image for image, _ in split.batches(SMALL, 1)}
    batches = pipeline.training_dataset(split, SMALL, num_classes=10, batch_size=8, seed=0, shift=2)
    images, _ = next(iter(batches))
    moved = np.rint((images.numpy() + 1) * 127.5).astype(np.uint8)
    windows = {
        np.pad(image[0], ((2, 2), (2, 2), (0, 0)))[y : y + 16, x : x + 16].tobytes()
        for image in plain.values()
        for y in range(5)
        for x in range(5)
    }
    assert all(image.tobytes() in windows for image in moved)


def test_images_that_do_not_fit_in_memory_are_read_one_by_one(monkeypatch):
    from slimnets.data import splits

    split = data.load("builtin:digits").splits["val"]
    whole = next(iter(pipeline.evaluation_dataset(split, SMALL, num_classes=10, batch_size=9)))
    monkeypatch.setattr(splits, "_MEMORY_LIMIT_BYTES", 0)
    piecewise = next(iter(pipeline.evaluation_dataset(split, SMALL, num_classes=10, batch_size=9)))
    assert (whole[0].numpy() == piecewise[0].numpy()).all()
    assert (whole[1].numpy() == piecewise[1].numpy()).all()


def test_a_workdir_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write to --workdir"):
        train(tiny_config(**{"data.source": "folder:nowhere"}), tmp_path / "file" / "run")


def test_a_loss_that_is_not_a_number_names_the_step():
    watch = StopOnNaN(SimpleNamespace(standing=Standing(epoch=2, step=7)), Path("run"))
    watch.on_train_batch_end(6, {"loss": 1.0})
    with pytest.raises(ValueError, match=r"nan in epoch 3, step 8.*none yet"):
        watch.on_train_batch_end(7, {"loss": float("nan")})


def test_averages_follow_at_first_and_are_steady_later():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    model.set_weights([np.zeros((1, 1))])
    average, expected = Average(model, decay=0.5), 0.0
    for n, weight in ((1, 4.0), (40, 8.0)):
        model.optimizer.iterations.assign(n)
        model.set_weights([np.full((1, 1), weight)])
        average.on_train_batch_end(0)
        expected += (1 - min(0.5, (1 + n) / (10 + n))) * (weight - expected)
    with average.in_place():
        np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-6)
    assert model.get_weights()[0] == 8


def test_clipping_bounds_the_norm_of_all_gradients():
    plain = {"optimizer": {"name": "sgd"}, "learning_rate": {"schedule": "constant", "peak": 1.0}}
    optimizer = build_optimizer(check_config({"clip_norm": 2.0, **plain}), 1)
    variables = [keras.Variable(np.zeros(2)), keras.Variable(0.0)]
    optimizer.apply([np.float32([30, 0]), np.float32(40)], variables)
    np.testing.assert_allclose(-np.asarray(variables[0]), [1.2, 0], rtol=1e-5)
    np.testing.assert_allclose(-np.asarray(variables[1]), 1.6, rtol=1e-5)


def test_classes_that_were_renamed_after_a_run_are_not_answered_with_the_old_names(tmp_path):
    names = list("0123456789")
    config = check_config(tiny_config())
    for name, content in (
        ("best.keras", b""),
        ("config.json", config.to_json().encode()),
        ("result.json", json.dumps({"classes": ["zero", *names[1:]]}).encode()),
    ):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"finished run of other classes .*\(0, zero\): give"):
        train(config, tmp_path)


def test_opacity_needs_a_network_that_takes_it():
    config = check_config(tiny_config(**{"model.name": "squeezenet1_1", "model.channels": 4}))
    config.unlock().model.kwargs = {}
    config.model.input_size = (64, 64)
    with pytest.raises(ValueError, match=r"channels=4 does not go with squeezenet1_1"):
        build_preprocessing(build_model(config, 10), config)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_have_the_channels_of_the_network(channels):
    config = check_config(tiny_config(**{"model.channels": channels}))
    model = build_model(config, 10)
    assert model.input_shape == (None, 32, 32, channels)
    preprocess = build_preprocessing(model, config)
    split = data.load("builtin:digits").splits["val"]
    batches = pipeline.training_dataset(split, preprocess, num_classes=10, batch_size=2, seed=0)
    assert next(iter(batches))[0].shape == (2, 32, 32, channels)


@pytest.mark.slow
def test_a_grey_network_goes_from_training_to_the_device(tiny, tmp_path):
    import tflite
    from slimnets.evaluation import open_classifier, open_keras

    train(tiny_config(epochs=1, batch_size=400, **{"model.channels": 1}), tmp_path)
    file = open_keras(tmp_path / "best.keras")
    assert (file.model.input_shape[-1], file.preprocessing.channels) == (1, 1)
    images = data.calibration_images("builtin:digits", file.preprocessing, 2)
    assert images.shape == (2, 32, 32, 1)
    path = tmp_path / "digits.tflite"
    tflite.convert(
        file.model, path, precision="float32", preprocessing=file.preprocessing, labels=file.labels
    )
    photo = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    ours = open_classifier(tmp_path / "best.keras").probabilities([photo])
    np.testing.assert_allclose(tflite.Predictor(path).predict([photo]), ours, atol=1e-4)


@pytest.fixture
def tiny(monkeypatch):
    make_tiny(monkeypatch.setattr)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two trainings by the same config."""
    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch.setattr)
        return folders, [train(tiny_config(), folder) for folder in folders]


@pytest.mark.slow
def test_the_same_seed_trains_the_same_model(runs):
    folders, results = runs
    assert results[0]["history"] == results[1]["history"]
    models = [keras.models.load_model(folder / "best.keras") for folder in folders]
    for first, second in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("epoch", "best", "step", "finished"),
    [(4, 3, 0, False), (5, 3, 0, True), (5, 3, 1, False), (9, 9, 0, True)],
)
def test_early_stopping_counts_epochs_without_a_better_one(epoch, best, step, finished):
    run = SimpleNamespace(
        standing=Standing(epoch=epoch, best_epoch=best, step=step),
        config=check_config({"epochs": 9, "early_stopping": 2}),
    )
    assert KeepRun.finished(run) == finished


def test_tensorboard_is_asked_for_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
        train(tiny_config(tensorboard=True), tmp_path)


@pytest.mark.slow
def test_a_training_leaves_the_best_model_and_its_records(runs):
    (folder, _), (result, _) = runs
    assert sorted(p.name for p in folder.iterdir()) == [
        "best.json",
        "best.keras",
        "config.json",
        "curves.png",
        "history.csv",
        "labels.txt",
        "last.json",
        "last.keras",
        "result.json",
        "run.html",
    ]
    assert (folder / "labels.txt").read_text().split() == list("0123456789")
    assert json.loads((folder / "config.json").read_text())["epochs"] == 2
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "run.html").read_text("utf-8")
    for said in ("validation accuracy", "validation images wrong", "1,197 train", "batch_size"):
        assert said in page
    assert page.count("<svg") == 2
    assert 0 < page.count("<figure") <= 24
    header, *rows = (folder / "history.csv").read_text().splitlines()
    assert header == "epoch,accuracy,loss,val_accuracy,val_loss"
    assert [row.split(",")[0] for row in rows] == ["1", "2"]
    best = max(result["history"]["val_accuracy"])
    assert result["val_accuracy"] == best
    # The saved model is that epoch's: Keras measures the same accuracy on its own.
    model = keras.models.load_model(folder / "best.keras")
    assert not model.compiled
    split = data.load("builtin:digits").splits["val"]
    images = pipeline.evaluation_dataset(
        split, Preprocessing(size=(32, 32), crop_fraction=1.0), num_classes=10, batch_size=200
    )
    model.compile(metrics=["accuracy"], loss="categorical_crossentropy")
    assert model.evaluate(images, verbose=0)[1] == pytest.approx(best)


@pytest.mark.slow
def test_a_training_says_what_its_model_is(runs):
    folder = runs[0][0]
    model = keras.models.load_model(folder / "best.keras")
    described = sidecar.read(folder / "best.keras", model)
    assert described == sidecar.Sidecar(
        network="mobilenet_v1_025",
        options={
            "input_shape": (32, 32, 3),
            "num_classes": 10,
            "arg_scope": {"batch_norm": {"momentum": 0.8}},
        },
        preprocessing=Preprocessing(size=(32, 32), crop_fraction=1.0),
        labels=tuple("0123456789"),
        weights="trained on builtin:digits",
    )
    again = tiny_model(described.network, **described.options)
    again.set_weights(model.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.predict_on_batch(image), model.predict_on_batch(image))


def test_another_programs_best_json_is_not_overwritten(tmp_path):
    (tmp_path / "best.json").write_text('{"score": 3}')
    with pytest.raises(FileExistsError, match=r"best\.json is no description of a slimnets model"):
        train(tiny_config(), tmp_path)
    assert (tmp_path / "best.json").read_text() == '{"score": 3}'


@pytest.mark.slow
def test_a_mixed_precision_training_saves_a_float32_model(tiny, tmp_path):
    config = tiny_config(precision="mixed_bfloat16", epochs=1)
    result = train(config, tmp_path)
    model = keras.models.load_model(tmp_path / "best.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert np.isfinite(result["val_loss"])


@pytest.mark.slow
def test_a_diverging_training_stops(tiny, tmp_path):
    config = tiny_config(**{"optimizer.name": "sgd", "learning_rate.peak": 1e30})
    with pytest.raises(ValueError, match="last good checkpoint"):
        train(config, tmp_path)


@pytest.mark.slow
def test_a_run_that_fails_leaves_an_earlier_runs_files_as_they_were(tiny, runs, tmp_path):
    shutil.copytree(runs[0][0], tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match="none yet"):
        train(tiny_config(**{"learning_rate.peak": 1e38}), tmp_path / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.slow
def test_a_second_run_keeps_the_first_ones_model_beside_its_own(tiny, runs, tmp_path):
    shutil.copytree(runs[0][0], tmp_path / "run")
    before = (tmp_path / "run" / "best.keras").read_bytes()
    train(tiny_config(epochs=1), tmp_path / "run")
    assert (tmp_path / "run" / "earlier-1.keras").read_bytes() == before
    assert labels_beside(tmp_path / "run" / "earlier-1.keras") == tuple("0123456789")
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 2
