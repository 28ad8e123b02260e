"""TensorFlow's quantizer, which this project uses, beside litert-quantizer, on the same networks.

    python benchmarks/quantization_engines.py

Networks of the zoo in their coral form at 64×64, with random weights; minima and maxima of 24
pictures of blots, judged on 16 others. Prints each file's SQNR beside Keras in dB, its operators,
the share of multiply-adds that the Edge TPU would take, and CPU seconds.
"""

import sys
import time

import numpy as np
from absl import app, flags, logging
from quantization_peers import litert_quantized, run_tflite

FLAGS = flags.FLAGS
flags.DEFINE_multi_string(
    "networks",
    [
        "mobilenet_v1_025",
        "mobilenet_v2_035",
        "mobilenet_v3_small",
        "mobilenet_v3_large_075",
        "mobilenet_edgetpu",
        "squeezenet1_1",
        "shufflenet_v1",
        "shufflenet_v2_x0_5",
    ],
    "Names of the catalogue.",
)
flags.DEFINE_multi_enum(
    "algorithms",
    ["MIN_MAX_UNIFORM_QUANT", "MSE", "OCTAV"],
    ["MIN_MAX_UNIFORM_QUANT", "MSE", "OCTAV", "GPTQ", "OSCAR"],
    "Of litert-quantizer.",
)
SIZE = 64


def pictures(count: int, seed: int) -> np.ndarray:
    """Smooth coloured blots in -1 .. 1."""
    import keras

    coarse = np.random.default_rng(seed).uniform(-1, 1, (count, 6, 6, 3)).astype(np.float32)
    return np.asarray(keras.ops.image.resize(coarse, (SIZE, SIZE), "bicubic")).clip(-1, 1)


def enliven(model) -> None:
    """He-normal kernels, batch norm near the identity: outputs that depend on the input."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            kind, shape = weight.path.split("/")[-1], tuple(weight.shape)
            if kind == "kernel":
                inputs = shape[:2] if "Depthwise" in type(layer).__name__ else shape[:-1]
                value = rng.normal(0, np.sqrt(2 / np.prod(inputs)), shape)
            elif kind in ("gamma", "moving_variance"):
                value = rng.uniform(0.7, 1.3, shape)
            else:
                value = rng.normal(0, 0.1, shape)
            weight.assign(value.astype(np.float32))


def described(data: bytes, expected: np.ndarray, judging: np.ndarray, spent: float) -> str:
    import tflite

    error = np.square(expected - run_tflite(data, judging)).sum()
    verdict = tflite.check_edgetpu(data)
    return (
        f"{10 * np.log10(np.square(expected).sum() / error):5.1f} dB  "
        f"{len(tflite.inspect(data).operations):3d} operators  "
        f"{verdict.mapped_share:4.0%} of the MACs on the Edge TPU  {spent:4.1f} s"
    )


def main(_) -> None:
    import slimnets
    import tflite
    from tflite.rewriting import simplify_for_deployment

    logging.set_verbosity(logging.ERROR)
    images, judging = pictures(24, 1), pictures(16, 2)
    for name in FLAGS.networks:
        model = slimnets.create_model(
            name, input_shape=(SIZE, SIZE, 3), num_classes=10, prediction_fn=None
        )
        enliven(model)
        expected = np.asarray(model(judging, training=False))
        start = time.process_time()
        data = tflite.convert(model, target="coral", calibration=images, effort="fast").bytes
        spent = time.process_time() - start
        found = described(data, expected, judging, spent)
        print(f"{name:24} {'TensorFlow':22} {found}", flush=True)
        deployed = simplify_for_deployment(model, "coral", "int8")
        floats = tflite.convert(deployed, precision="float32", optimize=False).bytes
        for algorithm in FLAGS.algorithms:
            start = time.process_time()
            try:
                data = litert_quantized(floats, images, algorithm)
                found = described(data, expected, judging, time.process_time() - start)
            except ModuleNotFoundError as error:
                sys.exit(f"litert-quantizer is not installed: {error}")
            except (RuntimeError, ValueError) as error:
                found = f"fails: {str(error).splitlines()[0][:60]}"
            print(f"{name:24} {algorithm:22} {found}", flush=True)


if __name__ == "__main__":
    app.run(main)
