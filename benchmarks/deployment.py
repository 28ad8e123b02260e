"""How fast converted networks run, side by side with the routes that others take.

    python benchmarks/deployment.py                        # everything (about 20 minutes)
    python benchmarks/deployment.py --sections=v3          # MobileNetV3 in int8 only

Four sections, each a table of ratios:

- v3: int8 MobileNetV3 against the standard route (the keras.applications model given to
  TensorFlow's converter as it is) and against its own float32 file;
- zoo: every network in float32, float16 and int8 against the better of the standard route and its
  keras.applications twin by that route;
- shuffle: ShuffleNetV2 as built here against the same network with transposes, the latter by the
  standard route and by this project's converter (only the network's form differs then); and, as
  the least that any form can take, the same convolutions without moving a channel;
- conversion: time and peak memory of converting MobileNetV2, and what maps on the Edge TPU.

The files of one comparison run in one process, one thread, by turns, so that whatever else the
machine does hits them alike; a ratio is one of medians. Weights and calibration images are random,
batch normalization has the statistics of these images: as in a trained network, no activation fades
away.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_multi_enum(
    "sections",
    ["v3", "zoo", "shuffle", "conversion"],
    ["v3", "zoo", "shuffle", "conversion"],
    "Which tables to print.",
)
flags.DEFINE_integer("turns", 60, "Timed invocations of every file.", lower_bound=3)
flags.DEFINE_integer("size", 224, "Height and width of the images.", lower_bound=32)
flags.DEFINE_bool("json", False, "Print one JSON object instead of tables.")
flags.DEFINE_enum("measure_conversion", None, ["ours", "bare"], "For internal use.")

# Our name, and its twin in keras.applications (None: it has none).
NETWORKS = {
    "mobilenet_v1": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_large": "MobileNetV3Large",
    "mobilenet_v3_small": "MobileNetV3Small",
    "mobilenet_edgetpu": None,
    "squeezenet1_0": None,
    "squeezenet1_1": None,
    "shufflenet_v1": None,
    "shufflenet_v2": None,
}


@dataclass(frozen=True)
class Row:
    """One ratio: what it compares, how large it is, how large it may be."""

    section: str
    what: str
    ratio: float
    limit: float
    note: str

    @property
    def verdict(self) -> str:
        return "yes" if self.ratio <= self.limit else "NO"


# --- Networks and routes -------------------------------------------------------------------------


def ours(name: str):
    import slimnets

    return settle(slimnets.create_model(name, input_shape=(FLAGS.size, FLAGS.size, 3)))


def twin(name: str):
    """The same network by keras.applications, without a Rescaling layer: pixels in [-1, 1]."""
    import keras

    options = {"include_preprocessing": False} if "V3" in name else {}
    build = getattr(keras.applications, name)
    return settle(build(weights=None, input_shape=(FLAGS.size, FLAGS.size, 3), **options))


def settle(model):
    """The model with every batch normalization's statistics those of the images."""
    from slimnets.benchmark.fresh_files import settled

    return settled(model, images())


def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (8, FLAGS.size, FLAGS.size, 3)).astype(np.float32)


def convert(model, precision: str, target: str = "android") -> bytes:
    """By this project's converter."""
    import tflite

    file = tflite.convert(
        model, precision=precision, target=target, calibration=images(), effort="fast"
    )
    return file.bytes


