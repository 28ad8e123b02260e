"""Turns a .keras file into a .tflite file for a device.

Usage: slimnets convert FILE --out=FILE.tflite [--precision=…] [--target=…] [--calibration=SOURCE]

int8 and int16x8 need calibration images: a folder of them, folder:PATH, or another data source,
of which training images are taken. How images are prepared and what the classes are called is said
by FILE's .json (best.json beside best.keras), which train and import-weights write. Where there is
none, the first is what published weights that fit FILE were given, if they agree, else an error;
class names come from labels.txt beside FILE. --like (a network's or weights' name) and --labels say
otherwise.

--effort is for the accuracy of an int8 file: fast takes minima and maxima and rounds to nearest;
normal equalizes channels, corrects biases and refits weights, and keeps what helps on calibration
images kept aside (about a minute for MobileNetV2); high fits to mirrored and cut out images, too.

--precision=float32 --sparse leaves out the zeros of a network that was pruned to two thirds or
more: a smaller file, and on Arm a faster one where the network suits XNNPACK's sparse kernels.

--target=coral --compile runs Coral's compiler on the file, where it is installed (see `slimnets
compile --help`).

A detector (slimnets.ssdlite) gets a file that ends in boxes, classes, scores and their count, and
is judged by the objects that it finds; with --nopostprocess codes and scores of all anchors, which
MediaPipe decodes by what the metadata say.

--target=micro writes FILE.h and FILE.cc beside FILE.tflite: the model as a C array, its operators
for TFLite Micro's resolver, the size of the arena, and an input with the output it must give.

Example:
  slimnets convert best.keras --calibration=folder:photos --out=photos_int8.tflite
  slimnets convert best.keras --precision=float16 --out=photos_fp16.tflite
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags, logging
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags
from slimnets.cli.objects import convert_detector
from tflite.files.labels import read_labels
from tflite.keras_models import task_of
from tflite.targets import EFFORTS, PRECISIONS, TARGETS

if TYPE_CHECKING:
    import numpy as np

    from slimnets.evaluation import KerasFile
    from tflite.converter import Conversion

_TYPES = ("int8", "uint8", "float32", "int16")


def define_flags(define: Flags) -> None:
    define.string("out", None, "the file to write")
    define.enum("precision", "int8", PRECISIONS, "arithmetic of the file")
    define.enum("target", "android", list(TARGETS), "the device")
    define.string("calibration", None, "training images")
    define.integer("calibration_images", 100, "how many of them", lower_bound=1)
    define.enum("effort", "normal", EFFORTS, "for the accuracy of an int8 file")
    define.boolean("sparse", False, "float32: without the zeros of a pruned network")
    define.boolean("postprocess", True, "a detector: ends in boxes, not in codes and scores")
    define.string("labels", None, "text file, a class name a line")
    define.enum("input_type", None, _TYPES, "the input's type, else the target's")
    define.enum("output_type", None, _TYPES, "the output's type, else the target's")
    define.boolean("compile", False, "for coral: run edgetpu_compiler on the file too")
    define.string(
        "like",
        None,
        "prepare images as for the network or weights of this name, not as FILE's .json says",
    )


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    _check_usage(args, options)
    running.start_keras()
    from slimnets.data import calibration_images
    from slimnets.evaluation import open_keras
    from slimnets.sidecar import class_count

    file = open_keras(args[0], like=options.like)
    labels = _labels(options.labels, file.labels, args[0], class_count(file.model))
    images = None
    if options.calibration:
        images = calibration_images(
            options.calibration, file.preprocessing, options.calibration_images
        )
    if task_of(file.model) != "detect":
        return _convert(args[0], file, options, images, labels, console)
    if options.compile:
        raise UsageError("--compile is for classifiers; run slimnets compile on the file")
    if options.sparse:
        raise UsageError("--sparse is for classifiers")
    return convert_detector(file.model, options, images, file.preprocessing, labels, console)


def _check_usage(args: list[str], options: flags.FlagValues) -> None:
    """What can be wrong is told before Keras is started, which takes seconds."""
    if len(args) != 1:
        raise UsageError(f"convert takes one model file, got {len(args)}")
    if not options.out:
        raise UsageError("--out is missing, for example --out=model.tflite")
    if options.precision in ("int8", "int16x8") and not options.calibration:
        raise UsageError(f"{options.precision} needs --calibration=FOLDER with training images")
    if options.compile:
        if not TARGETS[options.target].runs_on_edgetpu:
            raise UsageError(f"--compile goes with --target=coral, not {options.target}")
        from tflite.edgetpu.compiler import find_compiler

        find_compiler()  # before minutes of converting, not after them


def _convert(
    path: str,
    file: KerasFile,
    options: flags.FlagValues,
    images: np.ndarray | None,
    labels: tuple[str, ...],
    console: Console,
) -> dict[str, Any]:
    """The file of a classifier or segmenter, compiled if that was asked for."""
    import tflite

    if not options.postprocess:
        raise UsageError("--nopostprocess is for detectors")
    conversion = tflite.convert(
        file.model,
        options.out,
        precision=options.precision,
        target=options.target,
        calibration=images,
        input_type=options.input_type,
        output_type=options.output_type,
        effort=options.effort,
        sparse=options.sparse,
        preprocessing=file.preprocessing,
        labels=labels or None,
    )
    table = _table(conversion, Path(path))
    result = {"path": str(conversion.path), **conversion.report.to_dict()}
    if conversion.firmware is not None:
        result["firmware"] = conversion.firmware.to_dict()
    if options.compile:
        compiled = tflite.compile_edgetpu(conversion.path)
        table.add_row("compiled", f"{compiled.path}: {compiled.log.summary}")
        result["compiled"] = compiled.as_dict()
    console.print(table)
    return result


def _table(conversion: Conversion, before: Path) -> Table:
    """What was made of the file `before`, a line a fact."""
    report = conversion.report
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("file", str(conversion.path))
    table.add_row("form", f"{report.precision} for {report.target}")
    share = report.size / before.stat().st_size
    table.add_row("size", f"{report.size:,} bytes ({share:.0%} of {before.name})")
    table.add_row("operators", ", ".join(f"{n} {name}" for name, n in report.operators.items()))
    if report.rewriting:
        table.add_row("rewritten", report.rewritten)
    if report.quantizing is not None:
        table.add_row("quantized", str(report.quantizing))
    if report.partitions is not None:
        left = ", ".join(f"{n} {name}" for name, n in report.outside.items()) or "nothing"
        plural = "" if report.partitions == 1 else "s"
        table.add_row("XNNPACK", f"{report.partitions} partition{plural}, outside: {left}")
        table.add_row("memory", f"{report.arena_bytes / 1024:,.1f} KiB for activations")
    table.add_row(
        "cost", f"{report.macs / 1e6:,.1f} M MACs, {report.milliseconds:.2f} ms here on one thread"
    )
    if report.edgetpu is not None:
        table.add_row("device", str(report.edgetpu))
    agreement = report.agreement
    table.add_row(
        "agrees with Keras",
        f"top-1 {agreement.top1_agreement:.1%}, SQNR {agreement.sqnr_db:.1f} dB, "
        f"max error {agreement.max_abs_error:.2g} ({agreement.n} images: "
        f"{report.agreement_images})",
    )
    for warning in report.warnings:
        table.add_row(Text("warning", style="yellow"), warning)
    if conversion.firmware is not None:
        table.add_row("firmware", str(conversion.firmware))
    return table


def _labels(given: str | None, beside: tuple[str, ...], file: str, classes: int) -> tuple[str, ...]:
    """The class names: those of --labels, else those beside the model file.

    Raises:
        ValueError: not as many as classes; --labels names the classes of the model's training in
            another order, so that every answer would be called by another's name.
    """
    labels = read_labels(given) if given else beside
    if labels and len(labels) != classes and not (classes == 1 and len(labels) == 2):
        raise ValueError(
            f"{given or f'the text file beside {file}'} names {len(labels)} classes, but the model "
            f"has {classes} outputs."
        )
    if given and labels != beside and sorted(labels) == sorted(beside):
        index = next(i for i in range(classes) if labels[i] != beside[i])
        raise ValueError(
            f"{given} names the classes in another order than what stands beside {file}: output "
            f"{index} would be {labels[index]!r}, but was trained as {beside[index]!r}. Leave out "
            "--labels, or take away the file beside the model if it is not the model's."
        )
    if classes == 1 and len(labels) == 2:
        logging.info("the model's one number is that of %r, the file's only name", labels[1])
        return labels[1:]
    return labels
