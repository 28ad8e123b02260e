"""What came out of a conversion, for people and for programs."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tflite.edgetpu.verdict import EdgeTpuReport, check_edgetpu
from tflite.files.records import human_bytes
from tflite.measuring.agreement import Agreement
from tflite.measuring.inspector import inspect
from tflite.measuring.timing import invocation, time_calls
from tflite.runtime import errors_named
from tflite.targets import Target

if TYPE_CHECKING:
    from tflite.quantizing.effort import Outcome
    from tflite.rewriting.passes import PassReport

# A median of so many runs, or of as many as fit in the time.
_TIMED = {"warm_up": 1, "runs": 15, "most_seconds": 1.0}


@dataclass(frozen=True)
class Kept:
    """Layers of an int8 file that stay float32, and what that costs.

    Attributes:
        patterns: as they were asked for.
        milliseconds, milliseconds_before: an invocation here on one thread, and without keeping.
        size, size_before: bytes of the file less its metadata, and without keeping.
    """

    patterns: tuple[str, ...]
    milliseconds: float
    milliseconds_before: float
    size: int
    size_before: int

    def __str__(self) -> str:
        return (
            f"kept in float32: {', '.join(self.patterns)}, which costs "
            f"{self.milliseconds:.2f} instead of {self.milliseconds_before:.2f} ms here and "
            f"{human_bytes(self.size)} instead of {human_bytes(self.size_before)}"
        )


@dataclass(frozen=True)
class ConversionReport:
    """What was made and how well it agrees with the Keras model.

    Attributes:
        precision, target: as asked for.
        size: bytes of the file.
        weight_bytes: of it, constants.
        macs: multiply-accumulates an invocation.
        operators: how many of each operator, commonest first.
        partitions: pieces that the XNNPACK delegate takes; 1 is best. None if LiteRT cannot run
            the file here.
        outside: how many of each operator stay outside the delegate.
        arena_bytes: memory for activations, as LiteRT's own kernels plan it.
        milliseconds: an invocation here, on one thread: a median.
        agreement: with the Keras model.
        agreement_images: what the agreement was measured on.
        edgetpu: the Edge TPU compiler's expected verdict, where the target is one.
        warnings: doubts about the calibration images or about the result.
        rewriting: what each pass over the float graph did, and what it left and why.
        quantizing: int8 only: what was tried to make the file good, and what came of it.
        kept: what stays float32 in an int8 file by `keep`, and its price.
    """

    precision: str
    target: str
    size: int
    weight_bytes: int
    macs: int
    operators: dict[str, int]
    partitions: int | None
    outside: dict[str, int]
    arena_bytes: int | None
    milliseconds: float
    agreement: Agreement
    agreement_images: str
    edgetpu: EdgeTpuReport | None = None
    warnings: tuple[str, ...] = ()
    rewriting: tuple["PassReport", ...] = ()
    quantizing: "Outcome | None" = None
    kept: Kept | None = None

    @property
    def rewritten(self) -> str:
        """`rewriting` in a line: "12 batch norms folded into weights, …; left: …"."""
        changed = _count((one.what, one.how) for step in self.rewriting for one in step.changed)
        left = _count((one.what, f"({one.reason})") for step in self.rewriting for one in step.left)
        return (changed or "nothing") + (f"; left: {left}" if left else "")

    def to_dict(self) -> dict:
        """Everything as plain dictionaries, lists, texts and numbers; None for infinity."""
        verdict = None if self.edgetpu is None else self.edgetpu.as_dict()
        return _finite({**asdict(self), "edgetpu": verdict})

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, allow_nan=False) + "\n"

    def __str__(self) -> str:
        lines = [
            f"{self.precision} for {self.target}: {human_bytes(self.size)}, "
            f"{self.macs / 1e6:,.1f} M MACs, {self.milliseconds:.2f} ms here on one thread",
            f"operators: {_counts(self.operators)}",
            self._delegate(),
            f"agreement with Keras on {self.agreement_images}: {self.agreement}",
        ]
        if self.rewriting:
            lines.append(f"rewritten: {self.rewritten}")
        if self.quantizing is not None:
            lines.append(str(self.quantizing))
        if self.kept is not None:
            lines.append(str(self.kept))
        if self.edgetpu is not None:
            lines.append(str(self.edgetpu))
        return "\n".join([*lines, *(f"warning: {line}" for line in self.warnings)])

    def _delegate(self) -> str:
        if self.partitions is None or self.arena_bytes is None:
            return "XNNPACK: not known"
        plural = "" if self.partitions == 1 else "s"
        return (
            f"XNNPACK: {self.partitions} partition{plural}, outside: "
            f"{_counts(self.outside) or 'nothing'}; arena {human_bytes(self.arena_bytes)}"
        )


def report_on(
    data: bytes,
    precision: str,
    target: Target,
    agreement: Agreement,
    agreement_images: str,
    warnings: Sequence[str],
    rewriting: Sequence["PassReport"] = (),
    quantizing: "Outcome | None" = None,
    kept: Kept | None = None,
) -> ConversionReport:
    """The report on a finished file; runs it a few times to take the time.

    Raises:
        ValueError: it does not run on every image.
    """
    found = inspect(data)
    outside: dict[str, int] = {}
    for index in found.runtime.outside if found.runtime else ():
        name = found.operations[index].name
        outside[name] = outside.get(name, 0) + 1
    return ConversionReport(
        precision=precision,
        target=target.name,
        size=found.size_bytes,
        weight_bytes=found.weight_bytes,
        macs=found.macs,
        operators=found.histogram,
        partitions=len(found.runtime.partitions) if found.runtime else None,
        outside=outside,
        arena_bytes=found.runtime.arena_bytes if found.runtime else None,
        milliseconds=_milliseconds(data),
        agreement=agreement,
        agreement_images=agreement_images,
        edgetpu=check_edgetpu(data) if target.runs_on_edgetpu else None,
        warnings=tuple(warnings),
        rewriting=tuple(rewriting),
        quantizing=quantizing,
        kept=kept,
    )


def _milliseconds(data: bytes) -> float:
    with errors_named("the file, of a black image"):
        return time_calls([invocation(data)], **_TIMED)[0].median


def price_of(patterns: Sequence[str], data: bytes, unkept: bytes) -> Kept:
    """What keeping layers in float32 costs, from the files with it and without."""
    with_it, without = time_calls([invocation(data), invocation(unkept)], **_TIMED)
    return Kept(tuple(patterns), with_it.median, without.median, len(data), len(unkept))


def _counts(histogram: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in histogram.items())


def _count(phrases: Iterable[tuple[str, str]]) -> str:
    """ "2 h-swishes written with ReLU6, 1 ReLU dropped", in the order of first appearance."""
    counts = Counter(phrases)
    return ", ".join(f"{n} {_plural(what, n)} {rest}" for (what, rest), n in counts.items())


def _plural(noun: str, count: int) -> str:
    if count == 1:
        return noun
    if noun.endswith("ty"):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("sh", "x", "s")) else "s")


def _finite(value):
    """`value` with None for numbers that JSON does not have (the SQNR of equal outputs)."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
