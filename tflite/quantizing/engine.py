"""TensorFlow's converter and quantizer: the one place that calls them.

Both are in maintenance, and calibrating and quantizing as separate steps is private to
TensorFlow; whoever replaces them rewrites this file. `write` and `quantize` are all that
the rest knows of it.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tflite import native_output

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

logger = logging.getLogger(__name__)


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


class EngineError(Exception):
    """TensorFlow's converter has no form for the network; one line that says why."""


def write(
    function: "tf.types.experimental.ConcreteFunction",
    model: "keras.Model",
    form: Form,
    calibration: Callable[[], Iterable[np.ndarray]],
) -> bytes:
    """A traced network as the bytes of a .tflite file.

    Args:
        function: of one float32 batch of images.
        model: what the function was traced from; holds its variables.
        form: what to make.
        calibration: gives float32 batches for the function; called for int8 and int16x8 only.

    Returns:
        The file; for int8 a float file whose tensors carry the ranges that calibration gave them,
        which `quantize` takes.

    Raises:
        EngineError: the network cannot be converted.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], trackable_obj=model)
    # Variables become constants at once, without a SavedModel on the way (most of the time that
    # from_keras_model takes); the metadata left out would hold a time stamp.
    converter.experimental_lower_to_saved_model = False
    converter.exclude_conversion_metadata = True
    if form.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if form.precision in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([batch] for batch in calibration())
    if form.precision == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
        converter.inference_input_type = tf.as_dtype(form.input_type)
        converter.inference_output_type = tf.as_dtype(form.output_type)
    if form.precision == "int8":
        # The route of TensorFlow's own QuantizationDebugger.
        converter._experimental_calibrate_only = True
    try:
        with warnings.catch_warnings():
            # "Statistics for quantized inputs were expected": they come from calibration.
            warnings.simplefilter("ignore", UserWarning)
            return bytes(converter.convert())
    except (ConverterError, RuntimeError, ValueError) as error:
        raise EngineError(_reason(error)) from error


def quantize(file: bytes, form: Form, kept: Sequence[str] = ()) -> bytes:
    """A float file whose tensors carry ranges, in int8: weights per channel, biases int32.

    `kept` names the outputs of operators that stay float32.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    with native_output.intercepted(_to_the_debug_log):
        quantized = mlir_quantize(
            file,
            input_data_type=tf.as_dtype(form.input_type),
            output_data_type=tf.as_dtype(form.output_type),
            denylisted_nodes=list(kept) or None,
        )
    return bytes(quantized)


def _reason(error: Exception) -> str:
    """One line without the compiler's own words for where it was."""
    if missing := re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", str(error)):
        return f"TensorFlow Lite has no operator for {', '.join(dict.fromkeys(missing))}"
    if wide := re.search(r"16x8-bit not yet supported for op: '(\w+)'", str(error)):
        return (
            f"TensorFlow Lite has no {wide[1]} of 16-bit activations; precision='int8' or "
            "'float16' takes it"
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _to_the_debug_log(line: str) -> None:
    logger.debug("TensorFlow: %s", line.rstrip())
