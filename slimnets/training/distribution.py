"""One training on several devices or machines: the batch is shared out, the weights are one.

Keras 3.15's `fit` works so on the devices of one machine, but fails at once under several workers,
where it reduces the first batch and the logs in a way that TensorFlow refuses. `Distributed` does
these two steps in another way; all else is Keras's.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from keras import tree
from ml_collections import ConfigDict

from slimnets.training import results


def open_strategy(config: ConfigDict) -> Any:
    """TensorFlow's strategy of `config.distribution`; None: one device.

    Raises:
        ValueError: too few devices, no cluster in TF_CONFIG, no TPU, or a batch that the replicas
            cannot share.
    """
    if config.distribution == "none":
        return None
    strategy = {"mirrored": _mirrored, "multi_worker": _multi_worker, "tpu": _tpu}[
        config.distribution
    ]()
    replicas = strategy.num_replicas_in_sync
    if config.batch_size is None or config.batch_size % replicas:
        raise ValueError(
            f"config.batch_size must be a multiple of the {replicas} replicas that share it, got "
            f"{config.batch_size}."
        )
    return strategy


def _mirrored() -> Any:
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise ValueError(
            f"config.distribution='mirrored' shares a batch among devices, and there is one, "
            f"{devices[0].name}: leave it out."
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker() -> Any:
    import tensorflow as tf

    try:
        cluster = json.loads(os.environ["TF_CONFIG"])
        cluster["cluster"]["worker"], cluster["task"]["index"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "config.distribution='multi_worker' needs the environment variable TF_CONFIG in each "
            'process, such as {"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, "task": '
            f'{{"type": "worker", "index": 0}}}}; {type(error).__name__}: {error}.'
        ) from error
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu() -> Any:
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=os.environ.get("TPU_NAME", "local")
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"config.distribution='tpu' found no TPU (TPU_NAME names one): {error}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def check_shares(strategy: Any, batch_size: int, images: int) -> None:
    """Raise where a replica would have no image of the last batch, whose mean then is no number."""
    replicas = strategy.num_replicas_in_sync
    left = images % batch_size
    if left and -(-left // replicas) * (replicas - 1) >= left:
        raise ValueError(
            f"the last of the batches of {images} validation images has {left}, which "
            f"{replicas} replicas cannot share: change config.batch_size."
        )


def is_chief(config: ConfigDict) -> bool:
    """Whether this process writes the run's files: all but the workers after the first do."""
    if config.distribution != "multi_worker":
        return True
    return json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0


@contextmanager
def own_folder(workdir: Path, config: ConfigDict) -> Iterator[Path]:
    """The folder in which this process works: `workdir`, or for a worker that is not the chief a
    copy of what it goes on from, which is thrown away. All workers see the chief's `workdir`."""
    if is_chief(config):
        yield workdir
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name in (results.CHECKPOINT, results.CONFIG, results.RESULT, results.BEST):
            if (workdir / name).exists():
                shutil.copyfile(workdir / name, Path(temporary, name))
        yield Path(temporary)


@contextmanager
def worker_that_left(config: ConfigDict) -> Iterator[None]:
    """Where another worker is gone, says so, and what to do."""
    if config.distribution != "multi_worker":
        yield
        return
    import tensorflow as tf

    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        raise ConnectionError(
            "another worker has gone, and without it no step can be done: start the same command "
            "again for all workers, and they go on from the last checkpoint "
            f"({type(error).__name__})."
        ) from error


def shared(dataset: Any) -> Any:
    """A data set that is the same in all workers, of which each takes its share of a batch."""
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)


class Distributed(keras.Model):
    """A network's layers and weights, trained and measured on all replicas of a strategy."""

    def __init__(self, model: keras.Model, strategy: Any) -> None:
        """
        Args:
            model: built in the strategy's scope.
            strategy: whose.
        """
        super().__init__(model.input, model.output, name=model.name)
        self._strategy = strategy

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Not from a batch, as Keras does: a pass that is begun would change the images' order.
        if iterator is not None:
            specs = iterator.data_adapter.get_tf_dataset().element_spec
            data_batch = tree.map_structure(
                lambda spec: keras.KerasTensor(tuple(spec.shape), spec.dtype.name), specs
            )
        with self._strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def _make_function(self, step_function: Any) -> Any:
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def step(batches: Any) -> Any:
            logs = self._strategy.run(step_function, args=(next(batches),))
            return tree.map_structure(self._mean, logs)

        return step

    def _mean(self, value: Any) -> Any:
        parts = self._strategy.experimental_local_results(value)
        return parts[0] if len(parts) == 1 else keras.ops.mean(keras.ops.stack(parts), axis=0)
