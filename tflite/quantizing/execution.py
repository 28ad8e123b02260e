"""The operators of a file one by one, each run by LiteRT as a file of its own.

What a layer computes is thereby what the device computes, for every operator there is; and the
weights of one can change while the activations before it stay as they are.
"""

import copy
import os
from collections.abc import Iterator, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.runtime import whole_batches


class Step:
    """One operator, ready to run on any number of images.

    Attributes:
        position: of the operator in the file.
        inputs, outputs: indices of the activations that it reads and writes.
    """

    def __init__(self, flat: schema.ModelT, position: int) -> None:
        """Reads the file's operator of that position, with the constants that it has now."""
        from tflite.litert import open_interpreter

        operator = flat.subgraphs[0].operators[position]
        self.position = position
        self.inputs = activations(flat, operator)
        self.outputs = [int(i) for i in operator.outputs]
        self._interpreter = open_interpreter(
            _file_of(flat, operator, self.inputs), num_threads=os.cpu_count()
        )
        self._interpreter.allocate_tensors()
        self._reads = [(d["index"], d["shape"][0]) for d in self._interpreter.get_input_details()]
        self._writes = [d["index"] for d in self._interpreter.get_output_details()]

    def batches(self, inputs: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Outputs for each batch of the file's size; the first axis of `inputs` is the images'."""
        for turn in range(len(inputs[0]) // self._reads[0][1]):
            for (index, size), values in zip(self._reads, inputs, strict=True):
                self._interpreter.set_tensor(index, values[turn * size : (turn + 1) * size])
            self._interpreter.invoke()
            yield [self._interpreter.get_tensor(index) for index in self._writes]

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs for all images."""
        return [np.concatenate(parts) for parts in zip(*self.batches(inputs), strict=True)]


def activations(flat: schema.ModelT, operator: schema.OperatorT) -> list[int]:
    """The operator's inputs that are computed, each once; constants and absent ones left out."""
    tensors = flat.subgraphs[0].tensors
    found = (int(i) for i in operator.inputs if i >= 0)
    return [i for i in dict.fromkeys(found) if constant(flat, tensors[i]) is None]


def constant(flat: schema.ModelT, tensor: schema.TensorT) -> np.ndarray | None:
    """The stored values of a constant, in its shape; None for an activation."""
    data = flat.buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), flatbuffer.type_name(tensor))
    return values.reshape(shape_of(tensor))


def shape_of(tensor: schema.TensorT) -> tuple[int, ...]:
    """As an interpreter starts with it: an open batch is 1."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def last_readers(flat: schema.ModelT) -> dict[int, int]:
    """The position of the operator after which an activation is needed no more, by tensor."""
    graph = flat.subgraphs[0]
    found = {
        index: position
        for position, operator in enumerate(graph.operators)
        for index in activations(flat, operator)
    }
    return {**found, **{int(i): len(graph.operators) for i in graph.outputs}}


def in_batches(flat: schema.ModelT, images: np.ndarray) -> np.ndarray:
    """`images`, filled up from the first to whole batches of the file."""
    graph = flat.subgraphs[0]
    return whole_batches(images, int(graph.tensors[graph.inputs[0]].shape[0]))


def _file_of(flat: schema.ModelT, operator: schema.OperatorT, inputs: list[int]) -> bytes:
    tensors = flat.subgraphs[0].tensors
    used = [int(i) for i in dict.fromkeys([*operator.inputs, *operator.outputs]) if i >= 0]
    place = {-1: -1, **{index: position for position, index in enumerate(used)}}
    alone = copy.copy(operator)
    alone.opcodeIndex = 0
    alone.inputs = [place[int(i)] for i in operator.inputs]
    alone.outputs = [place[int(i)] for i in operator.outputs]
    buffers, copies = [schema.BufferT()], []
    for index in used:
        tensor = copy.copy(tensors[index])
        tensor.shapeSignature = None
        if constant(flat, tensor) is not None:
            buffers.append(flat.buffers[tensor.buffer])
            tensor.buffer = len(buffers) - 1
        else:
            tensor.buffer = 0
        copies.append(tensor)
    graph = schema.SubGraphT(
        tensors=copies,
        inputs=[place[i] for i in inputs],
        outputs=list(alone.outputs),
        operators=[alone],
    )
    model = schema.ModelT(
        version=flat.version,
        operatorCodes=[flat.operatorCodes[operator.opcodeIndex]],
        subgraphs=[graph],
        buffers=buffers,
    )
    return flatbuffer.pack(model)
