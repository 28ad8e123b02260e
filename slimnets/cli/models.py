"""List the networks of the catalogue, with their sizes and published accuracy.

Usage: slimnets models [PATTERN] [--pretrained] [--convert] [--plot=FILE.svg]

Of a single network, a model card: paper, licence, sizes of its files, and each set of weights with
its accuracy and what its images went through. weights="imagenet" is the first; of a detector or
segmenter it is that of its backbone. The sizes are estimated from the number of parameters;
--convert makes the float16 and the int8 file, of an untrained network, and says what they have, and
what an Edge TPU takes of the latter (minutes). --plot draws accuracy against multiply-adds of all
networks, with this one marked.

Example:
  slimnets models 'mobilenet_v3*'
  slimnets models mobilenet_v4_conv_small --plot=networks.svg
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError
from slimnets.cli.command_flags import Flags
from tflite.hints import did_you_mean

if TYPE_CHECKING:
    from rich.table import Table

    from slimnets.catalog import ModelInfo


def define_flags(define: Flags) -> None:
    define.boolean("pretrained", None, "only networks with (or without) weights")
    define.boolean("convert", False, "of a single network: make its files, to know their sizes")
    define.string("plot", None, "SVG or PNG file: accuracy against multiply-adds, a network marked")


def run(args: Sequence[str], values: flags.FlagValues, console: Console) -> dict[str, Any]:
    from slimnets.catalog import list_models, model_info

    if len(args) > 1:
        raise UsageError(f"models takes one pattern, got {len(args)}: {' '.join(args)}")
    pattern = args[0] if args else "*"
    names = list_models(pattern, values.pretrained)
    if not names:
        hint = did_you_mean(pattern, list_models())
        raise UsageError(f"no network is called {pattern!r}.{hint} slimnets models lists all")
    if values.convert and len(names) > 1:
        raise UsageError(f"--convert takes a single network, and {pattern!r} names {len(names)}")
    if values.convert and model_info(names[0]).task != "classify":
        raise UsageError(f"--convert makes files of classifiers, and {names[0]} is none")
    if values.plot:
        _check_plot(values.plot)
    found = [model_info(name) for name in names]
    console.print(_table(found))
    made = _converted(names[0]) if values.convert else None
    if len(found) == 1:
        _print_card(found[0], made, console)
    if values.plot:
        _plot(values.plot, found[0] if len(found) == 1 else None)
        console.print(values.plot)
    return {"models": [_facts(info, made) for info in found]}


def _table(found: Sequence[ModelInfo]) -> Table:
    from rich.table import Table

    table = Table("network", "input", "parameters", "MACs (M)", "top-1", "int8", "weights")
    for info in found:
        accuracy = ["" if a is None else f"{a:.1f} %" for a in (info.top1, info.top1_int8)]
        table.add_row(
            info.name,
            f"{info.size}×{info.size}",
            f"{info.params:,}",
            f"{info.macs / 1e6:,.1f}",
            *accuracy,
            ", ".join(info.weight_sources[:1]),
        )
    return table


def _facts(info: ModelInfo, made: dict[str, Any] | None) -> dict[str, Any]:
    """The same for programs, with the files that were made of it."""
    return {
        "name": info.name,
        "task": info.task,
        "size": info.size,
        "classes": info.classes,
        "params": info.params,
        "macs": info.macs,
        "top1": info.top1,
        "top1_int8": info.top1_int8,
        "paper": f"arXiv {info.paper}",
        "licence": info.licence,
        "weights": list(info.weight_sources),
        "estimated_bytes": info.estimated_bytes,
        **({"files": made} if made else {}),
    }


def _converted(name: str) -> dict[str, Any]:
    """Sizes of the files in bytes, and what an Edge TPU takes, by check_edgetpu."""
    import tempfile
    from pathlib import Path

    import tflite
    from slimnets.benchmark.fresh_files import fresh_files
    from slimnets.cli import running

    running.start_keras()
    with tempfile.TemporaryDirectory(prefix="slimnets_") as folder:
        (half,) = fresh_files(name, ("float16",), Path(folder))
        (whole,) = fresh_files(name, ("int8",), Path(folder), target="coral")
        verdict = tflite.check_edgetpu(whole)
        return {
            "float16_bytes": half.stat().st_size,
            "int8_bytes": whole.stat().st_size,
            "edgetpu_ok": verdict.ok,
            "edgetpu_share": verdict.mapped_share,
        }


def _check_plot(path: str) -> None:
    from tflite.files.writing import check_writable

    if not path.endswith((".svg", ".png")):
        raise UsageError(f"--plot takes a file that ends in .svg or .png, got {path!r:.80}")
    check_writable(path)


def _plot(path: str, marked: ModelInfo | None) -> None:
    from slimnets import charts
    from slimnets.catalog import published_accuracies
    from tflite.files.writing import write_bytes

    point = marked and marked.top1 and (marked.macs / 1e6, marked.top1, marked.name)
    figure = charts.networks(published_accuracies(), point or None)
    svg = path.endswith(".svg")
    write_bytes(path, charts.svg(figure).encode() if svg else charts.png(figure))


def _print_card(info: ModelInfo, made: dict[str, Any] | None, console: Console) -> None:
    from rich.table import Table

    from slimnets.weights.families import find_source

    options = "".join(f", {key}={value!r}" for key, value in info.options.items())
    console.print(
        f"slimnets.{info.builder}(input_shape=({info.size}, {info.size}, 3){options})",
        highlight=False,
    )
    console.print(f"arXiv {info.paper}, {info.licence}", highlight=False)
    console.print(_files_line(info, made), highlight=False)
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


def _files_line(info: ModelInfo, made: dict[str, Any] | None) -> str:
    if made is None:
        sizes = (f"{kind} about {n / 2**20:.1f} MiB" for kind, n in info.estimated_bytes.items())
        return f"files, estimated: {', '.join(sizes)} (--convert makes them)"
    taken = "whole" if made["edgetpu_ok"] else f"to {made['edgetpu_share']:.0%}"
    return (
        f"files: float16 {made['float16_bytes']:,} bytes, int8 {made['int8_bytes']:,} bytes, which "
        f"an Edge TPU takes {taken}"
    )