def convert_bare(model, precision: str) -> bytes:
    """By TensorFlow's converter as its guide shows it: the standard route."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ([image[None]] for image in images())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    with contextlib.redirect_stdout(sys.stderr):  # it prints every variable of the model
        return converter.convert()


def shufflenet_v2_of_layers(shuffled: bool = True):
    """ShuffleNetV2 as the paper draws it: split, concatenate, shuffle by reshape and transpose.

    Not `shuffled`, it has the same convolutions in a row and moves no channel: another function,
    and the least time that any form of the network can take.
    """
    import keras
    from keras import layers

    def convolve(x, filters, kernel, strides=1, relu=True):
        depthwise = filters is None
        if kernel > 1 and strides == 2:
            x = layers.ZeroPadding2D(kernel // 2)(x)
        options = {"padding": "valid" if strides == 2 else "same", "use_bias": False}
        if depthwise:
            x = layers.DepthwiseConv2D(kernel, strides, **options)(x)
        else:
            x = layers.Conv2D(filters, kernel, strides, **options)(x)
        x = layers.BatchNormalization(epsilon=1e-5)(x)
        return layers.ReLU()(x) if relu else x

    def branch(x, filters, strides):
        x = convolve(x, filters, 1)
        return convolve(convolve(x, None, 3, strides, relu=False), filters, 1)

    def unit(x, depth, strides):
        half = depth // 2
        if strides == 2:
            left = convolve(convolve(x, None, 3, 2, relu=False), half, 1)
            right = branch(x, half, 2)
        else:
            left, right = x[..., :half], branch(x[..., half:], half, 1)
        x = layers.Concatenate()([left, right])
        height, width, _ = x.shape[1:]
        x = layers.Reshape((height, width, 2, half))(x)
        return layers.Reshape((height, width, depth))(layers.Permute((1, 2, 4, 3))(x))

    inputs = keras.Input((FLAGS.size, FLAGS.size, 3))
    x = convolve(inputs, 24, 3, 2)
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for depth, units in ((116, 4), (232, 8), (464, 4)):
        for index in range(units):
            x = unit(x, depth, 1 if index else 2) if shuffled else x
        if not shuffled:
            half = depth // 2
            left, x = convolve(convolve(x, None, 3, 2, relu=False), half, 1), branch(x, half, 2)
            for _ in range(units - 1):
                x = branch(x, half, 1)
            x = layers.Concatenate()([left, x])
    x = layers.GlobalAveragePooling2D()(convolve(x, 1024, 1))
    return settle(keras.Model(inputs, layers.Dense(1000, activation="softmax")(x)))


# --- Measuring -----------------------------------------------------------------------------------


def race(files: dict[str, bytes]) -> dict[str, float]:
    """Median milliseconds of each file, run by turns on one thread."""
    from tflite.measuring.timing import invocation, time_calls

    timings = time_calls([invocation(data) for data in files.values()], runs=FLAGS.turns)
    return {name: timing.median for name, timing in zip(files, timings, strict=True)}


def describe(data: bytes) -> str:
    """Its partitions under XNNPACK, and what runs outside them."""
    import tflite

    report = tflite.inspect(data)
    outside = [report.operations[index].name for index in report.runtime.outside]
    count = len(report.runtime.partitions)
    pieces = f"{count} partition{'s' if count != 1 else ''}"
    return f"{pieces}; outside: {', '.join(sorted(set(outside))) or 'nothing'}"


def v3_rows() -> Iterator[Row]:
    for name in ("mobilenet_v3_large", "mobilenet_v3_small"):
        model = ours(name)
        files = {
            "int8": convert(model, "int8"),
            "float32": convert(model, "float32"),
            "standard": convert_bare(twin(NETWORKS[name]), "int8"),
        }
        ms = race(files)
        for rival, limit in (("standard", 0.45), ("float32", 1.0)):
            note = f"{ms['int8']:.2f} / {ms[rival]:.2f} ms; {describe(files['int8'])}"
            yield Row("v3", f"{name} int8 / {rival}", ms["int8"] / ms[rival], limit, note)


def zoo_rows() -> Iterator[Row]:
    for name, application in NETWORKS.items():
        model = ours(name)
        for precision in ("float32", "float16", "int8"):
            files = {"ours": convert(model, precision), "standard": convert_bare(model, precision)}
            if application is not None:
                files["twin"] = convert_bare(twin(application), precision)
            ms = race(files)
            best = min((rival for rival in ms if rival != "ours"), key=ms.__getitem__)
            note = f"{ms['ours']:.2f} / {ms[best]:.2f} ms ({best}); {describe(files['ours'])}"
            yield Row("zoo", f"{name} {precision}", ms["ours"] / ms[best], 1.02, note)


def shuffle_rows() -> Iterator[Row]:
    transposing = shufflenet_v2_of_layers()
    nothing_moved = shufflenet_v2_of_layers(shuffled=False)
    for precision, limit in (("float32", 0.85), ("int8", 0.7)):
        files = {
            "ours": convert(ours("shufflenet_v2"), precision),
            "transposes, standard": convert_bare(transposing, precision),
            "transposes, ours": convert(transposing, precision),
            "nothing moved": convert(nothing_moved, precision),
        }
        ms = race(files)
        for mine in ("ours", "nothing moved"):
            for rival in ("transposes, standard", "transposes, ours"):
                note = f"{ms[mine]:.2f} / {ms[rival]:.2f} ms; {describe(files[mine])}"
                what = f"shufflenet_v2 {precision}: {mine} / {rival}"
                yield Row("shuffle", what, ms[mine] / ms[rival], limit, note)


def conversion_rows() -> Iterator[Row]:
    import tflite

    for name in NETWORKS:
        report = tflite.check_edgetpu(convert(ours(name), "int8", "coral"))
        share = report.mapped_share
        yield Row("conversion", f"{name} not on the Edge TPU", 1 - share, 0.0, f"{share:.1%} maps")
    costs = {who: _conversion_cost(who) for who in ("bare", "ours")}
    for index, (what, limit) in enumerate((("time", 1.2), ("peak memory", 1.5))):
        mine, bare = (costs[who][index] for who in ("ours", "bare"))
        unit = "s" if what == "time" else "MB"
        note = f"{mine:.1f} / {bare:.1f} {unit}, float32, each in its own process"
        yield Row("conversion", f"mobilenet_v2 {what} / bare", mine / bare, limit, note)


def _conversion_cost(who: str) -> tuple[float, float]:
    """(seconds, peak megabytes) of one conversion in a fresh process."""
    command = [sys.executable, __file__, f"--measure_conversion={who}", f"--size={FLAGS.size}"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(json.loads(run.stdout.splitlines()[-1]))


def measure_conversion(who: str) -> None:
    """What `_conversion_cost` starts: converts once, prints [seconds, peak megabytes]."""
    import slimnets
    import tflite

    # Not settled: that would take more memory than the conversion.
    model = slimnets.create_model("mobilenet_v2", input_shape=(FLAGS.size, FLAGS.size, 3))
    start = time.perf_counter()
    if who == "ours":
        tflite.convert(model, precision="float32")
    else:
        convert_bare(model, "float32")
    seconds = time.perf_counter() - start
    # Not getrusage: that remembers the size of the process that started this one.
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    print(json.dumps([seconds, peak]))


# --- Printing ------------------------------------------------------------------------------------

SECTIONS: dict[str, Callable[[], Iterator[Row]]] = {
    "v3": v3_rows,
    "zoo": zoo_rows,
    "shuffle": shuffle_rows,
    "conversion": conversion_rows,
}


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    # The calibration images are random on purpose; the advice about them would fill the screen.
    logging.set_verbosity(logging.ERROR)
    if FLAGS.measure_conversion:
        measure_conversion(FLAGS.measure_conversion)
        return
    if not FLAGS.json:
        from tflite.measuring.processor import this_processor

        print(this_processor())
    rows = []
    for section in dict.fromkeys(FLAGS.sections):
        for row in SECTIONS[section]():
            rows.append(row)
            if not FLAGS.json:
                line = (
                    f"{row.what:<44}{row.ratio:6.3f}  ≤ {row.limit:<5g}{row.verdict:<5}{row.note}"
                )
                print(line, flush=True)
    if FLAGS.json:
        print(json.dumps([{**asdict(row), "verdict": row.verdict} for row in rows]))


if __name__ == "__main__":
    app.run(main)
