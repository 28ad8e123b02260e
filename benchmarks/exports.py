"""Every network of the catalogue as ONNX, and how far ONNX Runtime is from Keras.

    python benchmarks/exports.py                      # all, at 64 pixels: half an hour
    python benchmarks/exports.py --pattern='mobile*' --opset=13
    python benchmarks/exports.py --size=0             # each at its own size

The greatest difference of one and of five images' outputs, over the greatest output; weights are
random, with batch norms that have the statistics of noise. A file that is 1e-4 off, or that
onnx.checker does not take, is an error of `export_onnx`.
"""

import tempfile
import time

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("pattern", "*", "Which networks.")
flags.DEFINE_integer("size", 64, "Height and width of the images; 0: each network's own.")
flags.DEFINE_integer("opset", 17, "Of ONNX's operators.")


def main(argv: list[str]) -> None:
    import slimnets
    from slimnets.benchmark.fresh_files import settled
    from slimnets.export.to_onnx import export_onnx

    failed = []
    for name in slimnets.list_models(FLAGS.pattern):
        info = slimnets.model_info(name)
        size = FLAGS.size or info.size
        logits = {"prediction_fn": None} if info.task == "classify" else {}
        model = slimnets.create_model(name, input_shape=(size, size, 3), **logits)
        rng = np.random.default_rng(0)
        images = rng.uniform(-1, 1, (8, size, size, 3)).astype(np.float32)
        settled(model, images)
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                made = export_onnx(model, f"{folder}/net.onnx", opset=FLAGS.opset)
            except (ValueError, RuntimeError) as error:
                failed.append(name)
                print(f"{name:<28}FAILED: {error}", flush=True)
                continue
        nodes = sum(made.operators.values())
        seconds = time.monotonic() - start
        print(f"{name:<28}{made.error:8.1e}{nodes:6} operators{seconds:6.0f} s", flush=True)
    print(f"{len(failed)} failed")


if __name__ == "__main__":
    app.run(main)
