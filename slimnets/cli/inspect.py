"""Shows what is inside a .tflite file and how LiteRT would run it.

Usage: slimnets inspect FILE.tflite [--edgetpu] [--picture=FILE.png]
       slimnets inspect FILE.tflite --against=MODEL.keras --images=SOURCE [--picture=FILE.png]

Operators and their versions, types and quantization of both ends, metadata, the partitions that
XNNPACK takes and what stays outside them, memory. --edgetpu adds what Coral's compiler would map;
--picture times every operator and draws MACs, bytes and time as bars.

--against runs an int8 file beside the Keras model that it was made from, on images of a folder or
of another data source, and tells for each layer how exact it is, what of that was lost in it, its
range and how much of it is used; --picture then draws these.

Example:
  slimnets inspect mobilenet_v2_int8.tflite --edgetpu --picture=costs.png
  slimnets inspect photos_int8.tflite --against=best.keras --images=folder:photos
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags


def define_flags(define: Flags) -> None:
    define.boolean("edgetpu", False, "add what the Edge TPU compiler would map")
    define.string("against", None, "the .keras file that the int8 file was made from")
    define.string("images", None, "for --against: what both are run on")
    define.string("picture", None, "PNG file for the cost of every operator, or for --against")


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) != 1:
        raise UsageError(f"inspect takes one .tflite file, got {len(args)}")
    if bool(options.against) != bool(options.images):
        raise UsageError("--against=MODEL.keras and --images=SOURCE go together")
    (path,) = args
    if options.against:
        running.start_keras()
    import tflite

    report = tflite.inspect(path)
    _print(console, f"{path}: {report}")
    result = {"file": path, **report.as_dict()}
    if options.edgetpu:
        verdict = tflite.check_edgetpu(path)
        _print(console, f"\n{verdict}")
        result["edgetpu"] = verdict.as_dict()
    if options.against:
        result["layers"] = _compare(path, options, console)
    elif options.picture:
        result["costs"] = _draw(path, options.picture, console)
    return result


def _compare(path: str, options: flags.FlagValues, console: Console) -> list[dict[str, Any]]:
    from slimnets.data import calibration_images
    from slimnets.evaluation import open_keras
    from tflite.files.writing import check_writable
    from tflite.measuring.diagnosis import MOST_IMAGES, quantization_report

    if options.picture:
        check_writable(options.picture)
    file = open_keras(options.against)
    images = calibration_images(options.images, file.preprocessing, MOST_IMAGES)
    report = quantization_report(file.model, path, images)
    _print(console, f"\n{report}")
    if options.picture:
        _print(console, f"\n{report.plot(options.picture)}")
    return [dataclasses.asdict(layer) for layer in report.layers]


def _draw(path: str, picture: str, console: Console) -> dict[str, Any]:
    from tflite.files.writing import check_writable
    from tflite.measuring.costs import measure_costs, plot_costs

    check_writable(picture)  # Before half a minute of timing, not after it.
    costs = measure_costs(path)
    plot_costs(costs, picture, os.path.basename(path))
    _print(console, f"\n{picture}: {costs.milliseconds:.2f} ms an inference on one thread")
    return {"picture": picture, **dataclasses.asdict(costs)}


def _print(console: Console, text: str) -> None:
    # The tables are laid out already, and brackets in tensor names are not rich's markup.
    console.print(text, markup=False, highlight=False, soft_wrap=True)
