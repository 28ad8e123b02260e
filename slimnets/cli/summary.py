"""Shows what every layer of a network costs: parameters and multiply-adds.

Usage: slimnets summary NAME|FILE.keras [--input_size=N …]

Example:
  slimnets summary mobilenet_v1 --depth_multiplier=0.5 --input_size=160
"""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags

# Keywords of the networks' functions; given only if the user gave them.
_NETWORK_FLAGS = ("num_classes", "depth_multiplier", "output_stride")


def define_flags(define: Flags) -> None:
    define.integer(
        "input_size",
        None,
        "height and width in pixels; by default the network's own",
        lower_bound=1,
    )
    define.integer("num_classes", None, "outputs; 0 for none")
    define.float("depth_multiplier", None, "width multiplier")
    define.integer("output_stride", None, "input size over the last map's")


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) != 1:
        raise UsageError(f"summary takes one network's name or one file, got {len(args)}")
    if args[0].endswith(".tflite"):
        raise UsageError(f"slimnets inspect {args[0]} shows what is in a .tflite file")
    chosen = {
        name: options[name].value for name in _NETWORK_FLAGS if options[name].value is not None
    }
    if options.input_size is not None:
        chosen["input_shape"] = (options.input_size, options.input_size, 3)
    is_file = args[0].endswith(".keras")
    if is_file and chosen:
        raise UsageError(f"a saved model is what it is: --{next(iter(chosen))} goes with a name")
    if not is_file:
        running.check_network(args[0])
    running.start_keras()
    from slimnets.catalog import create_model
    from slimnets.complexity import complexity
    from tflite.keras_models import load_file

    model = load_file(args[0]) if is_file else create_model(args[0], **chosen)
    cost = complexity(model)
    # Rows wider than the terminal must not be wrapped: people grep this table.
    console.print(str(cost), soft_wrap=True)
    return {
        "name": cost.name,
        "params": cost.params,
        "trainable_params": cost.trainable_params,
        "macs": cost.macs,
        "flops": cost.flops,
        "layers": [dataclasses.asdict(layer) for layer in cost.layers],
    }
