"""Times model files by turns, and says what that means on this processor."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from slimnets.benchmark.contestants import Contestant, open_contestant
from slimnets.benchmark.peak_memory import peak_memory
from tflite.measuring.peak import MACS, matrix_product
from tflite.measuring.processor import Processor, this_processor, usable_cores
from tflite.measuring.timing import Timing, invocation, time_calls

_WARM_UP = 5
_MOST_SECONDS = 60.0
# Files of one network in two precisions have the same multiply-adds, but for a form's zeros.
_SAME_NETWORK = 0.02
# Below this, int8 is worth its loss of accuracy; above the other, it costs time.
_PAYS, _COSTS = 0.95, 1.05


@dataclass(frozen=True)
class Result:
    """A file on a number of threads.

    Attributes:
        file, kind, numbers, size_bytes, macs, batch: see `Contestant`.
        threads: None for Keras, which takes as many as TensorFlow likes.
        timing: of a run of `batch` images.
        peak_memory_bytes: see `peak_memory`.
        peak_share: GMAC/s over those of a matrix product in the same numbers, on as many threads
            and in the same run; None where either is not known.
    """

    file: str
    kind: str
    numbers: str
    size_bytes: int
    macs: int | None
    batch: int
    threads: int | None
    timing: Timing
    peak_memory_bytes: int | None
    peak_share: float | None

    @property
    def images_per_second(self) -> float:
        """By the median; of a batch, all of its images count."""
        return 1e3 * self.batch / self.timing.median

    @property
    def gmacs_per_second(self) -> float | None:
        """10⁹ multiply–accumulates a second; None where they are not counted."""
        return None if self.macs is None else self.macs / self.timing.median / 1e6

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {
            **asdict(self),
            "images_per_second": self.images_per_second,
            "gmacs_per_second": self.gmacs_per_second,
        }


@dataclass(frozen=True)
class Benchmark:
    """What `benchmark` measured.

    Attributes:
        processor: where.
        peaks: GMAC/s of a large matrix product: threads → {"float32": …, "int8": …}.
        results: in the files' order, for each number of threads.
        delegate: the library that ran .tflite files; None for the CPU.
    """

    processor: Processor
    peaks: Mapping[int, Mapping[str, float]]
    results: tuple[Result, ...]
    delegate: str | None = None

    @property
    def fewest_threads(self) -> int:
        """Of the numbers that were tried."""
        return min(self.peaks)

    @property
    def advice(self) -> str:
        """One line: which file is the fastest here, and whether int8 pays on this processor."""
        ranked = sorted(
            (result for result in self.results if result.threads in (None, self.fewest_threads)),
            key=lambda result: result.timing.median / result.batch,
        )
        best = ranked[0]
        on = f"{best.threads} thread{'s' * (best.threads != 1)}" if best.threads else "all threads"
        first = f"Fastest here is {os.path.basename(best.file)} ({best.timing.median:.2f} ms, {on})"
        return f"{first}; {self._about_integers()}"

    def _about_integers(self) -> str:
        if self.delegate is not None:
            return f".tflite files ran through {self.delegate}"
        instructions = ", ".join(self.processor.integer_dots)
        ratios = [*self.integer_ratios()]
        if not ratios:
            peaks = self.peaks[self.fewest_threads]
            ratio = peaks["float32"] / peaks["int8"]
            return (
                f"a matrix product takes {ratio:.2f} × float32's time in int8 "
                f"({instructions or 'no integer dot products'})"
            )
        ratio = math.exp(sum(map(math.log, ratios)) / len(ratios))
        if ratio < _PAYS:
            because = f" ({instructions})" if instructions else ""
            return f"int8 pays on this processor{because}: {ratio:.2f} × float32's time"
        because = "" if instructions else ", which has no integer dot products"
        verdict = "costs time" if ratio > _COSTS else "is as fast as float32"
        return f"int8 {verdict} on this processor{because}: {ratio:.2f} × float32's time"

    def integer_ratios(self) -> Iterator[float]:
        """int8's time over float32's for each pair of .tflite files of one network."""
        files = [r for r in self.results if r.kind == ".tflite" and r.threads and r.macs]
        files = [result for result in files if result.threads == self.fewest_threads]
        for small in (result for result in files if result.numbers == "int8"):
            for large in (result for result in files if result.numbers == "float32"):
                alike = abs(small.macs / large.macs - 1) < _SAME_NETWORK
                if alike and small.batch == large.batch:
                    yield small.timing.median / large.timing.median

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {
            "processor": asdict(self.processor),
            "delegate": self.delegate,
            "peak_gmacs_per_second": {str(n): dict(peaks) for n, peaks in self.peaks.items()},
            "files": [result.to_dict() for result in self.results],
            "advice": self.advice,
        }


def benchmark(
    files: Sequence[str | os.PathLike],
    *,
    threads: Sequence[int] | None = None,
    runs: int = 50,
    delegate: str | os.PathLike | None = None,
    memory: bool = True,
) -> Benchmark:
    """Times files by turns, for each number of threads, after runs that are not timed.

    Args:
        files: .tflite, .keras and .onnx files.
        threads: numbers of CPU threads; None: 1 and all cores.
        runs: timed runs of each file; fewer, once all took a minute for one number of threads.
        delegate: a library that runs .tflite files, such as "libedgetpu.so.1".
        memory: also how much memory each file takes, in a process of its own.

    Raises:
        ValueError: no files, a wrong number, a file that cannot be run.
        FileNotFoundError, ModuleNotFoundError, OSError: as `open_contestant`.
    """
    if not files:
        raise ValueError("no files to time were given.")
    counts = tuple(dict.fromkeys(threads or (1, usable_cores())))
    for name, values, least in (("threads", counts, 1), ("runs", (runs,), 3)):
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"{name} must be whole numbers of {least} or more, got {value!r:.80}."
                )
    library = True if delegate is None else delegate
    contestants = [open_contestant(file, library) for file in files]
    peaks, timings = {}, []
    for count in counts:
        racing = [c for c in contestants if c.takes_threads or count == counts[-1]]
        products = [
            invocation(matrix_product(kind), num_threads=count) for kind in ("float32", "int8")
        ]
        calls = [*products, *(contestant.opened(count) for contestant in racing)]
        (real, whole, *found) = time_calls(
            calls, warm_up=_WARM_UP, runs=runs, most_seconds=_MOST_SECONDS
        )
        # The tenth that nothing disturbed is what the processor can do.
        peaks[count] = {"float32": MACS / real.p10 / 1e6, "int8": MACS / whole.p10 / 1e6}
        timings += [(one, count, timing) for one, timing in zip(racing, found, strict=True)]
    grown = {
        one.path: peak_memory(one.path, counts[0], library) if memory else None
        for one in contestants
    }
    results = [
        _result(one, count, timing, grown[one.path], None if delegate else peaks[count])
        for one, count, timing in timings
    ]
    return Benchmark(
        this_processor(), peaks, tuple(results), None if delegate is None else os.fspath(delegate)
    )


def _result(
    one: Contestant,
    threads: int,
    timing: Timing,
    grown: int | None,
    peaks: Mapping[str, float] | None,
) -> Result:
    peak = None if peaks is None else peaks["int8" if one.numbers == "int8" else "float32"]
    share = one.macs / timing.median / 1e6 / peak if peak and one.macs else None
    return Result(
        file=os.fspath(one.path),
        kind=one.kind,
        numbers=one.numbers,
        size_bytes=one.size_bytes,
        macs=one.macs,
        batch=one.batch,
        threads=threads if one.takes_threads else None,
        timing=timing,
        peak_memory_bytes=grown,
        peak_share=share,
    )
