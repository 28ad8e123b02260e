"""A Keras model as the bytes of a .tflite file, through TensorFlow's own converter.

The model is traced with its final input shape, its variables become constants, and the converter
turns that graph into a float file. (`TFLiteConverter.from_keras_model` writes a SavedModel on the
way, which is most of the time that it takes.) For int8 the calibrated float file is then changed,
so that the input's range is exact, and given to TensorFlow's standard post-training quantizer.
"""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite import progress
from tflite.files import flatbuffer
from tflite.images import ImageInput
from tflite.quantizing.ranges import widen_for_additions

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

logger = logging.getLogger(__name__)

INPUT_NAME = "image"
_SCOPE = "network"


@dataclass(frozen=True)
class Form:
    """The outer form of a file: what it holds and what it takes and gives.

    Attributes:
        precision: as in `convert`.
        input_type, output_type: "float32", "int8", "uint8" or "int16".
        batch_size: images an invocation takes; None leaves it open.
    """

    precision: str
    input_type: str
    output_type: str
    batch_size: int | None


def lower(
    model: "keras.Model", form: Form, image: ImageInput | None, images: np.ndarray | None
) -> bytes:
    """Converts and quantizes.

    Args:
        model: with one image input and one output.
        form: what to make.
        image: how pixels become the model's input, if that is known. It gives an integer input
            its exact range, and is made part of the file if it says so.
        images: float32 (N, height, width, channels) in the model's input space; needed for int8
            and int16x8.

    Raises:
        ValueError: TensorFlow's converter has no form for a layer; for int8, an operator has no
            integer form.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [_trace(model, form.batch_size, image)], trackable_obj=model
    )
    # Variables become constants at once, without a SavedModel on the way; the metadata left out
    # would hold a time stamp.
    converter.experimental_lower_to_saved_model = False
    converter.exclude_conversion_metadata = True
    if form.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if form.precision in ("int8", "int16x8"):
        pixels = images if image is None else image.to_file(images)
        converter.representative_dataset = lambda: _steps(pixels, form.batch_size)
    if form.precision == "int16x8":
        _ask_for_int16(converter, form)
    if form.precision == "int8":
        return _quantize(_calibrate(converter, model), image, form)
    return _run(converter, model)


def _trace(
    model: "keras.Model", batch_size: int | None, image: ImageInput | None
) -> "tf.types.experimental.ConcreteFunction":
    import keras
    import tensorflow as tf

    # A scope of a fixed name: Keras numbers models as they are made, and the same model has to
    # give the same bytes.
    network = keras.Model(model.inputs[0], model.outputs[0], name=_SCOPE)

    def call(pixels):
        if image is not None and image.in_graph:
            pixels = _normalize(pixels, image)
        return network(pixels, training=False)

    shape = (batch_size, *model.inputs[0].shape[1:])
    spec = tf.TensorSpec(shape, tf.float32, name=INPUT_NAME)
    return tf.function(call, input_signature=[spec], autograph=False).get_concrete_function()


def _normalize(pixels: "tf.Tensor", image: ImageInput) -> "tf.Tensor":
    """(pixels - mean) / std as one depthwise 1×1 convolution.

    That is a single operator, which every delegate has, and int8 gives it a scale per channel.
    """
    import tensorflow as tf

    std = np.asarray(image.std, np.float64)
    filters = np.reshape(1 / std, (1, 1, -1, 1)).astype(np.float32)
    bias = (-np.asarray(image.mean, np.float64) / std).astype(np.float32)
    scaled = tf.nn.depthwise_conv2d(pixels, filters, strides=[1, 1, 1, 1], padding="VALID")
    return tf.nn.bias_add(scaled, bias)


def _steps(images: np.ndarray, batch_size: int | None) -> Iterator[list[np.ndarray]]:
    """Calibration batches of the file's own size; the last one is filled up from the first."""
    size = batch_size or 1
    filled = np.resize(np.arange(len(images)), -(-len(images) // size) * size)
    for start in progress.steps(range(0, len(filled), size), "calibrating"):
        yield [images[filled[start : start + size]]]


def _run(converter: "tf.lite.TFLiteConverter", model: "keras.Model") -> bytes:
    from tensorflow.lite.python.convert import ConverterError

    try:
        with warnings.catch_warnings():
            # "Statistics for quantized inputs were expected": they come from calibration.
            warnings.simplefilter("ignore", UserWarning)
            return _without_scope(bytes(converter.convert()))
    except (ConverterError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        custom = _custom_layers(model)
        hint = f" It has custom layers: {', '.join(custom)}." if custom else ""
        raise ValueError(
            f"TensorFlow's converter cannot convert {model.name!r}: {reason}.{hint}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """What the quantizer's C++ code says on standard error, told to the debug log instead."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            for line in said:
                logger.debug("TensorFlow: %s", line.rstrip())


def _without_scope(data: bytes) -> bytes:
    """The file with tensors named by layer: network_1/conv/BiasAdd becomes conv/BiasAdd."""
    flat = flatbuffer.unpack(data)
    for tensor in flat.subgraphs[0].tensors:
        tensor.name = flatbuffer.text(tensor.name).replace(f"{_SCOPE}_1/", "")
    return flatbuffer.pack(flat)


def _custom_layers(model: "keras.Model") -> list[str]:
    return [
        f"{layer.name} ({type(layer).__name__})"
        for layer in model.layers
        if not type(layer).__module__.startswith(("keras.", "tflite."))
    ]


def _ask_for_int16(converter: "tf.lite.TFLiteConverter", form: Form) -> None:
    import tensorflow as tf

    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    converter.inference_input_type = tf.as_dtype(form.input_type)
    converter.inference_output_type = tf.as_dtype(form.output_type)


def _calibrate(converter: "tf.lite.TFLiteConverter", model: "keras.Model") -> bytes:
    """A float file whose tensors carry the ranges that the calibration images gave them.

    The route of TensorFlow's own QuantizationDebugger.
    """
    converter._experimental_calibrate_only = True
    return _run(converter, model)


def _quantize(calibrated: bytes, image: ImageInput | None, form: Form) -> bytes:
    """The calibrated file, quantized by TensorFlow: weights per channel, biases int32."""
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    if image is not None:
        calibrated = _with_input_range(calibrated, *image.of_file.range)
    with _quiet():
        quantized = mlir_quantize(
            widen_for_additions(calibrated),
            input_data_type=tf.as_dtype(form.input_type),
            output_data_type=tf.as_dtype(form.output_type),
        )
    quantized = bytes(quantized)
    _check_fully_integer(quantized)
    return quantized if image is None else _with_exact_input(quantized, image.of_file)


def _with_input_range(data: bytes, low: float, high: float) -> bytes:
    """The calibrated file with the input's range as it is defined, not as images happened to be.

    Only tensors that hold the input's own values change, so the ranges of all layers stay those
    of the calibration images.
    """
    flat = flatbuffer.unpack(data)
    graph = flat.subgraphs[0]
    for index in flatbuffer.tensors_with_the_range_of(flat, graph.inputs[0]):
        quantization = graph.tensors[index].quantization
        quantization.min = np.asarray([low], np.float32)
        quantization.max = np.asarray([high], np.float32)
    return flatbuffer.pack(flat)


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


def _check_fully_integer(data: bytes) -> None:
    flat = flatbuffer.unpack(data)
    graph = flat.subgraphs[0]
    ends = {int(i) for i in (*graph.inputs, *graph.outputs)}
    left = {
        flatbuffer.operator_name(flat, operator)
        for operator in graph.operators
        for index in operator.outputs
        if int(index) not in ends and flatbuffer.type_name(graph.tensors[index]) == "float32"
    } - {"QUANTIZE", "DEQUANTIZE"}
    if left:
        raise ValueError(
            f"these operators have no int8 form and stay float32: {', '.join(sorted(left))}. "
            "Replace the layers that make them, or convert with precision='float16' or 'dynamic'."
        )
