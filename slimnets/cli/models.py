"""List the networks of the catalogue, with their sizes and published accuracy.

Usage: slimnets models [PATTERN] [--pretrained]

Example:
  slimnets models 'mobilenet_v3*'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError
from slimnets.cli.command_flags import Flags


def define_flags(define: Flags) -> None:
    define.boolean("pretrained", None, "only networks with (or without) weights")


def run(args: Sequence[str], values: flags.FlagValues, console: Console) -> dict[str, Any]:
    from rich.table import Table

    from slimnets.catalog import list_models, model_info

    if len(args) > 1:
        raise UsageError(f"models takes one pattern, got {len(args)}: {' '.join(args)}")
    pattern = args[0] if args else "*"
    names = list_models(pattern, values.pretrained)
    if not names:
        raise UsageError(f"no network is called {pattern!r}; slimnets models lists all")
    table = Table("network", "input", "parameters", "MACs (M)", "top-1", "int8", "weights")
    for name in names:
        info = model_info(name)
        accuracy = ["" if a is None else f"{a:.1f} %" for a in (info.top1, info.top1_int8)]
        table.add_row(
            name,
            f"{info.size}×{info.size}",
            f"{info.params:,}",
            f"{info.macs / 1e6:,.1f}",
            *accuracy,
            ", ".join(info.weight_sources[:1]),
        )
    console.print(table)
    rows = [model_info(name) for name in names]
    return {
        "models": [
            {
                "name": info.name,
                "size": info.size,
                "classes": info.classes,
                "params": info.params,
                "macs": info.macs,
                "top1": info.top1,
                "top1_int8": info.top1_int8,
                "paper": f"arXiv {info.paper}",
                "weights": list(info.weight_sources),
            }
            for info in rows
        ]
    }
