"""Timing a file on an Android phone: Google's prebuilt `benchmark_model`, run through adb."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_FOLDER = "/data/local/tmp"
TOOL = f"{_FOLDER}/benchmark_model"
_SECONDS = 300

HOW_TO_GET = (
    "Download Google's (storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/"
    "lite/tools/nightly/latest/android_aarch64_benchmark_model), then: adb push "
    f"android_aarch64_benchmark_model {TOOL} && adb shell chmod +x {TOOL}"
)

_NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"
_COUNTED = re.compile(rf"\bcount=(\d+)\b(.*?\bavg={_NUMBER}.*)$", re.MULTILINE)
_FIELD = re.compile(rf"\b(min|max|avg|std|p5|median|p95)={_NUMBER}")
_SUMMARY = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}"
)
_MEMORY = re.compile(
    rf"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): "
    rf"init={_NUMBER} overall={_NUMBER}"
)
_ERROR = re.compile(r"^.*\b(?:ERROR|error|failed|Failed|Could not)\b.*$", re.MULTILINE)


@dataclass(frozen=True)
class PhoneTiming:
    """What benchmark_model said of a file, in milliseconds.

    Attributes:
        average, deviation: of the timed runs.
        least, most: of them.
        median, p5, p95: None of a benchmark_model from before 2024, which does not tell them.
        initialization, first: loading the file, and its first run.
        runs: how many were timed.
        memory_bytes: what the process grew by; None if it does not say.
    """

    average: float
    deviation: float
    least: float
    most: float
    median: float | None
    p5: float | None
    p95: float | None
    initialization: float
    first: float
    runs: int
    memory_bytes: int | None


def read_output(text: str) -> PhoneTiming:
    """What `benchmark_model` printed, of any version, with or without logcat's prefixes.

    Raises:
        ValueError: there is no result in it; the message has the line that says why, if one does.
    """
    summary, counted = _SUMMARY.search(text), _COUNTED.findall(text)
    # Of a single run it tells no average; of warming up and timing, the second is the timing.
    if summary is None or not counted:
        said = _ERROR.search(text)
        reason = said.group().strip()[:300] if said else "it printed no timings"
        raise ValueError(f"benchmark_model gave no result: {reason}")
    runs, fields, _ = counted[-1]
    found = {name: float(value) / 1e3 for name, value in _FIELD.findall(fields)}
    memory = _MEMORY.search(text)
    average = float(summary.group(4)) / 1e3
    return PhoneTiming(
        average=average,
        deviation=found.get("std", 0.0),
        least=found.get("min", average),
        most=found.get("max", average),
        median=found.get("median"),
        p5=found.get("p5"),
        p95=found.get("p95"),
        initialization=float(summary.group(1)) / 1e3,
        first=float(summary.group(2)) / 1e3,
        runs=int(runs),
        memory_bytes=round(float(memory.group(2)) * 2**20) if memory else None,
    )


def time_on_phone(path: str | os.PathLike, *, threads: int = 1, runs: int = 50) -> PhoneTiming:
    """Copies a .tflite file to the connected phone, times it there and takes it away again.

    Args:
        path: the file.
        threads: CPU threads.
        runs: timed invocations, at least.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: adb is not on PATH, no phone or more than one is connected, or
            benchmark_model is not on it; the message says what to do.
        ValueError: benchmark_model cannot run the file.
        TimeoutError: adb did not answer within minutes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}.")
    if shutil.which("adb") is None:
        raise RuntimeError(
            "adb is not on PATH; it comes with Android's platform tools (apt-get install adb, or "
            "developer.android.com/tools/releases/platform-tools)."
        )
    if (there := _adb("shell", "ls", TOOL)).returncode:
        if "No such file" not in there.stdout:
            raise RuntimeError(f"adb reaches no phone: {_words(there.stdout)}; see `adb devices`.")
        raise RuntimeError(f"{TOOL} is not on the phone. {HOW_TO_GET}")
    copy = f"{_FOLDER}/slimnets_{os.getpid()}.tflite"
    if (pushed := _adb("push", os.fspath(path), copy)).returncode:
        raise RuntimeError(f"adb cannot copy {path} to the phone: {_words(pushed.stdout)}")
    try:
        ended = _adb(
            *("shell", TOOL, f"--graph={copy}", f"--num_threads={threads}", f"--num_runs={runs}")
        )
        try:
            return read_output(ended.stdout)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    finally:
        _adb("shell", "rm", "-f", copy)


def phone_name() -> str:
    """The connected phone's make and model; empty if it does not say."""
    words = (_adb("shell", "getprop", f"ro.product.{key}") for key in ("brand", "model"))
    return " ".join(_words(ended.stdout) for ended in words if not ended.returncode)


def _adb(*words: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(
            ["adb", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"adb {words[0]} did not end within {_SECONDS} s.") from None


def _words(text: str) -> str:
    return " ".join(text.split())[:300]
