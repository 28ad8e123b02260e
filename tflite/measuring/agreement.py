"""How far a converted file is from the Keras model that it came from."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite.files import flatbuffer
from tflite.files.floors import find_floors
from tflite.files.metadata import read_metadata
from tflite.files.reading import open_file
from tflite.images import ImageInput
from tflite.keras_models import unwrapped
from tflite.runtime import Session, whole_batches

if TYPE_CHECKING:
    import keras

# Pixels that Keras is given at once: its eager execution keeps every activation of a batch.
_PIXELS_AT_ONCE = 200_000
# From so many channels on, they were divided and shifted; it is not error.
_MOVED_SHARE = 0.25


@dataclass(frozen=True)
class LayerAgreement:
    """One Keras layer against the file's tensor of that name, as `layer_values` gives them.

    Attributes:
        name: of the Keras layer.
        max_abs_error: largest difference of the layer's outputs.
        sqnr_db: signal to quantization noise ratio, 10·log10(Σreference² / Σerror²).
    """

    name: str
    max_abs_error: float
    sqnr_db: float


@dataclass(frozen=True)
class Agreement:
    """The file's outputs against Keras's, over the same images.

    Attributes:
        n: how many images.
        max_abs_error, mean_abs_error: over all output values.
        sqnr_db: 10·log10(Σreference² / Σerror²); infinite for equal outputs.
        top1_agreement: share of images (of positions, for dense predictions) with the same
            greatest class; for a single output, on the same side of its middle.
        layers: the same per layer, in the file's order; empty unless asked for.
    """

    n: int
    max_abs_error: float
    mean_abs_error: float
    sqnr_db: float
    top1_agreement: float
    layers: tuple[LayerAgreement, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"top-1 agreement {self.top1_agreement:.4f} over {self.n} images, "
            f"SQNR {self.sqnr_db:.1f} dB, max error {self.max_abs_error:.3g}, "
            f"mean error {self.mean_abs_error:.3g}"
        ]
        width = max((len(layer.name) for layer in self.layers), default=0)
        lines += [
            f"  {layer.name:<{width}}  {layer.sqnr_db:6.1f} dB  max {layer.max_abs_error:.3g}"
            for layer in self.layers
        ]
        return "\n".join(lines)


def compare(
    model: "keras.Model",
    path: str | os.PathLike | bytes,
    images: np.ndarray,
    per_layer: bool = False,
) -> Agreement:
    """Runs the same images through Keras and through LiteRT.

    Args:
        model: the Keras model with one input and one output.
        path: the .tflite file, or its bytes. A file that normalizes by itself is given the
            pixels that belong to `images`.
        images: float32 (N, height, width, channels) in the model's input space, i.e.
            preprocessed.
        per_layer: also compare every layer whose output survives as a tensor of the file.

    Raises:
        TypeError: `model` is no Keras model, `images` are no numbers.
        ValueError: no images, or images of another shape than the file takes; a model that is not
            built.
    """
    _check_model(model)
    file = open_file(path)
    data, image = file.data, read_metadata(file).image
    session = Session(file, image and image.of_file)
    try:
        images = np.asarray(images, np.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(f"images must be an array of numbers: {error}") from error
    if images.ndim != 4 or not len(images) or images.shape[1:] != session.input_shape:
        raise ValueError(
            f"images must have the shape (N, {', '.join(map(str, session.input_shape))}) with "
            f"N >= 1, got {images.shape}."
        )
    if not _takes(model, images):
        raise ValueError(
            f"model {model.name!r} takes inputs of shape {tuple(model.inputs[0].shape[1:])}, the "
            f"file images of {images.shape[1:]}: they are not the same network."
        )
    expected = _keras_outputs(model, images)
    found = session.run(_to_file(images, image))
    if expected.shape != found.shape:
        raise ValueError(
            f"the model gives outputs of shape {expected.shape}, the file {found.shape}: they are "
            "not the same network."
        )
    layers = ()
    if per_layer:
        values = layer_values(model, data, image, images)
        layers = tuple(_compare_layer(name, *pair) for name, _, *pair, _ in values)
    middle = 0.5 if flatbuffer.ends_in_probabilities(file.model) else 0.0
    error = np.abs(expected.astype(np.float64) - found)
    return Agreement(
        n=len(images),
        max_abs_error=float(error.max()),
        mean_abs_error=float(error.mean()),
        sqnr_db=sqnr_db(expected, found),
        top1_agreement=float((_classes(expected, middle) == _classes(found, middle)).mean()),
        layers=layers,
    )


def relative_error(model: "keras.Model", other: "keras.Model", images: np.ndarray) -> float:
    """The largest difference of two models' outputs, as a share of the greatest output.

    Args:
        model: takes batches of any size.
        other: may take batches of one size only.
        images: float32 (N, height, width, channels).

    Returns:
        0 for equal outputs; infinity for another shape, or where only one of them is finite.
    """
    expected = _keras_outputs(model, images)
    size = other.inputs[0].shape[0] or 1
    filled = whole_batches(images, size)
    found = [_output(other, filled[i : i + size]) for i in range(0, len(filled), size)]
    together = np.concatenate(found)
    if len(filled) > len(images):
        together = together[: len(expected)]
    if expected.shape != together.shape:
        return math.inf
    finite = np.isfinite(expected)
    if (finite != np.isfinite(together)).any():
        return math.inf
    error = np.abs(expected[finite].astype(np.float64) - together[finite])
    greatest = np.abs(expected[finite]).max(initial=0.0)
    return float(error.max(initial=0.0) / (greatest or 1.0))


def _check_model(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}.")
    if not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
        raise ValueError(
            f"model {model.name!r} has no inputs and outputs of its own: build it, or wrap a "
            "subclassed one, x = keras.Input(shape); keras.Model(x, model(x))."
        )


def _takes(model: "keras.Model", images: np.ndarray) -> bool:
    shape = model.inputs[0].shape
    same = (n is None or n == m for n, m in zip(shape[1:], images.shape[1:], strict=False))
    return len(shape) == images.ndim and all(same)


def _to_file(images: np.ndarray, image: ImageInput | None) -> np.ndarray:
    return images if image is None else image.to_file(images)


def _keras_outputs(model: "keras.Model", images: np.ndarray) -> np.ndarray:
    network = unwrapped(model)
    batches = [_output(network, batch) for batch in _batches(images)]
    return np.concatenate(batches).astype(np.float32)


def _output(network: "keras.Model", batch: np.ndarray) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(network(batch, training=False))


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    size = max(1, _PIXELS_AT_ONCE // (images.shape[1] * images.shape[2]))
    return (images[start : start + size] for start in range(0, len(images), size))


def _classes(outputs: np.ndarray, middle: float) -> np.ndarray:
    return outputs > middle if outputs.shape[-1] == 1 else outputs.argmax(axis=-1)


def sqnr_db(expected: np.ndarray, found: np.ndarray) -> float:
    """Signal to quantization noise ratio in dB, 10·log10(Σexpected² / Σ(expected - found)²).

    Infinite for equal arrays; minus infinity where nothing but zeros was expected.
    """
    expected = expected.astype(np.float64)
    noise = np.square(expected - found).sum()
    signal = np.square(expected).sum()
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def layer_values(
    model: "keras.Model", data: bytes, image: ImageInput | None, images: np.ndarray
) -> Iterator[tuple[str, int, np.ndarray, np.ndarray, np.ndarray]]:
    """Every layer whose name a tensor of the file still carries, and whose shape it has.

    Yields:
        In the file's order: the layer's name, the tensor's index, Keras's values, the file's with
        what conversion divided channels by and shifted them by undone, and the file's own.
    """
    import keras

    pairs = _layer_tensors(model, data)
    if not pairs:
        return
    probe = keras.Model(model.inputs[0], [layer.output for layer, _ in pairs])
    session = Session(data, image and image.of_file, keep_all_tensors=True)
    found: list[list[np.ndarray]] = [[] for _ in pairs]
    for _, count in session.steps(_to_file(images, image)):
        for values, (_, index) in zip(found, pairs, strict=True):
            values.append(session.tensor(index)[:count])
    expected: list[list[np.ndarray]] = [[] for _ in pairs]
    for batch in _batches(images):
        outputs = keras.tree.flatten(probe(batch, training=False))
        for values, output in zip(expected, outputs, strict=True):
            values.append(keras.ops.convert_to_numpy(output))
    floors = find_floors(flatbuffer.unpack(data))
    for (layer, index), reference, values in zip(pairs, expected, found, strict=True):
        reference, values = np.concatenate(reference), np.concatenate(values)
        if index in floors:  # what lies below is the same to the h-swish that reads it
            reference, values = (np.maximum(v, floors[index]) for v in (reference, values))
        yield layer.name, index, reference, _as_in_keras(reference, values), values


def _compare_layer(name: str, expected: np.ndarray, found: np.ndarray) -> LayerAgreement:
    error = np.abs(expected.astype(np.float64) - found)
    return LayerAgreement(name, float(error.max()), sqnr_db(expected, found))


def _as_in_keras(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """`found` without what the rewrite left for a later layer to multiply (h-swish's 1/6), and
    without what equalization divided a channel by and shifted it by before it was quantized.

    Where few channels are clearly larger, smaller or elsewhere, all are left as they are: that is
    error.
    """
    rows = found.reshape(-1, found.shape[-1]).astype(np.float64)
    reference = expected.reshape(rows.shape).astype(np.float64)
    centred, centred_reference = rows - rows.mean(axis=0), reference - reference.mean(axis=0)
    energy = np.square(centred).sum(axis=0)
    product = (centred * centred_reference).sum(axis=0)
    factor = np.divide(product, energy, out=np.ones_like(energy), where=energy > 0)
    shift = reference.mean(axis=0) - factor * rows.mean(axis=0)
    moved = (factor < 0.8) | (factor > 1.25) | (np.abs(shift) > 0.25 * reference.std(axis=0))
    if moved.mean() < _MOVED_SHARE:
        return found
    return (rows * factor + shift).reshape(found.shape)


def _layer_tensors(model: "keras.Model", data: bytes) -> list[tuple["keras.Layer", int]]:
    """Pairs of a layer and the file's tensor that holds its output, in the file's order.

    TensorFlow names a tensor layer_1/Op, with a number behind the layer's own name, and a fused
    one by all its parts with ";" between, the last one in the graph first.
    """
    graph = flatbuffer.unpack(data).subgraphs[0]
    layers = {layer.name: layer for layer in model.layers}
    pairs: dict[str, tuple[keras.Layer, int]] = {}
    for operator in graph.operators:
        for index in operator.outputs:
            tensor = graph.tensors[index]
            layer = _layer_of_name(flatbuffer.text(tensor.name).split(";")[0], layers)
            if index == graph.outputs[0]:
                layer = next((la for la in model.layers if la.output is model.outputs[0]), None)
            if layer is None or isinstance(layer.output, (list, tuple)):
                continue
            if tuple(layer.output.shape[1:]) == tuple(int(n) for n in tensor.shape[1:]):
                # A layer of several operators ends in its last one.
                pairs.pop(layer.name, None)
                pairs[layer.name] = (layer, int(index))
    return list(pairs.values())


def _layer_of_name(name: str, layers: dict[str, "keras.Layer"]) -> "keras.Layer | None":
    for part in name.split("/"):
        for candidate in (part.rpartition("_")[0], part):
            if candidate in layers:
                return layers[candidate]
    return None
