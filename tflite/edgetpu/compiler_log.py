"""Reads what `edgetpu_compiler -s` prints.

Written against the output of version 16.0.384591198 as its users posted it (google-coral/edgetpu
issues 512, 671 and 845; the recorded ones in tests/tflite/edgetpu/logs).
"""

import re
from dataclasses import dataclass

from tflite.files.records import human_bytes

MAPPED = "Mapped to Edge TPU"

_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_BANNER = re.compile(r"Edge TPU Compiler version (\S+)")
_SIZE = re.compile(r"^(?P<label>.+? model parameters): (?P<number>[\d.]+)(?P<unit>B|[KMG]iB)\s*$")
_TABLE_HEAD = re.compile(r"^Operator\s+Count\s+Status\s*$")
_TABLE_ROW = re.compile(r"^(?P<name>\S+)\s+(?P<count>\d+)\s+(?P<status>\S.*?)\s*$")
_FAILURES = ("ERROR:", "Compilation failed", "Invalid model", "Model could not", "Model not")
_FAILURES_INSIDE = ("terminating with uncaught", "Internal compiler error")


@dataclass(frozen=True)
class OperatorRow:
    """One row of the compiler's table; `status` is "Mapped to Edge TPU" or why not."""

    name: str
    count: int
    status: str

    @property
    def mapped(self) -> bool:
        return self.status == MAPPED


@dataclass(frozen=True)
class CompilerLog:
    """The compiler's account of one model. Sizes are in bytes, None where it prints none.

    Attributes:
        on_chip_used, on_chip_remaining: memory of the Edge TPU that parameters take and leave.
        off_chip: parameters that do not fit and are streamed in every inference.
        subgraphs: pieces that run on the Edge TPU (edgetpu-custom-op in the compiled file).
    """

    version: str
    succeeded: bool
    errors: tuple[str, ...]
    operators: tuple[OperatorRow, ...]
    on_chip_used: int | None
    on_chip_remaining: int | None
    off_chip: int | None
    subgraphs: int | None
    operations: int | None

    @property
    def mapped(self) -> int:
        """How many operators run on the Edge TPU."""
        return sum(row.count for row in self.operators if row.mapped)

    @property
    def summary(self) -> str:
        """One line: what runs on the Edge TPU and what of its memory that takes."""
        pieces = "" if self.subgraphs in (None, 1) else f" in {self.subgraphs} pieces"
        line = f"{self.mapped} of {self.operations} operators on the Edge TPU{pieces}"
        if self.on_chip_used is not None:
            line += f", {human_bytes(self.on_chip_used)} of parameters on the chip"
        if self.off_chip:
            line += f", {human_bytes(self.off_chip)} streamed in every inference"
        return line


def parse_compiler_log(text: str) -> CompilerLog:
    """Reads the compiler's standard output.

    Raises:
        ValueError: if it is not the compiler's, or claims success and lacks a whole table.
    """
    banner = _BANNER.search(text)
    if not banner:
        start = " ".join(text.split())[:80]
        raise ValueError(
            'this is not the output of edgetpu_compiler (no line "Edge TPU Compiler version …"); '
            f"it begins {start!r}."
        )
    lines = text.splitlines()
    errors = tuple(line.strip() for line in lines if _tells_of_failure(line))
    succeeded = "compiled successfully" in text and "Compilation failed" not in text
    sizes = {m["label"]: _bytes(m) for m in map(_SIZE.match, lines) if m}
    log = CompilerLog(
        version=banner[1],
        succeeded=succeeded,
        errors=errors,
        operators=_operators(lines),
        on_chip_used=sizes.get("On-chip memory used for caching model parameters"),
        on_chip_remaining=sizes.get("On-chip memory remaining for caching model parameters"),
        off_chip=sizes.get("Off-chip memory used for streaming uncached model parameters"),
        subgraphs=_number(text, "Number of Edge TPU subgraphs"),
        operations=_number(text, "Total number of operations"),
    )
    counted = sum(row.count for row in log.operators)
    if succeeded and counted != log.operations:
        raise ValueError(
            f"edgetpu_compiler says {log.operations} operations but its table lists {counted}: "
            "the output is cut short, or the compiler ran without -s."
        )
    return log


def _tells_of_failure(line: str) -> bool:
    line = line.strip()
    return line.startswith(_FAILURES) or any(words in line for words in _FAILURES_INSIDE)


def _bytes(match: re.Match) -> int:
    return round(float(match["number"]) * _UNITS[match["unit"]])


def _number(text: str, label: str) -> int | None:
    match = re.search(rf"^{label}: (\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None


def _operators(lines: list[str]) -> tuple[OperatorRow, ...]:
    heads = [i for i, line in enumerate(lines) if _TABLE_HEAD.match(line)]
    if not heads:
        return ()
    rows = map(_TABLE_ROW.match, lines[heads[0] + 1 :])
    return tuple(OperatorRow(m["name"], int(m["count"]), m["status"]) for m in rows if m)
