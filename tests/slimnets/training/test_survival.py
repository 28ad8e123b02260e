"""A training that is killed, at whatever moment, goes on as if nothing had been."""

import itertools
import json
import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from slimnets.training import checkpoints, default_config, results
from slimnets.training.checkpoints import Standing
from slimnets.training.results import Results
from tests.helpers.tiny_training import make_tiny

EPOCHS, STEPS = 4, 9  # of 1,197 digits in batches of 128


def config(**changes):
    chosen = default_config()
    chosen.epochs = EPOCHS
    chosen.batch_size = 128
    chosen.ema = 0.9
    chosen.deterministic = True
    chosen.model.name = "mobilenet_v1_025"
    chosen.model.input_size = (32, 32)
    chosen.model.kwargs.dropout_keep_prob = 0.9
    chosen.data.shift = 2
    chosen.checkpoint.steps = 2
    chosen.update_from_flattened_dict(changes)
    return chosen


class Variable:
    """As much of a Keras variable as a checkpoint needs."""

    def __init__(self, values):
        self.values = np.array(values, np.float32)
        self.shape = self.values.shape

    def __array__(self, dtype=None, copy=None):
        return self.values

    def assign(self, values):
        self.values = values


# --- The file ------------------------------------------------------------------------------------


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path):
    at = Standing(3, 4, 1.5, 2, (0.5, 1.25), [{"epoch": 1, "loss": 0.1}])
    checkpoints.save(tmp_path / "c.npz", [Variable([1, 2]), Variable(3)], at, {"classes": ("a",)})
    found = [Variable([0, 0]), Variable(0)]
    assert checkpoints.restore(tmp_path / "c.npz", found, {"classes": ("a",)}) == at
    assert [variable.values.tolist() for variable in found] == [[1, 2], 3]


@pytest.mark.parametrize(
    ("shapes", "about", "message"),
    [
        ([(2,)], {"classes": ["a", "c"]}, r"data changed \(classes: a, b → a, c\).*another --work"),
        ([(3,)], {"classes": ["a", "b"]}, "variables that are not this training's"),
        ([(2,), ()], {"classes": ["a", "b"]}, "variables that are not this training's"),
    ],
)
def test_a_checkpoint_of_something_else_changes_nothing(tmp_path, shapes, about, message):
    path = tmp_path / "c.npz"
    checkpoints.save(path, [Variable([1, 2])], Standing(), {"classes": ["a", "b"]})
    variables = [Variable(np.zeros(shape)) for shape in shapes]
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(path, variables, about)
    assert not any(variable.values.any() for variable in variables)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"not one", None])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "c.npz"
    checkpoints.save(path, [Variable([1, 2])], Standing(), {})
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(ValueError, match=r"c\.npz is damaged .*delete it"):
        checkpoints.restore(path, [Variable([1, 2])], {})


