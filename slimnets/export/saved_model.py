"""A Keras model as TensorFlow's SavedModel, run beside it before it counts."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

_MOST_ERROR = 1e-4


def export_saved_model(
    model: keras.Model, path: str | os.PathLike, *, batch_size: int | None = None
) -> Path:
    """Writes a folder that TensorFlow Serving, TensorFlow.js and `tf.saved_model.load` read.

    Its endpoint `serve` takes float32 (batch, height, width, channels).

    Args:
        model: a model of images on Keras's TensorFlow backend.
        path: a folder that does not exist yet.
        batch_size: images of a call; None leaves it open.

    Raises:
        FileExistsError: there is something at `path`.
        RuntimeError: what was written gives other outputs than the model, and is not kept.
        OSError: the folder cannot be written.
    """
    import keras
    import tensorflow as tf

    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists; name a folder that does not.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist.")
    shape = tuple(model.inputs[0].shape[1:])
    signature = [keras.InputSpec(shape=(batch_size, *shape), dtype="float32", name="image")]
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        made = Path(scratch, "saved_model")
        archive = keras.export.ExportArchive()
        archive.track(model)
        # Not model.export, in which layers such as RandomFlip go on as in training.
        archive.add_endpoint("serve", lambda image: model(image, training=False), signature)
        archive.write_out(made, verbose=False)
        sizes = [32 if size is None else size for size in shape]
        images = np.random.default_rng(0).uniform(-1, 1, (batch_size or 5, *sizes))
        images = images.astype(np.float32)
        loaded = tf.saved_model.load(made)  # its variables live as long as it does
        found = tf.nest.flatten(loaded.serve(images))
        expected = tf.nest.flatten(model(images, training=False))
        for mine, theirs in zip(found, expected, strict=True):
            error = float(np.abs(mine - theirs).max() / np.abs(theirs).max())
            if not error <= _MOST_ERROR:
                raise RuntimeError(
                    f"the SavedModel's outputs differ by {error:.2g} of the greatest from Keras's, "
                    "so it was not kept. Please report the model."
                )
        shutil.move(made, path)
    return path
