"""What the activations of a float network are like, channel by channel, over calibration images.

TensorFlow's own calibration gives every convolution that feeds a residual ADD the range of the
sum, not its own (10 of 10 in a MobileNetV2), and knows no channels; so this is a pass of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.files.floors import find_floors
from tflite.quantizing.execution import Step, in_batches, last_readers, shape_of

# Images go through the network in groups whose largest activation is about so many numbers: a
# few megabytes stay in the processor's caches and in memory that is used again.
_NUMBERS_AT_ONCE = 4_000_000
# Of its range, for N images: min(1/4, 20/N^1.5), which is 2 % for 100.
_HEADROOM, _MOST_HEADROOM = 20.0, 0.25
# Values of an activation that its range is judged by, and the shares of its ends that are tried.
_SAMPLED = 200_000
_SHARES = np.linspace(1.0, 0.3, 15)
_CLEARLY_LESS = 0.999
# A floor is rounded to a step, and what is above it counts: so a little lower.
_BELOW_FLOOR = 1.02
# Images of less than this share of the usual energy count as if they had it.
_LEAST_ENERGY = 0.1


@dataclass(frozen=True)
class Statistics:
    """One activation, a number a channel (its last axis).

    Attributes:
        low, high: least and greatest value over all images.
        mean: weighted average over the images that weights are fitted to.
        energies: (images,), the mean square of each of these.
        floor: what lower values were taken for, since they make no difference.
        sample: (images, n, channels), some of the values, where the range is to be that of the
            least error.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    energies: np.ndarray
    floor: np.ndarray | float = -np.inf
    sample: np.ndarray | None = None

    @property
    def weights(self) -> np.ndarray:
        """(images,), what each counts when means are matched: 1, or less where it is unusually
        loud, for else one image in a hundred would have the biases to itself."""
        return _shares(self.energies, least=1.0)

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value of all with 0 among them; narrower where that errs less."""
        low, high = min(float(self.low.min()), 0.0), max(float(self.high.max()), 0.0)
        if self.sample is None or not low < high:
            return low, high
        values = self.sample.clip(low, high)
        # An error is as bad as it is large beside what else is in its image (MobileNetV3-Large 0.35
        # on Fashion-MNIST keeps 19.1 dB if all count alike, 21.5 so).
        weights = _shares(self.energies, least=_LEAST_ENERGY)

        def error(low: float, high: float) -> float:
            return float(weights @ _errors(values, low, high) / weights.sum())

        high *= _best_share(lambda share: error(low, share * high))
        low *= _best_share(lambda share: error(share * low, high)) if low < 0 else 1
        return low, high

    def moved(self, scale: np.ndarray, shift: np.ndarray) -> "Statistics":
        """Of (values - shift) / scale."""
        moved = {n: (getattr(self, n) - shift) / scale for n in ("low", "high", "mean", "floor")}
        if self.sample is not None:
            moved["sample"] = ((self.sample - shift) / scale).astype(np.float32)
        return replace(self, **moved)


def measure(
    data: bytes,
    images: np.ndarray,
    limits: Mapping[int, tuple[float, float]] | None = None,
) -> dict[int, Statistics]:
    """Runs a float file on images.

    Args:
        data: a float32 file with one input.
        images: float32 (N, height, width, channels), as the file takes them.
        limits: tensors by index, and the least and the greatest value that theirs are taken for.

    Returns:
        Statistics of every activation by its tensor's index, the input's first, which alone is
        without a sample.
    """
    flat = flatbuffer.unpack(data)
    floors = find_floors(flat)
    images = in_batches(flat, images)
    steps = [Step(flat, position) for position in range(len(flat.subgraphs[0].operators))]
    source = int(flat.subgraphs[0].inputs[0])
    found: dict[int, _Sums] = {}
    size = _images_at_once(flat)
    for start in range(0, len(images), size):
        group = images[start : start + size]
        for index, values in _run(flat, steps, group):
            if values.ndim < 2:
                values = values.reshape(-1, 1)  # without channels, as `Channels.labels` says
            if limits and index in limits:
                values = values.clip(*limits[index])
            floor = _BELOW_FLOOR * floors.get(index, -np.inf)
            if index not in found:
                rows = max(1, _SAMPLED // (values.shape[-1] * len(images)))
                rows = 0 if index == source else rows
                found[index] = _Sums(values.shape[-1], floor, rows)
            found[index].add(values)
    return {index: sums.statistics() for index, sums in found.items()}


def merged(
    statistics: Mapping[int, Statistics], others: Mapping[int, Statistics], fitted: bool
) -> dict[int, Statistics]:
    """Ranges of the images of both; means, too, if weights are fitted to the others as well."""
    return {index: _of_both(found, others[index], fitted) for index, found in statistics.items()}


def _of_both(one: Statistics, other: Statistics, fitted: bool) -> Statistics:
    one = replace(one, low=np.minimum(one.low, other.low), high=np.maximum(one.high, other.high))
    if not fitted:
        return one
    share = other.weights.sum() / (one.weights.sum() + other.weights.sum())
    energies = np.concatenate([one.energies, other.energies])
    sample = None
    if one.sample is not None:
        rows = min(one.sample.shape[1], other.sample.shape[1])
        sample = np.concatenate([one.sample[:, :rows], other.sample[:, :rows]])
    mean = (1 - share) * one.mean + share * other.mean
    return replace(one, mean=mean, energies=energies, sample=sample)


def with_headroom(statistics: Mapping[int, Statistics], images: int) -> dict[int, Statistics]:
    """Each channel's range a little wider, the more so the fewer images it was found from.

    One image in N + 1 exceeds the greatest value of N others, and a channel that just fills the
    int8 range is clipped then: with a tenth more for 32 images, networks of two layers gain 3 to 5
    dB on images not seen; for 100, more than a fiftieth gains nothing. Bounds at 0, which a ReLU
    sets, and at 6, where a ReLU6 was reached, stay, as do floors, and the input.
    """
    source, *others = statistics
    found = {source: statistics[source]}
    for index in others:
        each = statistics[index]
        more = min(_MOST_HEADROOM, _HEADROOM / images**1.5) * (each.high - each.low)
        low = np.where(each.low == 0, 0, np.maximum(each.low - more, each.floor))
        high = np.where(each.high == 0, 0, each.high + more)
        most = 6.0 if each.high.max() == 6 else np.inf
        found[index] = replace(each, low=low, high=np.minimum(high, most))
    return found


class _Sums:
    """Statistics in the making."""

    def __init__(self, channels: int, floor: float, rows: int) -> None:
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self.floor, self._rows = floor, rows
        self._means, self._energies, self._samples = [], [], []

    def add(self, values: np.ndarray) -> None:
        values = values.reshape(len(values), -1, values.shape[-1])
        if self.floor > -np.inf:
            values = np.maximum(values, np.float32(self.floor))
        self.low = np.minimum(self.low, values.min(axis=(0, 1)))
        self.high = np.maximum(self.high, values.max(axis=(0, 1)))
        self._means.append(values.mean(axis=1, dtype=np.float64))
        self._energies.append(np.square(values).mean(axis=(1, 2), dtype=np.float64))
        places = np.random.default_rng(0).permutation(values.shape[1])[: self._rows]
        self._samples.append(values[:, places])

    def statistics(self) -> Statistics:
        energies, means = np.concatenate(self._energies), np.concatenate(self._means)
        weights = _shares(energies, least=1.0)
        mean = weights @ means / weights.sum()
        sample = np.concatenate(self._samples) if self._rows else None
        return Statistics(self.low, self.high, mean, energies, self.floor, sample)


def _shares(energies: np.ndarray, least: float) -> np.ndarray:
    """The usual energy as a multiple of each image's, which count for at least so much of it."""
    usual = max(float(energies.mean()), 1e-30)
    return usual / np.maximum(energies, least * usual)


def _best_share(error: Callable[[float], float]) -> float:
    """The share of a range's end with the least error; a larger one where that is no less."""
    best, least = 1.0, error(1.0)
    for share in _SHARES[1:]:
        found = error(share)
        if found < _CLEARLY_LESS * least:
            best, least = share, found
    return best


def _errors(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Mean squared error of each image's values in 255 steps from low to high."""
    step = (high - low) / 255
    if not step > 0:
        return np.full(len(values), np.inf)
    rounded = np.rint((values - low) / step).clip(0, 255) * step + low
    return np.square(rounded - values).mean(axis=(1, 2))


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
