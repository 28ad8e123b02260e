"""What counts in a detector's raw heads when they are quantized.

Most anchors are on nothing, and how far their numbers go was never trained: in an SSDLite of three
classes, codes go to -44 where those on objects keep within ±4, logits to ±40 where a tenth of that
decides. One range for all would round the boxes that are found, and the scores that choose among
them, to steps several times as wide as need be.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.images import ImageInput
from tflite.quantizing.channels import MOVES
from tflite.quantizing.execution import activations
from tflite.quantizing.ranges import set_range
from tflite.runtime import Session, softmax

Range = tuple[float, float]

_CODES = 4
# An anchor below this probability of an object says nothing about the range of the codes.
_LEAST = 0.05
_SHARES = np.linspace(1.0, 0.2, 17)
# What a probability's error counts beside that of a code: an error of 1/50 as one of 1/10, about as
# much of a box's height and width.
_OF_SCORES = 25.0
_MOST_IMAGES = 200
# By so many logits their range is chosen.
_JUDGED = 200_000


@dataclass(frozen=True)
class DetectorHeads:
    """The ranges that a file's codes and logits need, and how its outputs are weighed.

    An output is (n, 4 + K): codes and probabilities of each anchor, the background's first.

    Attributes:
        width: 4 + K.
        codes, logits: least and greatest; None where no anchor is on anything.
    """

    width: int
    codes: Range | None = None
    logits: Range | None = None

    @classmethod
    def of(cls, data: bytes, images: np.ndarray, image: ImageInput | None) -> "DetectorHeads":
        """What a float file that joins codes and probabilities needs on images like these."""
        images = images[:: 1 + len(images) // _MOST_IMAGES]
        rows = Session(data, image).run(images)
        width = rows.shape[-1]
        rows = rows.reshape(-1, width)
        objects = _objects(rows)
        sure = objects >= _LEAST
        if not sure.any():
            return cls(width)
        codes = code_range(rows[sure, :_CODES], objects[sure])
        if _logits(flat := flatbuffer.unpack(data)) is None:
            return cls(width, codes)
        flat.subgraphs[0].outputs = np.asarray([_logits(flat)], np.int32)
        flat.signatureDefs = []
        logits = Session(flatbuffer.pack(flat), image).run(images).reshape(len(rows), -1)
        return cls(width, codes, logit_range(logits, rows[:, _CODES:], sure))

    def limits(self, data: bytes) -> dict[int, Range]:
        """The tensors of a float file that have these ranges, by index."""
        return self._limits(flatbuffer.unpack(data))

    def with_ranges(self, calibrated: bytes) -> bytes:
        """The float file with these ranges."""
        if self.codes is None:
            return calibrated
        flat = flatbuffer.unpack(calibrated)
        # What is joined gets the range of the whole.
        whole = {int(flat.subgraphs[0].outputs[0]): self.codes}
        for tensor, ends in {**self._limits(flat), **whole}.items():
            set_range(flat, tensor, *ends)
        return flatbuffer.pack(flat)

    def _limits(self, flat: schema.ModelT) -> dict[int, Range]:
        found = [(int(_join(flat).inputs[0]), self.codes), (_logits(flat), self.logits)]
        return {
            index: ends
            for tensor, ends in found
            if tensor is not None and ends is not None
            for index in _parts(flat, tensor)
        }

    def weigh(self, outputs: np.ndarray) -> np.ndarray:
        """What each number's error counts, of (N, n · (4 + K)), in the same shape."""
        rows = outputs.reshape(-1, self.width)
        weights = np.full_like(rows, _OF_SCORES)
        weights[:, :_CODES] = _objects(rows)[:, None]
        return weights.reshape(outputs.shape)


def code_range(codes: np.ndarray, objects: np.ndarray) -> Range:
    """The range of least squared error of (n, 4), each row counting by how sure it is, (n,)."""

    def error(ends: Range) -> float:
        step = (ends[1] - ends[0]) / 255
        squares = np.square(codes.clip(*ends) - codes) + step**2 / 12
        return float((squares * objects[:, None]).sum())

    return _best(codes, error)


def logit_range(logits: np.ndarray, probabilities: np.ndarray, sure: np.ndarray) -> Range:
    """The range whose steps change probabilities least, all (n, K).

    Of the `sure` rows and of the others as many count as there is time for: what is clipped must
    not make an object of the background.
    """
    most = max(1, _JUDGED // logits.shape[1])
    kinds = (np.nonzero(sure)[0], np.nonzero(~sure)[0])
    rows = np.concatenate([rows[:: 1 + len(rows) // most] for rows in kinds])
    logits, wanted = logits[rows], probabilities[rows]
    sums_to_1 = abs(wanted.sum(axis=1) - 1).max() < 1e-3

    def error(ends: Range) -> float:
        step = max((ends[1] - ends[0]) / 255, 1e-9)
        rounded = np.rint(logits.clip(*ends) / step) * step
        found = softmax(rounded) if sums_to_1 else 1 / (1 + np.exp(-rounded))
        return float(np.square(found - wanted).sum())

    return _best(logits, error)


def _best(values: np.ndarray, error: Callable[[Range], float]) -> Range:
    """Of ranges around 0 up to that of the values."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    ends = product(np.unique(low * _SHARES), np.unique(high * _SHARES))
    low, high = min(ends, key=error)
    return float(low), float(high)


def _objects(rows: np.ndarray) -> np.ndarray:
    """The probability of the likeliest class that is no background."""
    return rows[:, _CODES + 1 :].max(axis=1)


def _join(flat: schema.ModelT) -> Any:
    """What joins codes and probabilities at the file's end."""
    graph = flat.subgraphs[0]
    return flatbuffer.producers(graph)[int(graph.outputs[0])]


def _logits(flat: schema.ModelT) -> int | None:
    """The tensor that probabilities are made of."""
    last = flatbuffer.producers(flat.subgraphs[0]).get(int(_join(flat).inputs[1]))
    known = last is not None and flatbuffer.operator_name(flat, last) in flatbuffer.PROBABILITIES
    return int(last.inputs[0]) if known else None


def _parts(flat: schema.ModelT, tensor: int) -> Iterator[int]:
    """A tensor and those that its values come from as they are: the heads of each map."""
    yield tensor
    writer = flatbuffer.producers(flat.subgraphs[0]).get(tensor)
    if writer is not None and flatbuffer.operator_name(flat, writer) in MOVES:
        for index in activations(flat, writer):
            yield from _parts(flat, index)
