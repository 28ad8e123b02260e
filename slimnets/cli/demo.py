"""Shows the whole way on handwritten digits, in about two minutes and without a download.

Usage: slimnets demo [--out=demo]

Trains a small MobileNetV1, converts it to float16, to int8 for Android and to int8 for Coral,
measures every file on the whole test set and writes one page about it: report.html.

Example:
  slimnets demo --out=/tmp/demo
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags, logging
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from slimnets.cli import UsageError, recipes, running
from slimnets.cli.command_flags import Flags
from slimnets.cli.heartbeat import heartbeat
from tflite.targets import TARGETS

if TYPE_CHECKING:
    import numpy as np

    from slimnets.evaluation import KerasFile
    from tflite.measuring.timing import Timing

#         name            precision  target
_FILES = (
    ("float16", "float16", "android"),
    ("int8", "int8", "android"),
    ("int8_coral", "int8", "coral"),
)
_SAMPLES = 20
_ABOUT_TIMES = (
    "ms: median of one image and where 8 of 10 lie; the .tflite files by turns on one CPU thread. "
    "–: made for the Edge TPU, which is not here."
)


def define_flags(define: Flags) -> None:
    define.string("out", "demo", "folder for the results")
    define.config_file(
        "config",
        str(recipes.find("digits")),
        "the recipe; --config.field=value changes a field",
    )


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if args:
        raise UsageError(f"demo takes no arguments, got {args[0]!r}")
    config = running.loaded_config(options)
    with heartbeat():
        return _show(config, options.out, console)


def _show(config: ConfigDict, folder: str, console: Console) -> dict[str, Any]:
    start = time.monotonic()
    logging.info("loading TensorFlow")
    running.start_keras()
    from slimnets import data, evaluation, report
    from slimnets.training import results
    from slimnets.training.loop import train
    from tflite.measuring.timing import time_calls

    out = results.check_folder(folder, "--out")
    logging.info("training: %d epochs; building the network and its first step", config.epochs)
    training = train(config, out, resume=False)  # a demo shows all of it
    logging.info("trained: best epoch %d; timing it", training["best_epoch"])
    trained = evaluation.open_keras(training["checkpoint"])
    model = trained.model
    source = data.load(config.data.source)
    calibration = data.calibration_images(source.name, trained.preprocessing)

    image = calibration[:1]
    (latency,) = time_calls([lambda: model.predict_on_batch(image)], runs=30)
    keras_file = _measure(Path(training["checkpoint"]), "Keras float32", source, latency)
    _convert(trained, calibration, source.class_names, out)
    logging.info("timing the files by turns")
    latencies = _latencies(out)
    files = [
        _measure(out / _file_name(name), f"{precision}, {target}", source, latencies.get(name))
        for name, precision, target in _FILES
    ]
    logging.info("writing the report")
    by_file = files[1]
    page = out / "report.html"
    seconds = time.monotonic() - start
    report.write_report(
        page,
        title="MobileNetV1 on handwritten digits",
        summary=f"{config.model.name}, {model.input_shape[1]}×{model.input_shape[2]} "
        f"pixels, {model.count_params():,} parameters; trained, converted and measured in "
        f"{seconds:.0f} seconds.",
        class_names=source.class_names,
        training=training,
        reference=keras_file,
        files=files,
        confusion_of=by_file,
        samples=_samples(by_file, source),
    )
    console.print(_table([keras_file, *files]))
    console.print(f"\n{_ABOUT_TIMES}", soft_wrap=True)
    console.print(f"\n{seconds:.0f} s. The report: {page.resolve()}", soft_wrap=True)
    return {
        "report": str(page.resolve()),
        "seconds": round(seconds, 1),
        "training": training,
        "files": [file.to_dict() for file in (keras_file, *files)],
    }


def _convert(
    trained: KerasFile, calibration: np.ndarray, class_names: Sequence[str], out: Path
) -> None:
    import tflite

    for name, precision, target in _FILES:
        logging.info("converting: %s for %s, then a check beside Keras", precision, target)
        tflite.convert(
            trained.model,
            out / _file_name(name),
            precision=precision,
            target=target,
            calibration=calibration,
            preprocessing=trained.preprocessing,
            labels=class_names,
        )


def _file_name(name: str) -> str:
    return f"digits_{name}.tflite"


def _latencies(out: Path) -> dict[str, Timing]:
    """The files' times by name, without those whose device is not this processor."""
    from tflite.measuring.timing import invocation, time_calls

    names = [name for name, _, target in _FILES if not TARGETS[target].runs_on_edgetpu]
    calls = [invocation((out / _file_name(name)).read_bytes()) for name in names]
    return dict(zip(names, time_calls(calls, warm_up=20, runs=200), strict=True))


def _measure(path: Path, name: str, source, latency: Timing | None):
    from slimnets import evaluation, report

    logging.info("evaluating: %s", path.name)
    return report.FileResult(
        name,
        str(path),
        path.stat().st_size,
        evaluation.evaluate(path, source, "test"),
        None if latency is None else latency.median,
        _ends(path),
        None if latency is None else (latency.p10, latency.p90),
    )


def _ends(path: Path) -> str:
    """The types that a .tflite file takes and gives."""
    if path.suffix == ".keras":
        return "as trained"
    from tflite.litert import open_interpreter

    interpreter = open_interpreter(path.read_bytes())
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    return f"{entry['dtype'].__name__} → {exit_['dtype'].__name__}"


def _samples(file, source) -> list:
    import numpy as np

    from slimnets import evaluation, report

    _, images = source.split("test")
    # Stable: the mistakes come first, then the others as they stand.
    chosen = images.select(np.argsort(file.evaluation.predicted == images.labels, kind="stable"))
    chosen = chosen.select(np.arange(_SAMPLES))
    scores = evaluation.open_classifier(file.path).probabilities(list(chosen.images))
    return [
        report.Sample(
            pixels,
            source.class_names[label],
            source.class_names[row.argmax()],
            float(row.max()),
        )
        for pixels, label, row in zip(chosen.images, chosen.labels, scores, strict=True)
    ]


def _table(files: list) -> Table:
    table = Table("file", "top-1", "top-5", "KiB", "ms (p10–p90)", "ends", box=None, pad_edge=False)
    for column in table.columns[1:5]:
        column.justify = "right"
    for file in files:
        table.add_row(
            Path(file.path).name,
            f"{file.evaluation.top1:.2%}",
            f"{file.evaluation.top5:.2%}",
            f"{file.size_bytes / 1024:,.0f}",
            _milliseconds(file),
            file.note,
        )
    return table


def _milliseconds(file) -> str:
    if file.latency_ms is None:
        return "–"
    p10, p90 = file.latency_range_ms
    return f"{file.latency_ms:.3f} ({p10:.3f}–{p90:.3f})"
