"""The range of every activation, from which the quantizer makes its scale and zero point."""

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.quantizing.channels import MOVES
from tflite.quantizing.execution import activations
from tflite.quantizing.statistics import Statistics


def set_ranges(data: bytes, statistics: Mapping[int, Statistics]) -> bytes:
    """The float file with each activation's own least and greatest value, 0 among them.

    Plain minima and maxima; where statistics hold samples, ranges of the least error, which are
    better where channels cannot be equalized (h-swish) or single images are odd, but clip what
    photographs of another kind need. What only moves values has the range of what it moves.
    """
    flat = flatbuffer.unpack(data)
    tensors = flat.subgraphs[0].tensors
    ranges = {index: found.range for index, found in statistics.items()}
    for operator in flat.subgraphs[0].operators:
        inputs = [ranges[i] for i in activations(flat, operator) if i in ranges]
        if flatbuffer.operator_name(flat, operator) in MOVES and inputs:
            union = min(low for low, _ in inputs), max(high for _, high in inputs)
            ranges.update({int(i): ranges.get(int(i), union) for i in operator.outputs})
    for index, (low, high) in ranges.items():
        tensors[index].quantization = schema.QuantizationParametersT(
            min=np.asarray([low], np.float32), max=np.asarray([high], np.float32)
        )
    return flatbuffer.pack(flat)
