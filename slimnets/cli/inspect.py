"""Shows what is inside a .tflite file and how LiteRT would run it.

Usage: slimnets inspect FILE.tflite [--edgetpu] [--picture=FILE.png]

Operators and their versions, types and quantization of both ends, metadata, the partitions that
XNNPACK takes and what stays outside them, memory. --edgetpu adds what Coral's compiler would map;
--picture times every operator and draws MACs, bytes and time as bars.

Example:
  slimnets inspect mobilenet_v2_int8.tflite --edgetpu --picture=costs.png
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError
from slimnets.cli.command_flags import Flags


def define_flags(define: Flags) -> None:
    define.boolean("edgetpu", False, "add what the Edge TPU compiler would map")
    define.string("picture", None, "PNG file for the cost of every operator")


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) != 1:
        raise UsageError(f"inspect takes one .tflite file, got {len(args)}")
    (path,) = args
    import tflite

    report = tflite.inspect(path)
    _print(console, f"{path}: {report}")
    result = {"file": path, **report.as_dict()}
    if options.edgetpu:
        verdict = tflite.check_edgetpu(path)
        _print(console, f"\n{verdict}")
        result["edgetpu"] = verdict.as_dict()
    if options.picture:
        result["costs"] = _draw(path, options.picture, console)
    return result


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
