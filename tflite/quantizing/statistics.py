"""What the activations of a float network are like, channel by channel, over calibration images.

TensorFlow's own calibration gives every convolution that feeds a residual ADD the range of the
sum, not its own (10 of 10 in a MobileNetV2), and knows no channels; so this is a pass of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.quantizing.execution import Step, in_batches, last_readers, shape_of

# Images go through the network in groups whose largest activation is about so many numbers: a
# few megabytes stay in the processor's caches and in memory that is used again.
_NUMBERS_AT_ONCE = 4_000_000
# Of its range, for N images: min(1/4, 20/N^1.5), which is 2 % for 100.
_HEADROOM, _MOST_HEADROOM = 20.0, 0.25


@dataclass(frozen=True)
class Statistics:
    """One activation, a number a channel (its last axis).

    Attributes:
        low, high: least and greatest value over all images.
        mean: average over the images that weights are fitted to.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value of all, with 0 among them."""
        return min(float(self.low.min()), 0.0), max(float(self.high.max()), 0.0)

    def moved(self, scale: np.ndarray, shift: np.ndarray) -> "Statistics":
        """Of (values - shift) / scale."""
        return Statistics(*((each - shift) / scale for each in (self.low, self.high, self.mean)))


def measure(data: bytes, images: np.ndarray, fitted: int | None = None) -> dict[int, Statistics]:
    """Runs a float file on images.

    Args:
        data: a float32 file with one input.
        images: float32 (N, height, width, channels), as the file takes them.
        fitted: so many of them, from the first, count for the means; all by default.

    Returns:
        Statistics of every activation by its tensor's index, the input's first.
    """
    flat = flatbuffer.unpack(data)
    images = in_batches(flat, images)
    fitted = len(images) if fitted is None else fitted
    steps = [Step(flat, position) for position in range(len(flat.subgraphs[0].operators))]
    found: dict[int, _Sums] = {}
    size = _images_at_once(flat)
    for start in range(0, len(images), size):
        group = images[start : start + size]
        for index, values in _run(flat, steps, group):
            sums = found.setdefault(index, _Sums(values.shape[-1]))
            sums.add(values, share=np.clip((fitted - start) / len(group), 0, 1))
    return {index: sums.statistics() for index, sums in found.items()}


def merged(
    statistics: Mapping[int, Statistics], others: Mapping[int, Statistics], share: float
) -> dict[int, Statistics]:
    """Of the images of both; `share` of the mean is that of the others."""
    return {
        index: Statistics(
            low=np.minimum(found.low, others[index].low),
            high=np.maximum(found.high, others[index].high),
            mean=(1 - share) * found.mean + share * others[index].mean,
        )
        for index, found in statistics.items()
    }


def with_headroom(statistics: Mapping[int, Statistics], images: int) -> dict[int, Statistics]:
    """Each channel's range a little wider, the more so the fewer images it was found from.

    One image in N + 1 exceeds the greatest value of N others, and a channel that just fills the
    int8 range is clipped then: with a tenth more for 32 images, networks of two layers gain 3 to 5
    dB on images not seen; for 100, more than a fiftieth gains nothing. Bounds at 0, which a ReLU
    sets, stay, and so does the input.
    """
    source, *others = statistics
    found = {source: statistics[source]}
    for index in others:
        each = statistics[index]
        more = min(_MOST_HEADROOM, _HEADROOM / images**1.5) * (each.high - each.low)
        low = np.where(each.low == 0, 0, each.low - more)
        found[index] = replace(each, low=low, high=np.where(each.high == 0, 0, each.high + more))
    return found


class _Sums:
    """Statistics in the making."""

    def __init__(self, channels: int) -> None:
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self.total, self.count = np.zeros(channels), 0

    def add(self, values: np.ndarray, share: float) -> None:
        rows = values.reshape(-1, values.shape[-1])
        self.low = np.minimum(self.low, rows.min(axis=0))
        self.high = np.maximum(self.high, rows.max(axis=0))
        rows = rows[: round(share * len(rows))]
        self.total, self.count = self.total + rows.sum(axis=0), self.count + len(rows)

    def statistics(self) -> Statistics:
        return Statistics(self.low, self.high, self.total / max(self.count, 1))


def _run(flat: schema.ModelT, steps: list[Step], images: np.ndarray):
    """Every activation as soon as it is there, as (index, values)."""
    last = last_readers(flat)
    source = int(flat.subgraphs[0].inputs[0])
    live = {source: images}
    yield source, images
    for step in steps:
        outputs = step([live[i] for i in step.inputs])
        for index, values in zip(step.outputs, outputs, strict=True):
            live[index] = values
            yield index, values
        for index in [i for i in live if last.get(i, -1) <= step.position]:
            del live[index]


def _images_at_once(flat: schema.ModelT) -> int:
    graph = flat.subgraphs[0]
    batch = int(graph.tensors[graph.inputs[0]].shape[0])
    largest = max(int(np.prod(shape_of(tensor))) for tensor in graph.tensors)
    return batch * max(1, _NUMBERS_AT_ONCE // largest)
