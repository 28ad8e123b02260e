"""From a Keras model to the bytes of a .tflite file: trace, calibrate, adjust ranges, quantize.

The engine makes a float file with the ranges that calibration images gave its tensors. Before it
quantizes that file, the input's range is made exact and ranges that a delegate would refuse are
widened; afterwards an integer input gets the steps of pixels back where it lost them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite import progress
from tflite.files import flatbuffer
from tflite.images import ImageInput
from tflite.quantizing import engine
from tflite.quantizing.detector_heads import DetectorHeads
from tflite.quantizing.effort import Outcome, improve
from tflite.quantizing.engine import Form
from tflite.quantizing.integer_forms import multiply_instead, saturate_instead
from tflite.quantizing.keeping import kept_outputs
from tflite.quantizing.ranges import widen_for_delegates, with_input_range, with_whole_operands
from tflite.quantizing.tracing import SCOPE, trace
from tflite.runtime import whole_batches

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Lowered:
    """A finished network.

    Attributes:
        file: the .tflite file's bytes.
        outcome: int8 only: what was tried to make it good.
        unkept: where layers were kept in float32, the file without that, to tell its price.
    """

    file: bytes
    outcome: Outcome | None = None
    unkept: bytes | None = None


def lower(
    model: "keras.Model",
    form: Form,
    image: ImageInput | None,
    images: np.ndarray | None,
    effort: str = "fast",
    keep: Sequence[str] = (),
    detects: bool = False,
) -> Lowered:
    """Converts and quantizes.

    Args:
        model: with one image input and one output.
        form: what to make.
        image: how pixels become the model's input, if that is known. It gives an integer input
            its exact range, and is made part of the file if it says so.
        images: float32 (N, height, width, channels) in the model's input space; needed for int8
            and int16x8.
        effort: int8 only: as in `convert`.
        keep: int8 only: patterns of names of layers that stay float32.
        detects: the output is a detector's codes beside its probabilities: see `DetectorHeads`.

    Raises:
        ValueError: TensorFlow's converter has no form for a layer; nothing is left of a layer that
            is to be kept.
    """
    pixels = images if image is None or images is None else image.to_file(images)
    try:
        file = engine.write(
            trace(model, form.batch_size, image),
            model,
            form,
            partial(_batches, pixels, form.batch_size),
        )
    except engine.EngineError as error:
        raise ValueError(
            f"TensorFlow's converter cannot convert {model.name!r}: {_explain(error, model)}"
        ) from error
    file = _without_scope(file)
    if form.precision != "int8":
        return Lowered(file)
    calibrated = multiply_instead(file)
    heads = DetectorHeads.of(calibrated, pixels, image and image.of_file) if detects else None
    whole = partial(_quantized, image=image, form=form, heads=heads)
    quantize = partial(whole, kept=_kept(calibrated, keep)) if keep else whole
    plain, unkept = quantize(calibrated), whole(calibrated) if keep else None
    if effort == "fast":
        best, outcome = plain, Outcome(effort)
    else:
        of_file = image and image.of_file
        best, outcome = improve(calibrated, plain, pixels, of_file, quantize, effort, heads)
    return Lowered(saturate_instead(best), outcome, unkept and saturate_instead(unkept))


def _kept(calibrated: bytes, keep: Sequence[str]) -> list[str]:
    """The names of what the operators write that stay float32."""
    found = kept_outputs(calibrated, keep)
    for pattern, outputs in found.items():
        if not outputs:
            raise ValueError(
                f"keep names {pattern!r}, which the rewriting made part of another layer or left "
                "out; name the layer with the weights."
            )
    return list(dict.fromkeys(name for outputs in found.values() for name in outputs))


def _batches(images: np.ndarray, batch_size: int | None) -> Iterator[np.ndarray]:
    """Calibration batches of the file's own size; the last one is filled up from the first."""
    size = batch_size or 1
    images = whole_batches(images, size)
    for start in progress.steps(range(0, len(images), size), "calibrating"):
        yield images[start : start + size]


def _quantized(
    calibrated: bytes,
    image: ImageInput | None,
    form: Form,
    heads: DetectorHeads | None,
    kept: Sequence[str] = (),
) -> bytes:
    """The int8 file by the ranges that the float file carries, its input's made exact."""
    if heads is not None:
        calibrated = heads.with_ranges(calibrated)
    calibrated = with_whole_operands(calibrated)
    if image is None:
        return engine.quantize(widen_for_delegates(calibrated), form, kept)
    file = with_input_range(calibrated, *image.of_file.range)
    quantized = engine.quantize(widen_for_delegates(file), form, kept)
    return _with_exact_input(quantized, image.of_file)


def _without_scope(data: bytes) -> bytes:
    """The file with tensors named by layer: network_1/conv/BiasAdd becomes conv/BiasAdd."""
    flat = flatbuffer.unpack(data)
    for tensor in flat.subgraphs[0].tensors:
        tensor.name = flatbuffer.text(tensor.name).replace(f"{SCOPE}_1/", "")
    return flatbuffer.pack(flat)


def _explain(error: engine.EngineError, model: "keras.Model") -> str:
    """The reason as a user knows the model, where that is clear, and what to do about it."""
    unusual = ("float16", "bfloat16", "float64")
    found = next((w.dtype for w in model.weights if w.dtype in unusual), None)
    if found:
        return (
            f"it computes in {found}. Build it after keras.config.set_dtype_policy('float32'), "
            "copy the weights with set_weights(old.get_weights()) and convert that; "
            "precision='float16' stores them as half floats."
        )
    quantized = [w for w in model.weights if w.dtype in ("int8", "uint8", "int4")]
    if quantized:
        return (
            f"Keras quantized it already ({quantized[0].path} is {quantized[0].dtype}), not for "
            "device files. Convert the float model that it was made of."
        )
    output = model.outputs[0]
    if "int" in output.dtype or output.dtype == "bool":
        return (
            f"it ends in {output.dtype} numbers ({output._keras_history.operation.name}), not in "
            "scores. Convert the model that ends before that, and take the argmax of its answers."
        )
    custom = [
        f"{layer.name} ({type(layer).__name__})"
        for layer in model.layers
        if not type(layer).__module__.startswith(("keras.", "tflite."))
    ]
    hint = f" It has custom layers: {', '.join(custom)}." if custom else ""
    return f"{error}.{hint}"


def _with_exact_input(data: bytes, image: ImageInput) -> bytes:
    """The quantized file with an integer input whose steps are pixels, whatever reads it.

    The quantizer gives all operands of a concatenation one scale, also where one of them is the
    input; then the input gets its own scale back and is requantized for its readers.
    """
    flat = flatbuffer.unpack(data)
    graph = flat.subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    kind = flatbuffer.type_name(tensor)
    if kind == "float32":
        return data
    scale, zero_point = 1 / image.std[0], int(image.mean[0]) + np.iinfo(kind).min
    found = tensor.quantization
    if np.isclose(found.scale[0], scale, rtol=1e-4) and abs(found.zeroPoint[0] - zero_point) <= 1:
        return data
    if kind == "int8":
        flatbuffer.requantize_input(flat)
    tensor.quantization = schema.QuantizationParametersT(
        scale=np.asarray([scale], np.float32), zeroPoint=np.asarray([zero_point], np.int64)
    )
    return flatbuffer.pack(flat)
