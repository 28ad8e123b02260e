"""What the Edge TPU compiler would do with a file, from its published rules."""

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass

from tflite.edgetpu.rules import CAUTIONS, ON_CHIP_BYTES, mapping_problem, parse_problem
from tflite.files.compiled import is_compiled
from tflite.files.reading import open_file
from tflite.files.records import Graph, Operation, human_bytes, read_graph

# The custom operator that a detector's file ends in.
DETECTION_OPERATOR = "TFLite_Detection_PostProcess"
_AFTER = "follows an operator that does not map (one partition only)"
_LISTED = 6


@dataclass(frozen=True)
class OperationVerdict:
    """One operator's fate.

    Attributes:
        mapped: runs on the Edge TPU (if the compiler can read the file at all).
        boundary: converts a float32 input or output of the model; the CPU does that, and the
            operators beyond it are not affected.
        reason: why it is not mapped.
    """

    index: int
    name: str
    version: int
    macs: int
    mapped: bool
    boundary: bool
    reason: str


@dataclass(frozen=True)
class EdgeTpuReport:
    """What the Edge TPU compiler (16, runtime 14) would do with a file.

    Attributes:
        verdicts: one an operator, in execution order.
        refusals: what keeps the compiler from reading the file at all.
        first_offender: index of the first operator that cannot be mapped; it and all that follow
            run on the CPU, since only one partition is made. None if there is none.
        share_before: share (0..1) of the model's MACs before the first offender.
        mapped_share: share of the MACs that runs on the Edge TPU: `share_before`, or 0 if the
            file is refused.
        weight_bytes: against `ON_CHIP_BYTES`: what is above it is streamed in every inference.
    """

    verdicts: tuple[OperationVerdict, ...]
    refusals: tuple[str, ...]
    first_offender: int | None
    share_before: float
    mapped_share: float
    weight_bytes: int
    on_chip_bytes: int = ON_CHIP_BYTES

    @property
    def ok(self) -> bool:
        """Whether all of it runs on the Edge TPU, conversions of float ends aside."""
        return self.first_offender is None

    @property
    def offenders(self) -> tuple[OperationVerdict, ...]:
        """The operators that cannot be mapped for reasons of their own, not of their place."""
        return tuple(v for v in self.verdicts if v.reason and not v.boundary and v.reason != _AFTER)

    @property
    def fits_on_chip(self) -> bool:
        """Whether no weights have to be fetched from the host at each inference."""
        return self.weight_bytes <= self.on_chip_bytes

    def as_dict(self) -> dict:
        """All of it as JSON-able lists, dictionaries, numbers and strings."""
        return dataclasses.asdict(self) | {"ok": self.ok, "fits_on_chip": self.fits_on_chip}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        mapped = 0 if self.refusals else sum(verdict.mapped for verdict in self.verdicts)
        yield (
            f"Edge TPU: {mapped} of {len(self.verdicts)} operators map, with "
            f"{self.mapped_share:.1%} of the MACs"
        )
        yield (
            f"  weights: {human_bytes(self.weight_bytes)} of about "
            f"{human_bytes(self.on_chip_bytes)} on the chip"
            + ("" if self.fits_on_chip else "; the rest is streamed in every inference")
        )
        for refusal in self.refusals:
            yield f"  the compiler cannot read the file: {refusal}"
        if self.first_offender is not None:
            first, *others = self.offenders
            yield (
                f"  first that does not map, after {self.share_before:.1%} of the MACs: "
                f"#{first.index} {first.name}: {first.reason}"
            )
            if others:
                listed = ", ".join(f"#{v.index} {v.name}" for v in others[:_LISTED])
                more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
                yield f"  nor would map: {listed}{more}"
        for verdict in self.verdicts:
            if verdict.boundary:
                yield f"  on the CPU, harmless: #{verdict.index} {verdict.name}: {verdict.reason}"
        for name in sorted({v.name for v in self.verdicts if v.mapped} & set(CAUTIONS)):
            yield f"  {name}: {CAUTIONS[name]}"


def check_edgetpu(path: str | os.PathLike | bytes) -> EdgeTpuReport:
    """Predicts what the Edge TPU compiler would map of a .tflite file, without the compiler.

    Args:
        path: the file, or its content as bytes.

    Raises:
        TypeError: for anything but a path or bytes.
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a readable TensorFlow Lite file, or was compiled already.
    """
    file = open_file(path)
    if is_compiled(file):
        raise ValueError(
            f"{file.name} is compiled for the Edge TPU already; check and compile the file that it "
            "was made from. `inspect` tells what it left to the CPU."
        )
    return _report(read_graph(file))


def _report(graph: Graph) -> EdgeTpuReport:
    verdicts: list[OperationVerdict] = []
    refusals: list[str] = []
    offender: int | None = None
    for op in graph.operations:
        unreadable = parse_problem(op)
        if unreadable:
            refusals.append(f"#{op.index} {op.name}: {unreadable}")
        boundary = "" if unreadable else _boundary(op, graph)
        reason = unreadable or boundary or mapping_problem(op)
        if reason and not boundary and offender is None:
            offender = op.index
        mapped = not reason and offender is None
        reason = reason or ("" if mapped else _AFTER)
        verdicts.append(
            OperationVerdict(op.index, op.name, op.version, op.macs, mapped, bool(boundary), reason)
        )
    before = _share_before(verdicts, offender)
    return EdgeTpuReport(
        verdicts=tuple(verdicts),
        refusals=tuple(refusals),
        first_offender=offender,
        share_before=before,
        mapped_share=0.0 if refusals else before,
        weight_bytes=graph.weight_bytes,
    )


def _share_before(verdicts: list[OperationVerdict], offender: int | None) -> float:
    if offender is None:
        return 1.0
    total = sum(verdict.macs for verdict in verdicts)
    return sum(verdict.macs for verdict in verdicts[:offender]) / total if total else 0.0


def _boundary(op: Operation, graph: Graph) -> str:
    """How what only serves a float32 end of the model is reported; a detector's last operator too.

    The compiler leaves it on the CPU and still maps what lies between ("Operation is otherwise
    supported, but not mapped due to some unspecified limitation" in its table).
    """
    if op.name == "QUANTIZE" and op.inputs[0] in graph.inputs and op.inputs[0].type == "float32":
        return "converts the float32 input; ask for a uint8 or int8 input to drop it"
    if op.name == DETECTION_OPERATOR:
        return "chooses the boxes, which the Edge TPU does not do"
    read = [reader for reader in graph.operations if op.outputs[0] in reader.inputs]
    if op.name == "DEQUANTIZE" and read and all(r.name == DETECTION_OPERATOR for r in read):
        return f"feeds {DETECTION_OPERATOR}, which takes no int8"
    if (
        op.name == "DEQUANTIZE"
        and op.outputs[0] in graph.outputs
        and op.inputs[0].type in ("int8", "uint8")
    ):
        return "converts the output to float32; ask for a uint8 or int8 output to drop it"
    return ""
