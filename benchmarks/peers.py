"""How fast this project's files run beside those that others make of the same networks.

    python benchmarks/peers.py --out=table.md      # about 15 minutes on a quiet machine

For each network and precision, the files race in one process, by turns, on one thread: ours; the
keras.applications twin by `TFLiteConverter` as TensorFlow's guide shows it; the twin by
`model.export(format="litert")` (float32); torchvision's through ONNX Runtime and through
litert-torch, where these are installed (float32). A ratio is one of medians, ours over the best
peer's: below 1, ours is faster. Weights are random, batch norms have the statistics of the images.
The table says on which processor, with which versions and on which day it was made; it is written
anew after every network, so that a run may be ended.
"""

import contextlib
import datetime
import importlib.metadata
import importlib.util
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_string("out", None, "Where to write the table, as Markdown; None: standard output.")
flags.DEFINE_integer("turns", 60, "Timed runs of every file.", lower_bound=3)
flags.DEFINE_integer("size", 224, "Height and width of the images.", lower_bound=32)
flags.DEFINE_list("networks", None, "Of NETWORKS; None: all.")

# Ours, its twin in keras.applications and in torchvision; None: it has none there.
NETWORKS = {
    "mobilenet_v1": ("MobileNet", None),
    "mobilenet_v2": ("MobileNetV2", "mobilenet_v2"),
    "mobilenet_v3_large": ("MobileNetV3Large", "mobilenet_v3_large"),
    "mobilenet_v3_small": ("MobileNetV3Small", "mobilenet_v3_small"),
    "squeezenet1_1": (None, "squeezenet1_1"),
    "shufflenet_v2": (None, "shufflenet_v2_x1_0"),
}
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
VERSIONS = ("tensorflow", "keras", "ai-edge-litert", "torch", "torchvision", "onnxruntime")

Run = Callable[[], object]
_MOST_SPREAD = 2.0


class Row(NamedTuple):
    """One network in one precision: medians in milliseconds, ours and of each peer."""

    network: str
    precision: str
    ms: float
    peers: dict[str, float]
    steady: bool


def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (16, FLAGS.size, FLAGS.size, 3)).astype(np.float32)


def settle(model):
    """The model with every batch normalization's statistics those of the images."""
    from slimnets.benchmark.fresh_files import settled

    return settled(model, images())


def ours(name: str):
    import slimnets

    return settle(slimnets.create_model(name, input_shape=(FLAGS.size, FLAGS.size, 3)))


def twin(name: str):
    import keras

    options = {"include_preprocessing": False} if "V3" in name else {}
    build = getattr(keras.applications, name)
    return settle(build(weights=None, input_shape=(FLAGS.size, FLAGS.size, 3), **options))


def by_guide(model, precision: str) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([image[None]] for image in images())
        sets = tf.lite.OpsSet
        int16 = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        whole = int16 if precision == "int16x8" else sets.TFLITE_BUILTINS_INT8
        converter.target_spec.supported_ops = [whole]
    if precision == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    with contextlib.redirect_stdout(sys.stderr):
        return converter.convert()


def by_export(model) -> bytes:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        model.export(f"{folder}/net.tflite", format="litert")
        return Path(folder, "net.tflite").read_bytes()


def from_torch(name: str, folder: str) -> Path:
    """torchvision's network as files, whose names end in .onnx and .tflite."""
    script = Path(__file__).with_name("torch_peers.py")
    words = [sys.executable, script, name, f"--size={FLAGS.size}", f"--folder={folder}"]
    made = subprocess.run(words, capture_output=True, text=True)
    if made.returncode:  # the other file may be there
        logging.warning("%s: %s", name, made.stderr.strip().splitlines()[-1:])
    return Path(folder, name)


