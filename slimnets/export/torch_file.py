"""Weights as the file that `torch.load` reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimnets.catalog import export_torch
from tflite.files.writing import atomic_writer, check_writable

if TYPE_CHECKING:
    import keras


def export_torch_file(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes `export_torch(model)` with torch.save, whole or not at all.

    Raises:
        ModuleNotFoundError: PyTorch is not installed; safetensors need it not.
        ValueError, TypeError: as `export_torch`.
        OSError: `path` cannot be written.
    """
    check_writable(path)
    state = export_torch(model)
    try:
        from importlib import import_module

        torch = import_module("torch")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the format torch is written by PyTorch, which is not installed; --format=safetensors "
            "holds the same weights and needs nothing."
        ) from error
    tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    with atomic_writer(path) as file:
        torch.save(tensors, file)
