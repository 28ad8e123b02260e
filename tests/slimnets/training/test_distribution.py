"""One training on several devices or workers is the training on one."""

import json
import multiprocessing
import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from slimnets.training import callbacks, default_config, distribution
from slimnets.training.config import check_config
from tests.helpers.tiny_training import make_tiny

STEPS = 9  # of 1,197 digits in batches of 128


def config(kind, epochs=1):
    chosen = default_config()
    chosen.epochs, chosen.batch_size = epochs, 128
    chosen.ema = 0.9
    chosen.distribution = kind
    chosen.model.name = "mobilenet_v1_025"
    chosen.model.input_size = (32, 32)
    chosen.model.kwargs.dropout_keep_prob = 1.0
    chosen.data.shift = 2
    return chosen


def _train(kind, folder, environment, note, epochs, kill_at):
    """In a process of its own: notes the losses, and the weights at the end or what went wrong."""
    os.environ.update(environment)
    import tensorflow as tf

    from slimnets.training.loop import train

    if kind == "mirrored":
        (cpu,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    make_tiny()
    losses, weights = [], []
    count_step, save = callbacks.KeepRun.on_train_batch_end, callbacks.KeepRun.save

    def step(self, batch, logs=None):
        losses.append(float(logs["loss"]))
        count_step(self, batch, logs)
        if len(losses) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def saved(self, name):
        weights[:] = self._trained.get_weights()
        save(self, name)

    callbacks.KeepRun.on_train_batch_end, callbacks.KeepRun.save = step, saved
    try:
        train(config(kind, epochs), folder)
    except ConnectionError as error:
        Path(note).with_suffix(".txt").write_text(str(error))
        os._exit(1)
    np.savez(note, np.array(losses), *weights)


def start(kind, folder, note, environment=(), epochs=1, kill_at=None):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["slimnets.training.loop", "sklearn.datasets"])
    words = (kind, str(folder), dict(environment), str(note), epochs, kill_at)
    process = context.Process(target=_train, args=words)
    process.start()
    return process


def noted(path):
    with np.load(path) as file:
        losses, *weights = (file[name] for name in file.files)
    return losses, weights


@pytest.mark.slow
def test_two_devices_train_as_one_does(tmp_path):
    found = []
    for kind in ("none", "mirrored"):
        (tmp_path / kind).mkdir()
        process = start(kind, tmp_path / kind, tmp_path / f"{kind}.npz")
        process.join(240)
        assert process.exitcode == 0
        found.append(noted(tmp_path / f"{kind}.npz"))
    (one, ours), (two, theirs) = found
    assert len(one) == STEPS
    np.testing.assert_allclose(two, one, rtol=1e-4)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-3)


@pytest.mark.slow
def test_two_workers_end_with_the_same_weights_also_after_one_was_killed(tmp_path):
    def run(kill_at=None):
        with socket.socket() as one, socket.socket() as two:
            for free in (one, two):
                free.bind(("127.0.0.1", 0))
            hosts = [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, two)]
        processes = []
        for index in (0, 1):
            task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            processes.append(
                start(
                    "multi_worker",
                    tmp_path / "run",
                    tmp_path / f"{index}.npz",
                    {"TF_CONFIG": json.dumps(task)},
                    epochs=2,
                    kill_at=kill_at if index else None,
                )
            )
        processes[1].join(240)
        processes[0].join(60)  # who is left over ends within a minute, and does not wait for ever
        return [process.exitcode for process in processes]

    # In the second epoch, so that there is a checkpoint.
    assert run(kill_at=STEPS + 3) == [1, -signal.SIGKILL]
    assert "start the same command again for all workers" in (tmp_path / "0.txt").read_text()
    assert (tmp_path / "run" / "checkpoint.npz").exists()
    assert run() == [0, 0]
    (losses, ours), (_, theirs) = (noted(tmp_path / f"{index}.npz") for index in (0, 1))
    assert len(losses) == STEPS  # the first epoch was not done again
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 2 * STEPS


@pytest.mark.parametrize("text", [None, "", "[]", '{"cluster": {}}'])
def test_a_cluster_has_to_be_told(text, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="needs the environment variable TF_CONFIG"):
        distribution.open_strategy(config("multi_worker"))


def test_one_device_shares_with_none():
    with pytest.raises(ValueError, match=r"and there is one, .*CPU:0"):
        distribution.open_strategy(config("mirrored"))


@pytest.mark.parametrize(("images", "fits"), [(128, True), (133, False), (135, True), (129, False)])
def test_every_replica_has_an_image_of_the_last_batch(images, fits):
    """Of 4 replicas, 5 images are 2, 2, 1 and none; 7 are 2, 2, 2 and 1."""

    class Four:
        num_replicas_in_sync = 4

    if fits:
        distribution.check_shares(Four, 64, images)
    else:
        with pytest.raises(ValueError, match="4 replicas cannot share"):
            distribution.check_shares(Four, 64, images)


@pytest.mark.parametrize("change", [{"teacher": "mobilenet_v2"}, {"xla": True}])
def test_what_goes_with_one_device_only_is_refused_with_more(change):
    with pytest.raises(ValueError, match="or train on one device"):
        check_config({"distribution": "mirrored", **change})