def test_no_checkpoint_is_made_of_weights_that_are_not_finite(tmp_path):
    with pytest.raises(FloatingPointError):
        checkpoints.save(tmp_path / "c.npz", [Variable([1, np.nan])], Standing(), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_leaves_the_earlier_checkpoint_and_names_the_file(tmp_path):
    path = tmp_path / "checkpoint.npz"
    checkpoints.save(path, [Variable([1, 2])], Standing(epoch=1), {})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*checkpoint\.npz.* unchanged"):
            checkpoints.save(path, [Variable(np.ones(10_000))], Standing(epoch=2), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.npz"]
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="asks which processes live")
def test_what_a_process_left_that_was_killed_in_a_save_goes_at_the_next_start(tmp_path):
    from tflite.files import writing

    # No process has this number: it is above what Linux gives.
    left = [
        f".{writing._HOST}-99999999-0123abcd.{name}" for name in ("checkpoint.npz", "last.keras")
    ]
    for name in left:
        (tmp_path / name).write_text("half")
    results.check_folder(tmp_path)
    assert not list(tmp_path.iterdir())


# --- The folder ----------------------------------------------------------------------------------


def test_a_run_of_the_same_config_goes_on_and_one_of_another_sets_it_aside(tmp_path, caplog):
    def of(**changes):
        return config(**changes).to_json().encode()

    (tmp_path / "checkpoint.npz").write_text("state")
    (tmp_path / "config.json").write_bytes(of())
    assert results.has_checkpoint(tmp_path, of())
    assert results.has_checkpoint(tmp_path, of(**{"checkpoint.minutes": 1.0}))
    other = of(epochs=5)
    assert not results.has_checkpoint(tmp_path, other)
    with caplog.at_level(logging.WARNING, logger="absl"):
        Results(tmp_path, {"config.json": other}).begin()
    assert (tmp_path / "earlier-1.checkpoint.npz").read_text() == "state"
    assert (tmp_path / "earlier-1.config.json").read_bytes() == of()
    assert "not at its end" in caplog.text
    assert "epochs: 4 → 5" in caplog.text


# --- The training --------------------------------------------------------------------------------


def train_in_a_process(folder, kill_at=None, where="step", sign=signal.SIGKILL):
    """Trains in a process of its own, which is sent a signal at its `kill_at`-th step or save, or
    ("time") at whatever moment of a step."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    process = context.Process(target=_train, args=(str(folder), kill_at, where, sign))
    process.start()
    process.join(timeout=240)
    return process.exitcode


# Once, in the process that all others are forked from.
_IMPORTED = ["slimnets.training.loop", "sklearn.datasets", "matplotlib.backends.backend_agg"]
# With the checkpoint that follows every second one; a little more than it is.
_SECONDS_A_STEP = 0.02


def _train(folder, kill_at, where, sign):
    from slimnets.training import callbacks
    from slimnets.training.loop import train

    steps, saves = itertools.count(1), itertools.count(1)
    count_step, synced = callbacks.KeepRun.on_train_batch_end, os.replace

    def end(*_):
        os.kill(os.getpid(), sign)

    def step(self, batch, logs=None):
        n = next(steps)
        if where == "step" and n == kill_at:
            end()
        if where == "time" and n == int(kill_at):
            threading.Timer((kill_at - n) * _SECONDS_A_STEP, end).start()
        count_step(self, batch, logs)

    def replace(source, target):  # the moment when a temporary file is finished
        if where == "save" and str(target).endswith(".npz") and next(saves) == kill_at:
            end()
        synced(source, target)

    callbacks.KeepRun.on_train_batch_end = step
    os.replace = replace
    make_tiny()
    try:
        train(config(), folder)
    except checkpoints.Terminated as ended:
        Path(folder, "said").write_text(str(ended))
        sys.exit(143)


def steps_kept(folder):
    """How many steps the checkpoint holds; 0 without one."""
    path = folder / "checkpoint.npz"
    if not path.exists():
        return 0
    with np.load(path) as file:
        at = json.loads(file["note"].tobytes())["standing"]
    return at["epoch"] * STEPS + at["step"]


def weights(folder, name):
    import keras

    return keras.models.load_model(Path(folder) / name).get_weights()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert train_in_a_process(folder) == 0
    return folder


@pytest.mark.slow
def test_killed_five_times_at_random_it_ends_with_the_same_weights_to_the_bit(
    undisturbed, tmp_path
):
    rng = np.random.default_rng()  # another moment in every run of the suite
    moments = [(float(rng.uniform(3, 7)), "time") for _ in range(4)]
    moments.insert(2, (int(rng.integers(1, 3)), "save"))
    kept = 0
    for moment, where in moments:
        assert train_in_a_process(tmp_path, moment, where) == -signal.SIGKILL, moments
        left = [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
        assert len(left) == 1 if where == "save" else len(left) <= 1, (left, moments)
        assert steps_kept(tmp_path) >= kept, moments  # no checkpoint is lost
        kept = steps_kept(tmp_path)
    assert kept > 0, moments
    assert train_in_a_process(tmp_path, 2, sign=signal.SIGTERM) == 143  # and once politely
    assert "the same command goes on" in (tmp_path / "said").read_text()
    (tmp_path / "said").unlink()
    assert train_in_a_process(tmp_path) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        p.name for p in undisturbed.iterdir()
    )
    ours, theirs = (
        json.loads((folder / "result.json").read_text()) for folder in (tmp_path, undisturbed)
    )
    assert ours["steps"] == EPOCHS * STEPS
    assert ours["history"] == theirs["history"], moments
    assert ours["best_epoch"] == theirs["best_epoch"]
    for name in ("last.keras", "best.keras"):
        for one, other in zip(weights(tmp_path, name), weights(undisturbed, name), strict=True):
            np.testing.assert_array_equal(one, other, str(moments))


@pytest.mark.slow
def test_a_run_that_is_finished_says_so_and_touches_nothing(undisturbed, caplog):
    from slimnets.training.loop import train

    before = {path: path.stat().st_mtime_ns for path in undisturbed.iterdir()}
    with caplog.at_level(logging.INFO, logger="absl"):
        result = train(config(), undisturbed)
    assert "finished" in caplog.text
    assert result["checkpoint"] == str(undisturbed / "best.keras")
    assert result["steps"] == EPOCHS * STEPS
    assert {path: path.stat().st_mtime_ns for path in undisturbed.iterdir()} == before
