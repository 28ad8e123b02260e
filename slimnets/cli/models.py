"""List the networks of the catalogue, with their sizes and published accuracy.

Usage: slimnets models [PATTERN] [--pretrained]

Of a single network, a model card: paper, licence, and each set of weights with its accuracy and
what its images went through. weights="imagenet" is the first; of a detector or segmenter it is that
of its backbone.

Example:
  slimnets models 'mobilenet_v3*'
  slimnets models mobilenet_v4_conv_small
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError
from slimnets.cli.command_flags import Flags

if TYPE_CHECKING:
    from slimnets.catalog import ModelInfo


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
    if len(names) == 1:
        _print_card(model_info(names[0]), console)
    rows = [model_info(name) for name in names]
    return {
        "models": [
            {
                "name": info.name,
                "task": info.task,
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


def _print_card(info: ModelInfo, console: Console) -> None:
    from rich.table import Table

    from slimnets.weights.families import find_source

    options = "".join(f", {key}={value!r}" for key, value in info.options.items())
    console.print(
        f"slimnets.{info.builder}(input_shape=({info.size}, {info.size}, 3){options})",
        highlight=False,
    )
    console.print(f"arXiv {info.paper}, {info.licence}", highlight=False)
    table = Table("weights", "top-1", "top-5", "size", "crop", "mean", "std", "range", "resize")
    for name in info.weight_sources:
        source = find_source(name, lambda: None)
        images = source.preprocessing
        table.add_row(
            name,
            *("" if a is None else f"{a:.1f} %" for a in (source.top1, source.top5)),
            "×".join(map(str, images.size)),
            f"{images.crop_fraction:.3g}",
            *(
                " ".join(f"{value:g}" for value in dict.fromkeys(values))
                for values in (images.mean, images.std)
            ),
            "…".join(f"{value:g}" for value in images.value_range),
            images.interpolation,
        )
    if info.weight_sources:
        console.print(table)
