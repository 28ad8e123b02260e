"""Runs Coral's compiler on an int8 .tflite file, where it is installed.

Usage: slimnets compile FILE.tflite [--out=FOLDER] [--min_runtime=N] [--timeout=SECONDS]

Writes FILE_edgetpu.tflite, which a Coral device runs, and the compiler's account FILE_edgetpu.log,
beside FILE or in FOLDER; a failure leaves what is there. `slimnets inspect FILE.tflite --edgetpu`
says beforehand, without the compiler, what it would take. Run the result with
`slimnets evaluate FILE_edgetpu.tflite --delegate=libedgetpu.so.1 --data=…`.

Example:
  slimnets convert best.keras --target=coral --calibration=folder:photos --out=photos.tflite
  slimnets compile photos.tflite
"""

from __future__ import annotations

from typing import Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError
from slimnets.cli.command_flags import Flags


def define_flags(define: Flags) -> None:
    define.string("out", None, "an existing folder for the results; by default FILE's own")
    define.integer("min_runtime", 14, "oldest Edge TPU runtime that must run it, 10 to 14")
    define.float("timeout", 180.0, "seconds after which the compiler is stopped")


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) != 1:
        raise UsageError(f"compile takes one .tflite file, got {len(args)}")
    from tflite.edgetpu.compiler import compile_edgetpu

    made = compile_edgetpu(args[0], options.out, options.timeout, min_runtime=options.min_runtime)
    console.print(f"{made.path}: {made.log.summary}", soft_wrap=True)
    return {"file": args[0], **made.as_dict()}
