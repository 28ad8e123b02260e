"""Where an int8 file loses its accuracy: error, range and saturation, layer by layer."""

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.files.metadata import read_metadata
from tflite.files.writing import atomic_writer, check_writable
from tflite.measuring.agreement import layer_values, sqnr_db

if TYPE_CHECKING:
    import keras

# Every activation of these is held at once.
MOST_IMAGES = 16
_POOR_DB = 10.0


@dataclass(frozen=True)
class LayerQuantization:
    """One Keras layer as the file computes it.

    Attributes:
        name: of the Keras layer.
        sqnr_db: 10·log10(Σ reference² / Σ error²) of its output.
        lost_db: how much of that was lost in this layer: what its inputs had, less what is left;
            layers without compared inputs lose nothing. Negative where errors average out.
        low, high: the range that its int8 values stand for, as the file stores them.
        used: share of that range that the images filled.
        saturated: share of values at an end of the range that is not 0.
    """

    name: str
    sqnr_db: float
    lost_db: float
    low: float
    high: float
    used: float
    saturated: float


@dataclass(frozen=True)
class QuantizationReport:
    """An int8 file beside its Keras model.

    Attributes:
        layers: those whose outputs survive as tensors of the file, in its order.
        images: how many were run.
    """

    layers: tuple[LayerQuantization, ...]
    images: int

    @property
    def worst(self) -> LayerQuantization | None:
        """The layer that costs most: where the noise grows most beside the signal."""
        return max(self.layers, key=lambda layer: layer.lost_db, default=None)

    @property
    def poor(self) -> tuple[LayerQuantization, ...]:
        """Layers below 10 dB."""
        return tuple(layer for layer in self.layers if layer.sqnr_db < _POOR_DB)

    def __str__(self) -> str:
        if not self.layers:
            return "no layer's output survives as a tensor of the file"
        width = max(len(layer.name) for layer in self.layers)
        lines = [f"{'layer':{width}}    SQNR    lost          range           used  saturated"]
        lines += [
            f"{layer.name:{width}} {layer.sqnr_db:5.1f} dB {layer.lost_db:5.1f} dB "
            f"{layer.low:10.3g} .. {layer.high:<10.3g} {layer.used:4.0%} {layer.saturated:10.3%}"
            for layer in self.layers
        ]
        lines.append(f"{self.worst.name} costs most: {self.worst.lost_db:.1f} dB")
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike) -> Path:
        """Draws each layer's SQNR, and what it lost, into a PNG file.

        Raises:
            FileNotFoundError, PermissionError, IsADirectoryError: if `path` cannot be written.
        """
        from matplotlib.figure import Figure

        path = check_writable(path)
        figure = Figure(figsize=(8, 1 + 0.22 * max(len(self.layers), 4)), layout="constrained")
        axes = figure.add_subplot()
        names = [layer.name for layer in self.layers]
        axes.barh(names, [layer.sqnr_db for layer in self.layers], label="SQNR")
        axes.barh(names, [layer.lost_db for layer in self.layers], 0.4, label="lost in the layer")
        axes.invert_yaxis()
        axes.set_xlabel("dB")
        axes.tick_params(axis="y", labelsize=7)
        axes.legend()
        with atomic_writer(path) as file:
            figure.savefig(file, format="png", dpi=110)
        return path


def quantization_report(
    model: "keras.Model", path: str | os.PathLike | bytes, images: np.ndarray
) -> QuantizationReport:
    """Which layers of an int8 file are how far from the Keras model, and which costs most.

    Args:
        model: the Keras model that the file was converted from.
        path: the .tflite file, or its bytes.
        images: float32 (N, height, width, channels) in the model's input space; of more than 16,
            the first 16 are run.

    Raises:
        ValueError: no images, or of another shape than the model takes; a file without an int8
            activation.
    """
    data = flatbuffer.read_bytes(path)
    flat = flatbuffer.unpack(data)
    tensors = flat.subgraphs[0].tensors
    images = np.asarray(images, np.float32)[:MOST_IMAGES]
    shape = tuple(model.inputs[0].shape[1:])
    if (
        images.ndim != 4
        or not len(images)
        or any(n not in (None, m) for n, m in zip(shape, images.shape[1:], strict=True))
    ):
        raise ValueError(
            f"images must have the shape (N, {', '.join(map(str, shape))}) with N >= 1, "
            f"got {images.shape}."
        )
    if not any(flatbuffer.type_name(tensor) == "int8" for tensor in tensors):
        raise ValueError("the file has no int8 tensors: convert it with precision='int8'.")
    sqnr: dict[int, float] = {}
    layers = []
    values = layer_values(model, data, read_metadata(data).image, images)
    for name, index, expected, found, stored in values:
        before = [sqnr[i] for i in _inputs_among(flat, index, sqnr)]
        sqnr[index] = sqnr_db(expected, found)
        lost = min(before) - sqnr[index] if before else 0.0
        layers.append(LayerQuantization(name, sqnr[index], lost, *_range(tensors[index], stored)))
    return QuantizationReport(tuple(layers), len(images))


def _inputs_among(flat: schema.ModelT, index: int, known: Container[int]) -> set[int]:
    """The nearest of the known tensors that a tensor is computed from."""
    written_by = flatbuffer.producers(flat.subgraphs[0])
    found: set[int] = set()
    waiting, seen = [index], {index}
    while waiting:
        operator = written_by.get(waiting.pop())
        for source in () if operator is None else map(int, operator.inputs):
            if source in seen:
                continue
            seen.add(source)
            if source in known:
                found.add(source)
            else:
                waiting.append(source)
    return found


def _range(tensor: schema.TensorT, stored: np.ndarray) -> tuple[float, float, float, float]:
    """The tensor's range, and the shares of it that are used and of values at its ends."""
    if flatbuffer.type_name(tensor) not in ("int8", "uint8"):
        return float(stored.min()), float(stored.max()), 1.0, 0.0
    limits = np.iinfo(flatbuffer.type_name(tensor))
    scale = float(tensor.quantization.scale[0])
    zero_point = int(tensor.quantization.zeroPoint[0])
    low, high = (limits.min - zero_point) * scale, (limits.max - zero_point) * scale
    used = float((stored.max() - stored.min()) / (high - low))
    at_end = (stored > high - scale / 2) | ((stored < low + scale / 2) & (low < 0))
    return low, high, used, float(at_end.mean())
