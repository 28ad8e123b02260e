"""How long a call takes: medians and spreads, of several calls by turns.

What else a machine does slows down whatever runs at that moment. Timed one after the other, the
file that was timed in a quiet minute looks the fastest; by turns, all are hit alike.
"""

import itertools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call.

    Attributes:
        median: half of the calls took less.
        p10, p90: a tenth of the calls took less than p10, a tenth more than p90.
        runs: how many calls were timed.
    """

    median: float
    p10: float
    p90: float
    runs: int

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.p10:.3f}–{self.p90:.3f})"


def time_calls(
    calls: Sequence[Callable[[], object]],
    *,
    warm_up: int = 3,
    runs: int = 15,
    least_seconds: float = 0.0,
    most_seconds: float = math.inf,
    before: Callable[[], object] | None = None,
) -> list[Timing]:
    """Times calls by turns: first to last, then last to first, and so on.

    Args:
        calls: what to time.
        warm_up: so many calls of each that are not timed.
        runs: so many timed calls of each, …
        least_seconds: … or more, until all timed calls together took so long, …
        most_seconds: … or fewer, once they did; at least one of each.
        before: called before each of them, and not timed.

    Returns:
        A timing each, in their order.
    """
    times: list[list[float]] = [[] for _ in calls]
    for turn in itertools.count(-warm_up):
        spent = sum(map(sum, times))
        if turn > 0 and (spent >= most_seconds or (turn >= runs and spent >= least_seconds)):
            break
        # There and back, so that a call does not always follow the same one.
        order = reversed(range(len(calls))) if turn % 2 else range(len(calls))
        for index in order:
            if before is not None:
                before()
            start = perf_counter()
            calls[index]()
            seconds = perf_counter() - start
            if turn >= 0:
                times[index].append(seconds)
    return [_summary(seconds) for seconds in times]


def _summary(seconds: Sequence[float]) -> Timing:
    p10, median, p90 = (float(value) for value in 1e3 * np.percentile(seconds, (10, 50, 90)))
    return Timing(median, p10, p90, len(seconds))


def invocation(
    content: bytes,
    inputs: Sequence[np.ndarray] | None = None,
    *,
    num_threads: int = 1,
    delegate: bool | str | os.PathLike = True,
) -> Callable[[], None]:
    """A function that runs a .tflite file once.

    Args:
        content: the file.
        inputs: what it is run on, every time; None: zeros.
        num_threads: of the CPU kernels.
        delegate: True: LiteRT's default; else a delegate's library (see `open_interpreter`).

    Raises:
        RuntimeError, ValueError: LiteRT cannot run the file.
        OSError: the delegate's library or its device is missing.
    """
    from tflite.litert import open_interpreter

    interpreter = open_interpreter(content, num_threads=num_threads, delegate=delegate)
    details = interpreter.get_input_details()
    if inputs is None:
        inputs = [np.zeros(detail["shape"], detail["dtype"]) for detail in details]
    for detail, value in zip(details, inputs, strict=True):
        if tuple(detail["shape"]) != value.shape:
            interpreter.resize_tensor_input(detail["index"], value.shape)
    interpreter.allocate_tensors()
    for detail, value in zip(details, inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    return interpreter.invoke
