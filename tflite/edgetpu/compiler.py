"""Running `edgetpu_compiler` where it is installed."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite.edgetpu.compiler_log import CompilerLog, parse_compiler_log
from tflite.edgetpu.verdict import EdgeTpuReport, check_edgetpu
from tflite.files.flatbuffer import FILE_IDENTIFIER
from tflite.files.writing import check_writable, put_in_place

COMPILER = "edgetpu_compiler"
MIN_RUNTIMES = range(10, 15)

# The compiler gives up by itself after this many seconds unless -t says otherwise.
_OWN_TIMEOUT = 180

HOW_TO_GET = (
    f"{COMPILER} is not on PATH. It runs on x86-64 Linux only: add Coral's package source "
    "(deb https://packages.cloud.google.com/apt coral-edgetpu-stable main) and "
    "`apt-get install edgetpu-compiler`, elsewhere in a Docker container of debian:bookworm "
    "(--platform linux/amd64); see coral.ai/docs/edgetpu/compiler."
)


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
        TypeError: if `path` or `out_dir` is no path.
        ValueError: for a wrong argument or a file that is not a TensorFlow Lite file.
        TimeoutError: if the compiler takes longer than `timeout`.
        RuntimeError: if the compiler is not on PATH (the message says how to get it), fails, or
            prints or writes something that is not its own.
    """
    _check_arguments(path, out_dir, timeout, min_runtime)
    path = Path(path).resolve()
    check = check_edgetpu(path)
    folder = Path(out_dir) if out_dir is not None else path.parent
    target = check_writable(folder / f"{path.stem}_edgetpu.tflite")
    try:
        compiler = find_compiler()
    except RuntimeError as error:
        raise RuntimeError(f"{error} What it would say of {path.name}:\n{check}") from None
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
        put_in_place(made, target)
        put_in_place(written, log_path)
    return EdgeTpuCompilation(path=target, log_path=log_path, log=log, check=check)


def find_compiler() -> str:
    """The compiler's path; RuntimeError, with how to get it, where it is not installed."""
    compiler = shutil.which(COMPILER)
    if compiler is None:
        raise RuntimeError(HOW_TO_GET)
    return compiler


def _check_arguments(path: Any, out_dir: Any, timeout: Any, min_runtime: Any) -> None:
    for name, value in (("path", path), ("out_dir", out_dir)):
        optional = name == "out_dir" and value is None
        if not (optional or isinstance(value, str | os.PathLike)) or "\0" in str(value):
            raise TypeError(f"{name} must be the path of a file or folder, got {value!r:.80}.")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
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
