"""How much memory TFLite Micro's interpreter needs to run a file: its arena, estimated."""

from dataclasses import dataclass

import numpy as np

from tflite.files.records import NUMPY_TYPES, Graph
from tflite.micro.trial import ALIGNMENT

# What stands in the arena besides activations, on a 64-bit machine, as MobileNetV1 was measured: a
# TfLiteEvalTensor a tensor; a registration and a kernel's own data an operator; a multiplier and a
# shift an output channel of a convolution.
_A_TENSOR, _AN_OPERATOR, _A_CHANNEL, _ONCE = 24, 170, 8, 512
# Its planner needs up to a seventh more for the activations than the one below.
_MARGIN = 1.15


@dataclass(frozen=True)
class Arena:
    """The arena's size.

    Attributes:
        size_bytes: the least with which the interpreter starts and runs the file here, on 64 bits.
            On 32 bits pointers take half as much; kernels of a chip's maker (CMSIS-NN, ESP-NN) may
            ask for scratch buffers beyond it.
        measured: False: tflite-micro is not installed, and this is an estimate, from the
            activations that are alive at once.
    """

    size_bytes: int
    measured: bool


def estimated_arena(graph: Graph) -> Arena:
    """The arena of a file that nothing here can run as a microcontroller does."""
    return Arena(_aligned(_estimate(graph)), False)


def _estimate(graph: Graph) -> int:
    made = {tensor.index: -1 for tensor in graph.inputs}
    last = {tensor.index: len(graph.operations) for tensor in graph.outputs}
    sizes, channels = {}, 0
    for place, operation in enumerate(graph.operations):
        for tensor in operation.activations:
            made.setdefault(tensor.index, place)
            last[tensor.index] = max(place, last.get(tensor.index, 0))
            sizes[tensor.index] = tensor.elements * np.dtype(NUMPY_TYPES[tensor.type]).itemsize
        if operation.name.endswith("CONV_2D"):
            channels += operation.outputs[0].sizes[-1]
    spans = [(_aligned(size), made[index], last[index]) for index, size in sizes.items()]
    fixed = _A_TENSOR * len(graph.tensors) + _AN_OPERATOR * len(graph.operations)
    return round(_MARGIN * _planned(spans)) + fixed + _A_CHANNEL * channels + _ONCE


def _planned(spans: list[tuple[int, int, int]]) -> int:
    """Bytes of (size, first, last) as TFLite Micro's greedy planner lays them out: largest first,
    each in the first gap between those that are alive with it."""
    placed: list[tuple[int, int, int, int]] = []
    for size, first, last in sorted(spans, key=lambda span: (-span[0], span[1])):
        offset = 0
        for start, end, other_first, other_last in sorted(placed):
            if other_first <= last and first <= other_last:
                if start - offset >= size:
                    break
                offset = max(offset, end)
        placed.append((offset, offset + size, first, last))
    return max(end for _, end, _, _ in placed)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