def by_onnx_runtime(file: Path) -> Run:
    from slimnets.onnx_files import OnnxSession

    session = OnnxSession(file.with_suffix(".onnx"), 1)
    image = np.moveaxis(images()[:1], -1, 1).copy()
    return lambda: session.run(image)


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def peers(name: str, precision: str, apart, folder: str) -> dict[str, Run]:
    """What runs the network otherwise; `apart` is its keras.applications twin."""
    from tflite.measuring.timing import invocation

    torch_name = NETWORKS[name][1]
    makers: dict[str, Callable[[], Run]] = {}
    if apart is not None:
        makers["TFLiteConverter"] = lambda: invocation(by_guide(apart, precision))
        if precision == "float32":
            makers["export(litert)"] = lambda: invocation(by_export(apart))
    if torch_name and precision == "float32" and installed("torch", "torchvision"):
        file = from_torch(torch_name, folder)
        if installed("onnxruntime"):
            makers["ONNX Runtime"] = lambda: by_onnx_runtime(file)
        if installed("litert_torch"):
            made = file.with_suffix(".tflite")
            makers["litert-torch"] = lambda: invocation(made.read_bytes())
    found = {}
    for peer, make in makers.items():
        try:
            found[peer] = make()
        except Exception as error:  # whatever a peer's converter raises
            logging.warning("%s %s by %s: %s", name, precision, peer, str(error)[:200])
    return found


def rows() -> Iterator[list[Row]]:
    """Those of all networks that are done, whenever one is."""
    import tflite
    from tflite.measuring.timing import invocation, time_calls

    found: list[Row] = []
    for name in FLAGS.networks or NETWORKS:
        application = NETWORKS[name][0]
        model, apart = ours(name), None if application is None else twin(application)
        for precision in PRECISIONS:
            file = tflite.convert(
                model, precision=precision, target="cpu", calibration=images(), effort="fast"
            )
            with tempfile.TemporaryDirectory() as folder:
                others = peers(name, precision, apart, folder)
            calls = [invocation(file.bytes), *others.values()]
            mine, *theirs = time_calls(calls, runs=FLAGS.turns, most_seconds=60)
            times = {p: t.median for p, t in zip(others, theirs, strict=True)}
            steady = all(t.p90 < _MOST_SPREAD * t.p10 for t in (mine, *theirs))
            found.append(Row(name, precision, mine.median, times, steady))
            logging.info("%s %s: %.2f ms, %s", name, precision, mine.median, times)
        yield found


def table(found: list[Row]) -> str:
    from tflite.measuring.processor import this_processor

    used = []
    for package in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            used.append(f"{package} {importlib.metadata.version(package)}")
    float32 = {row.network: row.ms for row in found if row.precision == "float32"}
    lines = [
        f"{this_processor()}; {', '.join(used)}; {datetime.date.today()}; one thread, "
        f"{FLAGS.size}×{FLAGS.size}, medians of {FLAGS.turns} runs by turns. The machine is "
        "shared: read ratios. One with a ? is of times that were too unsteady (more than "
        f"{_MOST_SPREAD:g} between the 10th and the 90th percentile) and counts in no mean.",
        "",
        "| network | precision | ms | / own float32 | / best peer | peers, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ratios: dict[str, list[float]] = {}
    for row in found:
        ratio, doubt = "–", "" if row.steady else "?"
        if row.peers:
            best = row.ms / min(row.peers.values())
            ratio = f"{best:.2f}{doubt}"
            if row.steady:
                ratios.setdefault(row.precision, []).append(best)
        others = ", ".join(f"{peer} {ms:.2f}" for peer, ms in row.peers.items()) or "none here"
        cells = row.network, row.precision, f"{row.ms:.2f}", f"{row.ms / float32[row.network]:.2f}"
        lines.append(f"| {' | '.join(cells)}{doubt} | {ratio} | {others} |")
    means = {p: math.exp(sum(map(math.log, r)) / len(r)) for p, r in ratios.items()}
    said = ", ".join(f"{precision} {mean:.2f}" for precision, mean in means.items()) or "none"
    return (
        "\n".join([*lines, "", f"Geometric means of the ratios to the best peer: {said}."]) + "\n"
    )


def main(argv: list[str]) -> None:
    from tflite.files.writing import write_bytes

    text = ""
    for found in rows():
        text = table(found)
        if FLAGS.out:
            write_bytes(FLAGS.out, text.encode())
    print(text)


if __name__ == "__main__":
    app.run(main)
