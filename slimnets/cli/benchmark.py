"""Times model files here, side by side, and says what that means on this processor.

Usage: slimnets benchmark FILE|NAME … [--threads=1,4] [--data=SOURCE] [--plot=FILE.png]

FILE is a .tflite, .keras or .onnx file, alike; NAME a network of the catalogue, which is converted
with random weights first (--precision). The files run by turns after some runs that are not timed.
A row: median and where 8 of 10 runs lie, images a second, what a process grows by to run the file,
its size, multiply-adds, how many of them a second, and the share that is of the most that LiteRT's
kernels reach in the same run in a large matrix product of the same numbers. --data adds accuracy.

--delegate=libedgetpu.so.1 times files on a Coral device, --adb on the Android phone at the other
end of adb, by Google's prebuilt benchmark_model.

Example:
  slimnets benchmark mobilenet_v1_025 --size=96 --threads=1
  slimnets benchmark best.keras photos.tflite photos_int8.tflite --data=folder:photos --plot=it.png
  slimnets benchmark photos_int8.tflite --adb --threads=4
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags, logging
from rich.console import Console
from rich.table import Table

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags
from tflite.targets import PRECISIONS

if TYPE_CHECKING:
    from slimnets.benchmark.race import Benchmark

_KINDS = (".tflite", ".keras", ".onnx")


def define_flags(define: Flags) -> None:
    define.string("threads", None, "numbers of CPU threads, such as 1,4; by default 1 and all")
    define.integer("runs", 50, "timed runs of each file", lower_bound=3)
    define.string("precision", "float32,int8", "for a NAME: the files to make of it")
    define.integer("size", None, "for a NAME: height and width of its images", lower_bound=1)
    define.string("data", None, "measure top-1 on this data set too, builtin:digits for example")
    define.string("plot", None, "PNG file: times as bars, and accuracy against time with --data")
    define.string("delegate", None, "library that runs .tflite files, such as libedgetpu.so.1")
    define.boolean("adb", False, "time .tflite files on the phone that adb reaches")


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if not args:
        raise UsageError("benchmark takes model files or networks' names, got none")
    names = [word for word in args if not word.endswith(_KINDS)]
    threads = _threads(options.threads)
    if options.adb and (options.delegate or options.plot or options.data):
        raise UsageError("--adb goes with --threads and --runs alone")
    precisions = [word.strip() for word in options.precision.split(",")]
    for precision in precisions:
        if precision not in PRECISIONS:
            raise UsageError(f"--precision takes {', '.join(PRECISIONS)}, got {precision!r}")
    for name in names:
        if not Path(name).exists():
            running.check_network(name)
    if options.plot:
        from tflite.files.writing import check_writable

        check_writable(options.plot)
    if names or any(word.endswith(".keras") for word in args) or options.data:
        running.start_keras()
    with tempfile.TemporaryDirectory(prefix="slimnets_") as folder:
        files = _files(args, precisions, Path(folder), options.size)
        if options.adb:
            return _on_phone(files, threads or (1,), options.runs, console)
        return _here(files, threads, options, console)


def _threads(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"--threads takes numbers, such as 1,4, got {text!r:.80}") from None


def _files(args: list[str], precisions: list[str], folder: Path, size: int | None) -> list[Path]:
    """The files, those of networks made first."""
    found: list[Path] = []
    for word in args:
        if word.endswith(_KINDS) or Path(word).exists():
            found.append(Path(word))
            continue
        from slimnets.benchmark.fresh_files import fresh_files

        logging.info("converting %s to %s", word, ", ".join(precisions))
        found += fresh_files(word, precisions, folder, size)
    return found


def _here(
    files: list[Path],
    threads: tuple[int, ...] | None,
    options: flags.FlagValues,
    console: Console,
) -> dict[str, Any]:
    from slimnets.benchmark.race import benchmark

    found = benchmark(files, threads=threads, runs=options.runs, delegate=options.delegate)
    accuracy = _accuracy(files, options) if options.data else {}
    console.print(f"{found.processor}")
    for count, peaks in found.peaks.items():
        console.print(
            f"{count} thread{'s' * (count != 1)}: a matrix product reaches "
            f"{peaks['float32']:.0f} GMAC/s in float32, {peaks['int8']:.0f} in int8"
        )
    console.print()
    console.print(_table(found, accuracy))
    console.print(f"\n{found.advice}.", soft_wrap=True)
    if options.plot:
        from slimnets import charts
        from tflite.files.writing import write_bytes

        rows = [{"name": Path(r.file).name, **r.to_dict()} for r in found.results]
        rows = [row | {"top1": accuracy.get(row["file"])} for row in rows]
        figure = charts.race(rows, str(found.processor))
        write_bytes(options.plot, charts.png(figure))
        console.print(f"{options.plot}")
    result = found.to_dict()
    for row in result["files"]:
        row["top1"] = accuracy.get(row["file"])
    return result


def _accuracy(files: list[Path], options: flags.FlagValues) -> dict[str, float]:
    from slimnets import data, evaluation

    source = data.load(options.data)
    return {
        str(file): evaluation.evaluate(
            evaluation.open_classifier(file, delegate=options.delegate), source
        ).top1
        for file in files
    }


def _table(found: Benchmark, accuracy: dict[str, float]) -> Table:
    heads = ["file", "numbers", "threads", "ms (p10–p90)", "images/s", "MiB grown", "KiB"]
    heads += ["M MACs", "GMAC/s", "of peak", *(["top-1"] if accuracy else [])]
    table = Table(*heads, box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in found.results:
        cells = [
            Path(row.file).name,
            row.numbers,
            "all" if row.threads is None else str(row.threads),
            str(row.timing),
            f"{row.images_per_second:,.0f}",
            _or_dash(row.peak_memory_bytes and row.peak_memory_bytes / 2**20, ".1f"),
            f"{row.size_bytes / 1024:,.0f}",
            _or_dash(row.macs and row.macs / 1e6, ",.1f"),
            _or_dash(row.gmacs_per_second, ".1f"),
            _or_dash(row.peak_share, ".0%"),
        ]
        if accuracy:
            cells.append(f"{accuracy[row.file]:.2%}")
        table.add_row(*cells)
    return table


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _on_phone(
    files: list[Path], threads: tuple[int, ...], runs: int, console: Console
) -> dict[str, Any]:
    import dataclasses

    from tflite.measuring.phone import phone_name, time_on_phone

    if wrong := [file for file in files if file.suffix != ".tflite"]:
        raise UsageError(f"--adb times .tflite files; {wrong[0]} is none")
    table = Table("file", "threads", "ms", "p5–p95", "init ms", "first ms", "MiB", box=None)
    rows = []
    for count in threads:
        for file in files:
            timing = time_on_phone(file, threads=count, runs=runs)
            spread = "–" if timing.p5 is None else f"{timing.p5:.3f}–{timing.p95:.3f}"
            table.add_row(
                file.name,
                str(count),
                f"{timing.average if timing.median is None else timing.median:.3f}",
                spread,
                f"{timing.initialization:.1f}",
                f"{timing.first:.1f}",
                _or_dash(timing.memory_bytes and timing.memory_bytes / 2**20, ".1f"),
            )
            rows.append({"file": str(file), "threads": count, **dataclasses.asdict(timing)})
    name = phone_name()
    console.print(name or "the phone")
    console.print(table)
    best = min(rows, key=lambda row: row["average"])
    advice = f"Fastest there is {Path(best['file']).name}: {best['average']:.2f} ms on average"
    console.print(f"\n{advice}.", soft_wrap=True)
    return {"phone": name, "files": rows, "advice": advice}
