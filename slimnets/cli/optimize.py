"""Trains a network on so that it becomes smaller, or exact in int8, and tells what came of it.

Usage: slimnets optimize FILE --method=METHOD --data=SOURCE --out=FILE.keras [--epochs=N]

METHOD is qat (training aware of int8 quantization), prune (zeros instead of the smallest weights),
cluster (few different values a layer), or some of them one after the other: prune-cluster,
prune-qat, cluster-qat, prune-cluster-qat; later steps keep the zeros and the shared values.
SOURCE is what the network was trained on. --epochs are for each step.

Writes FILE.keras, FILE.tflite (int8 with qat, else float32), FILE.report.json and FILE.png:
accuracy, size, size compressed by gzip and latency, before and after. Zeros and shared values make
the compressed file smaller; the file itself and its speed stay what they were.

Example:
  slimnets optimize best.keras --method=qat --data=folder:photos --out=photos_qat.keras
  slimnets optimize best.keras --method=prune --sparsity=0.8 --data=folder:photos --out=small.keras
"""

from __future__ import annotations

from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags
from slimnets.cli.heartbeat import heartbeat
from slimnets.optimization.methods import METHODS
from tflite.targets import TARGETS


def define_flags(define: Flags) -> None:
    define.enum("method", None, list(METHODS), "what to do")
    define.string("data", None, "what the network was trained on, for example folder:photos")
    define.string("out", None, "the .keras file to write")
    define.integer("epochs", 3, "times to go through the images, for each step", lower_bound=1)
    define.string("sparsity", "0.5", "prune: share of the weights that become zero, or 2:4")
    define.integer("clusters", 16, "cluster: different values a layer", lower_bound=2)
    define.float("learning_rate", None, "at the beginning of a step")
    define.enum("target", "android", list(TARGETS), "the device")


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) != 1:
        raise UsageError(f"optimize takes one .keras file, got {len(args)}")
    for flag, example in (("method", "qat"), ("data", "folder:photos"), ("out", "small.keras")):
        if not options[flag].value:
            raise UsageError(f"--{flag} is missing, for example --{flag}={example}")
    sparsity = _sparsity(options.sparsity)
    running.start_keras()
    from slimnets.optimization import optimize

    with heartbeat():
        result = optimize(
            args[0],
            options.out,
            method=options.method,
            source=options.data,
            epochs=options.epochs,
            target=options.target,
            sparsity=sparsity,
            clusters=options.clusters,
            learning_rate=options.learning_rate,
        )
    table = Table("", "top-1", "bytes", "gzip", "ms here", box=None, pad_edge=False)
    table.add_row("as trained", f"{result['trained_top1']:.2%}")
    first = result["rows"][0]
    for row in result["rows"]:
        share = row["gzip_bytes"] / first["gzip_bytes"]
        table.add_row(
            row["name"],
            f"{row['top1']:.2%}",
            f"{row['size_bytes']:,}",
            f"{row['gzip_bytes']:,} ({share:.2f} ×)",
            f"{row['latency_ms']:.2f}",
        )
    console.print(table)
    console.print(f"agreement of the .tflite with the .keras file: {result['agreement']:.2%}")
    console.print(f"{result['tflite']}, {result['keras']}, {result['picture']}")
    return result


def _sparsity(text: str) -> float | str:
    if text == "2:4":
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"--sparsity is a number between 0 and 1, or 2:4; got {text!r:.80}"
        ) from None
