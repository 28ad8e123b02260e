"""Trains a network by a config file and keeps the best epoch.

Usage: slimnets train --config=RECIPE --workdir=DIR [--config.field=value …]

A recipe is a Python file with get_config(), or the name of one that comes with slimnets: cifar10,
digits, fashion_mnist, folder.

The folder receives best.keras, best.json (what it is), labels.txt, history.csv, curves.png and
config.json. If the data has test images, the best model is evaluated on them at the end.

Example:
  slimnets train --config=digits --workdir=/tmp/digits --config.epochs=10
  slimnets train --config=folder --config.data.source=folder:photos --workdir=/tmp/photos
"""

from __future__ import annotations

from typing import Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags


def define_flags(define: Flags) -> None:
    define.config_file(
        "config",
        None,
        "the recipe; --config.field=value changes a field",
    )
    define.string("workdir", None, "folder for the results")


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if args:
        raise UsageError(f"train takes no arguments, got {args[0]!r}")
    config = running.loaded_config(options)
    if not options.workdir:
        raise UsageError("--workdir is missing, for example --workdir=/tmp/digits")
    running.start_keras()
    from slimnets import data, evaluation
    from slimnets.training.loop import train

    result = train(config, options.workdir)
    console.print(
        f"best epoch {result['best_epoch']}: val accuracy {result['val_accuracy']:.2%} "
        f"→ {result['checkpoint']}"
    )
    source = data.load(config.data.source)
    if "test" in source.splits:
        tested = evaluation.evaluate(result["checkpoint"], source, "test")
        result["test"] = tested.to_dict()
        console.print(f"test accuracy {tested.top1:.2%} over {tested.count} images")
    return result
