"""Coral's Edge TPU: what its compiler would do with a file, and running that compiler.

The compiler (`edgetpu_compiler`, last release 16.0) is a closed x86-64 Linux program, so
`check_edgetpu` predicts its verdict from the published rules, without it.
"""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tflite.edgetpu_log import CompilerLog, parse_compiler_log
from tflite.edgetpu_rules import CAUTIONS, ON_CHIP_BYTES, mapping_problem, parse_problem
from tflite.flatbuffer import FILE_IDENTIFIER, check_writable
from tflite.graph import Graph, Operation, read_graph
from tflite.inspector import human_bytes

COMPILER = "edgetpu_compiler"
MIN_RUNTIMES = range(10, 15)

_AFTER = "follows an operator that does not map (one partition only)"
# The compiler gives up by itself after this many seconds unless -t says otherwise.
_OWN_TIMEOUT = 180
_LISTED = 6

HOW_TO_GET = (
    f"{COMPILER} is not on PATH. It runs on x86-64 Linux only: add Coral's package source "
    "(deb https://packages.cloud.google.com/apt coral-edgetpu-stable main) and "
    "`apt-get install edgetpu-compiler`, elsewhere in a Docker container of debian:bookworm "
    "(--platform linux/amd64); see coral.ai/docs/edgetpu/compiler."
)


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


@dataclass(frozen=True)
class EdgeTpuCompilation:
    """A compiled model.

    Attributes:
        path: the compiled file, `<name>_edgetpu.tflite`.
        log_path: the compiler's output beside it, `<name>_edgetpu.log`.
        log: the same output, read.
        check: what `check_edgetpu` expected of the input.
    """

    path: Path
    log_path: Path
    log: CompilerLog
    check: EdgeTpuReport

    def as_dict(self) -> dict:
        """All of it as JSON-able lists, dictionaries, numbers and strings."""
        return {
            "path": os.fspath(self.path),
            "log_path": os.fspath(self.log_path),
            "log": dataclasses.asdict(self.log),
            "check": self.check.as_dict(),
        }


def check_edgetpu(path: str | os.PathLike | bytes) -> EdgeTpuReport:
    """Predicts what the Edge TPU compiler would map of a .tflite file, without the compiler.

    Args:
        path: the file, or its content as bytes.

    Raises:
        TypeError: for anything but a path or bytes.
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a readable TensorFlow Lite file.
    """
    return _report(read_graph(path))


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
    """How a QUANTIZE or DEQUANTIZE that only serves a float32 end of the model is reported.

    The compiler leaves it on the CPU and still maps what lies between ("Operation is otherwise
    supported, but not mapped due to some unspecified limitation" in its table).
    """
    if op.name == "QUANTIZE" and op.inputs[0] in graph.inputs and op.inputs[0].type == "float32":
        return "converts the float32 input; ask for a uint8 or int8 input to drop it"
    if (
        op.name == "DEQUANTIZE"
        and op.outputs[0] in graph.outputs
        and op.inputs[0].type in ("int8", "uint8")
    ):
        return "converts the output to float32; ask for a uint8 or int8 output to drop it"
    return ""


def compile_edgetpu(
    path: str | os.PathLike,
    out_dir: str | os.PathLike | None = None,
    timeout: float = 180,
    *,
    min_runtime: int = MIN_RUNTIMES[-1],
) -> EdgeTpuCompilation:
    """Runs `edgetpu_compiler` on a .tflite file.

    The result and the compiler's output appear in `out_dir` as `<name>_edgetpu.tflite` and
    `<name>_edgetpu.log`, at once and only on success; a failure of any kind leaves whatever an
    earlier run put there.

    Args:
        path: the int8 file.
        out_dir: an existing folder; None for the file's own.
        timeout: seconds; then the compiler and all it started are killed.
        min_runtime: the oldest Edge TPU runtime that the result must run on, 10 to 14.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: for a wrong argument or a file that is not a TensorFlow Lite file.
        TimeoutError: if the compiler takes longer than `timeout`.
        RuntimeError: if the compiler is not on PATH (the message says how to get it), fails, or
            prints or writes something that is not its own.
    """
    _check_arguments(timeout, min_runtime)
    path = Path(path).resolve()
    check = check_edgetpu(path)
    folder = Path(out_dir) if out_dir is not None else path.parent
    target = check_writable(folder / f"{path.stem}_edgetpu.tflite")
    compiler = shutil.which(COMPILER)
    if compiler is None:
        raise RuntimeError(f"{HOW_TO_GET} What it would say of {path.name}:\n{check}")
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.stem}_edgetpu.") as scratch:
        options = ["-s", "-a", "-m", str(min_runtime), "-o", scratch]
        if timeout > _OWN_TIMEOUT:
            options += ["-t", str(round(timeout))]
        status, output = _run([compiler, *options, os.fspath(path)], scratch, timeout)
        made = Path(scratch, target.name)
        log = _judge(status, output, made, check)
        log_path = target.with_suffix(".log")
        written = Path(scratch, "output.log")
        written.write_text(output, encoding="utf-8")
        os.replace(made, target)
        os.replace(written, log_path)
    return EdgeTpuCompilation(path=target, log_path=log_path, log=log, check=check)


def _check_arguments(timeout: float, min_runtime: int) -> None:
    if not timeout > 0:
        raise ValueError(f"timeout must be a positive number of seconds, got {timeout!r}.")
    if min_runtime not in MIN_RUNTIMES:
        raise ValueError(
            f"min_runtime must be an Edge TPU runtime from {MIN_RUNTIMES[0]} to "
            f"{MIN_RUNTIMES[-1]}, got {min_runtime!r}."
        )


def _run(command: list[str], folder: str, timeout: float) -> tuple[int, str]:
    """Exit status and output; the process and its children are dead when this returns or raises."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise TimeoutError(
            f"{COMPILER} did not finish in {timeout:g} s and was stopped; nothing was changed. "
            "Give a longer timeout= (models with large activations take minutes)."
        ) from None
    finally:
        # The compiler forks: its child must not outlive a time-out or a Ctrl-C.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return process.returncode, output.decode("utf-8", errors="replace")


def _judge(status: int, output: str, made: Path, check: EdgeTpuReport) -> CompilerLog:
    """The compiler's log, once it is sure that it succeeded and left a model."""
    try:
        log = parse_compiler_log(output)
    except ValueError as error:
        raise RuntimeError(f"{COMPILER} ended with status {status}, but {error}") from error
    if status or not log.succeeded:
        said = "; ".join(log.errors) or "no reason given"
        raise RuntimeError(f"{COMPILER} failed with status {status}: {said}\n{check}")
    if not made.is_file():
        raise RuntimeError(f"{COMPILER} says that it succeeded but wrote no {made.name}.")
    with made.open("rb") as file:
        if file.read(8)[4:] != FILE_IDENTIFIER:
            raise RuntimeError(
                f"{COMPILER} wrote a {made.name} that is not a TensorFlow Lite file."
            )
    return log
