"""Spoiled `.keras` files of a real network, loaded as a whole. Needs TensorFlow."""

import functools
import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from tests.hostile.mutations import spoil_bytes
from tests.hostile.weight_inputs import spoil_config

SUFFIX = ".keras"


@functools.cache
def _whole() -> dict[str, bytes]:
    """The entries of a small model's file, by name."""
    import keras

    layers = [
        keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv1"),
        keras.layers.BatchNormalization(name="conv1.bn"),
        keras.layers.DepthwiseConv2D(3, name="depthwise"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax", name="Logits"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        keras.Sequential([keras.Input((16, 16, 3)), *layers]).save(path)
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def make(seed: int) -> bytes:
    """The spoiled file of this number."""
    rng = np.random.default_rng(seed)
    entries = dict(_whole())
    kind = int(rng.integers(6))
    if kind < 4:
        config = json.loads(entries["config.json"])
        spoil_config(config, rng)
        entries["config.json"] = json.dumps(config).encode()
    elif kind == 4:
        name = ("model.weights.h5", "config.json", "metadata.json")[int(rng.integers(3))]
        entries[name] = spoil_bytes(entries[name], rng)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return spoil_bytes(file.getvalue(), rng) if kind == 5 else file.getvalue()


def use(path: Path, rng: np.random.Generator) -> None:
    """Loads the file, as `convert` and as `evaluate` do, and looks whether it can be converted."""
    from tests.hostile.running import attempts
    from tflite import keras_models

    attempts(
        {
            "load_file": lambda: keras_models.load_file(path),
            "convert": lambda: keras_models.load(path),
        }
    )
