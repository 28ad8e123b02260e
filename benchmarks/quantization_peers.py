"""Full int8 by other tools, as their guides show it: what a benchmark puts beside this project's.

Each route takes a Keras model and calibration images in its input space, and gives a function from
images to outputs. Tools that are not installed raise `ModuleNotFoundError`; whoever measures names
them. What they need, none of which this project does:

    pip install litert-quantizer==0.11.0 onnxruntime onnx
    pip install --no-deps tf2onnx==1.17.0

Why litert-quantizer 0.11, TensorFlow's successor, is not the engine (tflite/quantizing/engine.py):
with minima and maxima, on the coral form of eight networks at 64×64 with random weights
(quantization_engines.py), its files had 1.0 dB more than TensorFlow's for MobileNetV3-Large 0.75
(7.2 beside 6.2) and 0.3 to 8.8 dB less for V1, V2, V3-Small, EdgeTPU, SqueezeNet, ShuffleNetV1 and
V2. (TensorFlow's quantizer was timed only as part of a whole conversion: no figure of speed.) And:

- every operator stays at version 1, whose definition knows no int8 (CONV_2D has it from 3 on), and
  weights lie behind the flatbuffer, where no compiler of 2021 looks for them;
- it calibrates by itself: the input's range would be what images gave, not camera bytes exactly;
- MSE knows convolutions and dense layers only: additions and products stay float, with up to 136
  operators more; OCTAV refuses h-swish's constants, GPTQ and OSCAR these files altogether.

It can take the place of `engine.quantize` when it writes versions and takes ranges as given.
"""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]


def by_tensorflow(model, images: np.ndarray) -> Run:
    """TensorFlow's converter; the ends stay float."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    # TensorFlow tells the model's signature on standard output.
    with contextlib.redirect_stdout(sys.stderr):
        return partial(run_tflite, bytes(converter.convert()))


def by_litert_quantizer(model, images: np.ndarray, algorithm: str) -> Run:
    """litert-quantizer's static recipe, on this project's float file, which it is quickest with."""
    import litert_quantizer  # noqa: F401  # before the work, if it is missing

    import tflite

    file = tflite.convert(model, precision="float32").bytes
    return partial(run_tflite, litert_quantized(file, images, algorithm))


def by_onnx_runtime(model, images: np.ndarray, method: str) -> Run:
    """ONNX Runtime's static quantization, weights per channel, in QDQ form."""
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        whole, ready, small = (str(Path(folder) / f"{n}.onnx") for n in ("float", "ready", "int8"))
        _onnx(model, whole)
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            small,
            _Reader(images),
            per_channel=True,
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=getattr(quantization.CalibrationMethod, method),
        )
        session = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> np.ndarray:
        parts = [session.run(None, {"image": image[np.newaxis]})[0] for image in images]
        return np.concatenate(parts)

    return run


# Those of litert-quantizer 0.11's algorithms that make a static file of a convolutional network.
ROUTES: Mapping[str, Callable[[Any, np.ndarray], Run]] = MappingProxyType(
    {
        "TensorFlow's converter": by_tensorflow,
        **{
            f"litert-quantizer, {algorithm}": partial(by_litert_quantizer, algorithm=algorithm)
            for algorithm in ("MIN_MAX_UNIFORM_QUANT", "MSE", "OCTAV")
        },
        **{
            f"ONNX Runtime, {method}": partial(by_onnx_runtime, method=method)
            for method in ("MinMax", "Entropy", "Percentile")
        },
    }
)


def litert_quantized(file: bytes, images: np.ndarray, algorithm: str) -> bytes:
    """A float file's static int8 form by litert-quantizer, int8 at the ends."""
    from litert_quantizer import quantizer, recipe
    from litert_quantizer.algorithm_manager import AlgorithmName

    plan = recipe.static_wi8_ai8(algorithm_key=AlgorithmName[algorithm])
    work = quantizer.Quantizer(bytearray(file), plan)
    data = {"serving_default": [{"image": image[np.newaxis]} for image in images]}
    with contextlib.redirect_stdout(sys.stderr):
        found = work.quantize(work.calibrate(data, num_threads=2))
    return bytes(found.quantized_model)


def run_tflite(data: bytes, images: np.ndarray) -> np.ndarray:
    """LiteRT's outputs for images in the file's input space, quantized for integer ends."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (reads,), (writes,) = interpreter.get_input_details(), interpreter.get_output_details()
    kind, (step, zero) = reads["dtype"], reads["quantization"]
    if kind != np.float32:
        limits = np.iinfo(kind)
        images = np.clip(np.rint(images / step) + zero, limits.min, limits.max)
    outputs = []
    for image in images:
        interpreter.set_tensor(reads["index"], image[np.newaxis].astype(kind))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(writes["index"])[0])
    found = np.stack(outputs)
    step, zero = writes["quantization"]
    return found if found.dtype == np.float32 else (found - np.float32(zero)) * np.float32(step)


def _onnx(model, path: str) -> None:
    import tensorflow as tf
    import tf2onnx

    spec = tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32, name="image")
    function = tf.function(lambda image: model(image, training=False), input_signature=[spec])
    tf2onnx.convert.from_function(function, [spec], opset=17, output_path=path)


class _Reader:
    """Calibration images as ONNX Runtime reads them."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = self._all(images)

    @staticmethod
    def _all(images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        return ({"image": image[np.newaxis]} for image in images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._images, None)
