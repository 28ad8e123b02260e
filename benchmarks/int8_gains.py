"""What int8 gains on this processor, and what of MobileNetV3 takes it away again.

    python benchmarks/int8_gains.py            # 2 minutes on a quiet machine

Prints float32 and int8 latencies by turns, one thread, of MobileNetV1 and V2 and of MobileNetV3
with h-swish and squeeze-excite as they are, with ReLU instead, without squeeze-excite and with
neither: the rows differ in nothing else. The last column is the ratio int8 / float32 beside V1's.
Weights are random, batch norms have the statistics of the images.
"""

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_integer("turns", 60, "Timed runs of every file.", lower_bound=3)
flags.DEFINE_integer("size", 224, "Height and width of the images.", lower_bound=32)


def forms(table) -> Iterator[tuple[str, list]]:
    """What to call a form of a MobileNetV3, and its table."""
    plain = [
        dataclasses.replace(row, activation="relu") if row.activation == "hard_swish" else row
        for row in table
    ]
    yield "", list(table)
    yield ", ReLU for h-swish", plain
    yield ", no squeeze-excite", [without(row) for row in table]
    yield ", neither", [without(row) for row in plain]


def without(row):
    return dataclasses.replace(row, se=False) if hasattr(row, "se") else row


def networks() -> Iterator[tuple[str, keras.Model]]:
    import slimnets
    from slimnets.nets import mobilenet_v3

    shape = (FLAGS.size, FLAGS.size, 3)
    yield "mobilenet_v1", slimnets.mobilenet_v1(shape)
    yield "mobilenet_v2", slimnets.mobilenet_v2(shape)
    for kind, table in (
        ("small", mobilenet_v3.MOBILENET_V3_SMALL_DEFS),
        ("large", mobilenet_v3.MOBILENET_V3_LARGE_DEFS),
    ):
        build = getattr(slimnets, f"mobilenet_v3_{kind}")
        for name, rows in forms(table):
            yield f"mobilenet_v3_{kind}{name}", build(shape, conv_defs=rows)


def main(_: list[str]) -> None:
    import slimnets
    import tflite
    from slimnets.benchmark.fresh_files import settled
    from tflite.measuring.processor import this_processor
    from tflite.measuring.timing import invocation, time_calls

    logging.set_verbosity(logging.ERROR)
    images = np.random.default_rng(0).uniform(-1, 1, (16, FLAGS.size, FLAGS.size, 3))
    images = images.astype(np.float32)
    print(f"{this_processor()}; one thread, {FLAGS.size}×{FLAGS.size}")
    print(f"{'':<42}  {'MMACs':>6}  {'float32':>8}  {'int8':>8}  {'ratio':>6}  {'/ V1':>5}")
    first = None
    for name, model in networks():
        settled(model, images)
        files = [
            tflite.convert(model, precision=p, target="cpu", calibration=images, effort="fast")
            for p in ("float32", "int8")
        ]
        long, short = time_calls([invocation(file.bytes) for file in files], runs=FLAGS.turns)
        ratio = short.median / long.median
        first = first or ratio
        macs = slimnets.complexity(model).macs / 1e6
        times = f"{long.median:5.2f} ms  {short.median:5.2f} ms"
        print(f"{name:<42}  {macs:6.0f}  {times}  {ratio:6.2f}  {ratio / first:5.2f}", flush=True)


if __name__ == "__main__":
    app.run(main)
