"""Values so low that they make no difference: an h-swish gives 0 for all of them.

x·relu6(x + 3) is 0 for x ≤ -3, so what is quantized there need not be told from -3. The inputs of
MobileNetV3's h-swishes reach as far below -3 as above it, and its last one lies mostly below: their
steps get a third finer, or two thirds, without any error.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer

_RELU6 = schema.ActivationFunctionType.RELU6


def find_floors(flat: schema.ModelT) -> dict[int, float]:
    """Activations of which only an h-swish is made, and their least value that counts.

    Args:
        flat: a float file or an int8 one.
    """
    graph = flat.subgraphs[0]
    readers: dict[int, list[schema.OperatorT]] = {}
    for operator in graph.operators:
        for index in dict.fromkeys(int(i) for i in operator.inputs if i >= 0):
            readers.setdefault(index, []).append(operator)
    ends = {int(i) for i in graph.outputs}
    found = {}
    for index, (first, *others) in readers.items():
        if index in ends or len(others) != 1:
            continue
        by_kind = {flatbuffer.operator_name(flat, each): each for each in (first, *others)}
        add, product = by_kind.get("ADD"), by_kind.get("MUL")
        if add is None or product is None or add.builtinOptions.fusedActivationFunction != _RELU6:
            continue
        gate = int(add.outputs[0])
        offset = _offset(flat, add, index)
        gated = {int(i) for i in product.inputs} == {index, gate}
        if offset and gated and gate not in ends and readers.get(gate) == [product]:
            found[index] = -offset
    return found


def _offset(flat: schema.ModelT, add: schema.OperatorT, index: int) -> float | None:
    """The positive number that is added to all of an activation."""
    others = [int(i) for i in add.inputs if int(i) != index]
    if len(others) != 1:
        return None
    (other,) = others
    tensor = flat.subgraphs[0].tensors[other]
    data = flat.buffers[tensor.buffer].data
    kind = flatbuffer.type_name(tensor)
    if data is None or not len(data) or kind not in ("float32", "int8"):
        return None
    values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), kind)
    if values.min() != values.max():
        return None
    offset = float(values[0])
    if kind == "int8":
        steps = tensor.quantization
        offset = (offset - float(steps.zeroPoint[0])) * float(steps.scale[0])
    return offset if offset > 0 else None
