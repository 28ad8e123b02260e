"""A model file of any kind as something that can be timed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tflite.hints import did_you_mean

KINDS = (".tflite", ".keras", ".onnx")

Run = Callable[[], object]


@dataclass(frozen=True)
class Contestant:
    """A model file.

    Attributes:
        path: the file.
        kind: how it ends: one of `KINDS`.
        numbers: what it computes in: "float32", "int8", "int16", "dynamic" (int8 weights).
        size_bytes: of the file.
        macs: multiply–accumulates of a run; None where they are not known.
        batch: images of a run.
        opened: for a number of threads, a function that runs it once.
        takes_threads: whether that number is heeded: Keras's threads are TensorFlow's, for all
            models of the process.
    """

    path: Path
    kind: str
    numbers: str
    size_bytes: int
    macs: int | None
    batch: int
    opened: Callable[[int], Run] = field(repr=False)
    takes_threads: bool = True


def open_contestant(
    path: str | os.PathLike, delegate: bool | str | os.PathLike = True
) -> Contestant:
    """A .tflite, .keras or .onnx file.

    Args:
        path: the file.
        delegate: for a .tflite file, see `tflite.litert.open_interpreter`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such file, or it cannot be run here.
        ModuleNotFoundError: a .onnx file, and ONNX Runtime is not installed.
    """
    path = Path(path)
    openers = {".tflite": _tflite, ".keras": _keras, ".onnx": _onnx}
    if path.suffix not in openers:
        hint = did_you_mean(path.suffix, KINDS) if path.suffix else ""
        raise ValueError(f"{path}: a model file ends in {', '.join(KINDS)}.{hint}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}.")
    if path.suffix == ".tflite":
        return _tflite(path, delegate)
    return openers[path.suffix](path)


def _tflite(path: Path, delegate: bool | str | os.PathLike) -> Contestant:
    from tflite.files.compiled import check_runs_here
    from tflite.files.reading import open_file
    from tflite.files.records import read_graph
    from tflite.measuring.timing import invocation
    from tflite.runtime import errors_named

    file = open_file(path)
    graph = read_graph(file)
    check_runs_here(file, delegate)

    def opened(threads: int) -> Run:
        with errors_named(file.name):
            return invocation(file.data, num_threads=threads, delegate=delegate)

    return Contestant(
        path=path,
        kind=".tflite",
        numbers=graph.numbers,
        size_bytes=graph.size,
        macs=graph.macs or None,
        batch=graph.inputs[0].sizes[0] if graph.inputs and graph.inputs[0].sizes else 1,
        opened=opened,
    )


def _keras(path: Path) -> Contestant:
    from slimnets.complexity import complexity
    from tflite.keras_models import check_input, load_file

    model = load_file(path)
    size = check_input(model)[1:]
    if None in size:
        raise ValueError(f"{path} leaves the size of images open: {size}.")
    image = np.zeros((1, *size), np.float32)
    return Contestant(
        path=path,
        kind=".keras",
        numbers="float32",
        size_bytes=path.stat().st_size,
        macs=complexity(model).macs,
        batch=1,
        opened=lambda _: lambda: model.predict_on_batch(image),
        takes_threads=False,
    )


def _onnx(path: Path) -> Contestant:
    from slimnets.onnx_files import OnnxSession, count_macs

    session = OnnxSession(path, 1)
    if None in session.shape[1:]:
        raise ValueError(f"{path} leaves the size of images open: {session.shape}.")
    batch = session.shape[0] or 1
    image = np.zeros((batch, *session.shape[1:]), session.dtype)

    def opened(threads: int) -> Run:
        again = OnnxSession(path, threads)
        return lambda: again.run(image)

    macs = session.about.macs
    macs = macs * batch if macs else count_macs(path)
    quantized = session.dtype in (np.uint8, np.int8)
    return Contestant(
        path=path,
        kind=".onnx",
        numbers="int8" if quantized else "float32",
        size_bytes=path.stat().st_size,
        macs=macs,
        batch=batch,
        opened=opened,
    )
