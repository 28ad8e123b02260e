"""What is inside a .tflite file, and what LiteRT makes of it on a CPU."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tflite.files.compiled import EDGETPU_OPERATOR
from tflite.files.reading import open_file
from tflite.files.records import Graph, Operation, Signature, Tensor, human_bytes, read_graph
from tflite.litert import open_interpreter


@dataclass(frozen=True)
class TensorSummary:
    """A tensor without its data; `bytes` is its size in memory, None where it is not constant."""

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    channel_axis: int | None
    bytes: int | None

    @property
    def quantization(self) -> str:
        """The quantization in words: "1/127.5 zero point -1" as decimals, or per channel."""
        if not self.scale:
            return ""
        if self.channel_axis is not None:
            return f"{len(self.scale)} scales along axis {self.channel_axis}"
        return f"scale {self.scale[0]:.7g} zero point {self.zero_point[0]}"


@dataclass(frozen=True)
class OperationSummary:
    """One operator in execution order; `inputs` and `outputs` are tensor indices (−1: absent)."""

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    output_shape: tuple[int, ...]
    macs: int
    weight_bytes: int


@dataclass(frozen=True)
class Runtime:
    """How LiteRT's interpreter runs the file on this machine.

    Attributes:
        partitions: the operators (indices) of every piece that XNNPACK took.
        outside: the operators (indices) that stay with the built-in kernels.
        arena_bytes: memory that the built-in kernels (no delegate) plan for activations, variables
            and scratch buffers, batch 1, overlaps counted once: read off the addresses that the
            interpreter gave its tensors. XNNPACK plans its own, of the same kind. Constants, and
            copies of weights (packed ones, float32 ones of a float16 file), are not in it.
    """

    partitions: tuple[tuple[int, ...], ...]
    outside: tuple[int, ...]
    arena_bytes: int


@dataclass(frozen=True)
class ModelReport:
    """What `inspect` found. Indices in it are positions in `tensors` and `operations`.

    `runtime` is None, and `runtime_error` says why, when LiteRT cannot run the file (a model
    compiled for the Edge TPU, a custom operator).
    """

    size_bytes: int
    operations: tuple[OperationSummary, ...]
    tensors: tuple[TensorSummary, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signatures: tuple[Signature, ...]
    metadata: tuple[str, ...]
    packed_files: tuple[str, ...]
    subgraphs: int
    weight_bytes: int
    macs: int
    runtime: Runtime | None
    runtime_error: str

    @cached_property
    def histogram(self) -> dict[str, int]:
        """Operator name → how many, commonest first."""
        return dict(Counter(operation.name for operation in self.operations).most_common())

    @cached_property
    def versions(self) -> dict[str, tuple[int, ...]]:
        """Operator name → the versions that occur."""
        found: dict[str, set[int]] = {}
        for operation in self.operations:
            found.setdefault(operation.name, set()).add(operation.version)
        return {name: tuple(sorted(found[name])) for name in self.histogram}

    @cached_property
    def tensor_types(self) -> dict[str, int]:
        """Tensor type → how many tensors have it, commonest first."""
        return dict(Counter(tensor.type for tensor in self.tensors).most_common())

    def as_dict(self) -> dict:
        """All of it as JSON-able lists, dictionaries, numbers and strings."""
        return dataclasses.asdict(self) | {
            "histogram": self.histogram,
            "versions": self.versions,
            "tensor_types": self.tensor_types,
        }

    def __str__(self) -> str:
        return "\n".join((*self._header(), *self._ends(), *self._runtime(), *self._operators()))

    def _header(self) -> Iterable[str]:
        yield (
            f"{human_bytes(self.size_bytes)}, {len(self.operations)} operators, "
            f"{self.macs / 1e6:,.1f} M MACs, {human_bytes(self.weight_bytes)} of weights"
        )
        if self.subgraphs > 1:
            yield f"  {self.subgraphs} subgraphs; only the main one is listed"

    def _ends(self) -> Iterable[str]:
        for role, indices in (("input", self.inputs), ("output", self.outputs)):
            for index in indices:
                tensor = self.tensors[index]
                shape = "×".join("?" if size < 0 else str(size) for size in tensor.shape)
                yield f"{role:<11}{tensor.type:<8} {shape:<14} {tensor.quantization}".rstrip()
        for signature in self.signatures:
            ends = f"({', '.join(signature.inputs)}) → {', '.join(signature.outputs)}"
            yield f"{'signature':<11}{signature.key}{ends}"
        yield f"{'metadata':<11}{', '.join((*self.metadata, *self.packed_files)) or 'none'}"
        types = ", ".join(f"{count} {name}" for name, count in self.tensor_types.items())
        yield f"{'tensors':<11}{types}"

    def _runtime(self) -> Iterable[str]:
        if EDGETPU_OPERATOR in self.histogram:
            count = self.histogram[EDGETPU_OPERATOR]
            rest = {n: c for n, c in self.histogram.items() if n != EDGETPU_OPERATOR}
            left = ", ".join(f"{number} {name}" for name, number in rest.items()) or "nothing"
            yield (
                f"{'Edge TPU':<11}compiled for it: {count} piece{'s' * (count != 1)} run there, "
                f"left to the CPU: {left}"
            )
            yield f"{'':<11}to run it: Predictor(path, delegate='libedgetpu.so.1')"
        elif self.runtime is None:
            yield f"{'XNNPACK':<11}not known: {self.runtime_error}"
        if self.runtime is None:
            return
        count, outside = len(self.runtime.partitions), self.runtime.outside
        names = Counter(self.operations[i].name for i in outside)
        listed = ", ".join(f"{n} {name}" for name, n in names.most_common()) or "nothing"
        taken = len(self.operations) - len(outside)
        yield (
            f"{'XNNPACK':<11}{count} partition{'s' * (count != 1)} with {taken} operators; "
            f"outside: {listed}"
        )
        yield f"{'arena':<11}{human_bytes(self.runtime.arena_bytes)} (built-in kernels)"

    def _operators(self) -> Iterable[str]:
        yield ""
        yield f"{'operator':<28}{'versions':<10}{'count':>6}{'M MACs':>12}{'weights':>12}"
        for name, count in self.histogram.items():
            same = [operation for operation in self.operations if operation.name == name]
            versions = ", ".join(map(str, self.versions[name]))
            macs = sum(operation.macs for operation in same) / 1e6
            weights = human_bytes(sum(operation.weight_bytes for operation in same))
            yield f"{name:<28}{versions:<10}{count:>6}{macs:>12,.2f}{weights:>12}"


def inspect(path: str | os.PathLike | bytes) -> ModelReport:
    """Reads a .tflite file, lets LiteRT prepare it (not run it), and reports on both.

    Args:
        path: the file, or its content as bytes.

    Raises:
        TypeError: for anything but a path or bytes.
        ValueError: if it is not a readable TensorFlow Lite file.
        FileNotFoundError: if there is no such file.
    """
    file = open_file(path)
    content, graph = file.data, read_graph(file)
    try:
        runtime, error = _prepare(content, graph), ""
    except (RuntimeError, ValueError) as problem:
        runtime, error = None, str(problem).strip().replace("\n", " ")
    return ModelReport(
        size_bytes=graph.size,
        operations=tuple(map(_operation_summary, graph.operations)),
        tensors=tuple(map(_tensor_summary, graph.tensors)),
        inputs=tuple(tensor.index for tensor in graph.inputs),
        outputs=tuple(tensor.index for tensor in graph.outputs),
        signatures=graph.signatures,
        metadata=graph.metadata,
        packed_files=graph.packed_files,
        subgraphs=graph.subgraphs,
        weight_bytes=graph.weight_bytes,
        macs=graph.macs,
        runtime=runtime,
        runtime_error=error,
    )


def _tensor_summary(tensor: Tensor) -> TensorSummary:
    return TensorSummary(
        index=tensor.index,
        name=tensor.name,
        type=tensor.type,
        shape=tensor.shape,
        scale=tensor.scale,
        zero_point=tensor.zero_point,
        channel_axis=tensor.channel_axis,
        bytes=tensor.data.nbytes if tensor.is_constant else None,
    )


def _operation_summary(operation: Operation) -> OperationSummary:
    return OperationSummary(
        index=operation.index,
        name=operation.name,
        version=operation.version,
        inputs=tuple(-1 if tensor is None else tensor.index for tensor in operation.inputs),
        outputs=tuple(tensor.index for tensor in operation.outputs),
        output_shape=operation.outputs[0].shape if operation.outputs else (),
        macs=operation.macs,
        weight_bytes=sum(tensor.data.nbytes for tensor in operation.constants),
    )


def _prepare(content: bytes, graph: Graph) -> Runtime:
    interpreter = open_interpreter(content)
    interpreter.allocate_tensors()
    partitions = tuple(
        _partition(graph, detail["inputs"], detail["outputs"])
        for detail in interpreter._get_ops_details()[len(graph.operations) :]
    )
    taken = {index for partition in partitions for index in partition}
    return Runtime(
        partitions=partitions,
        outside=tuple(o.index for o in graph.operations if o.index not in taken),
        arena_bytes=_arena_bytes(content, graph),
    )


def _partition(graph: Graph, inputs: Iterable[int], outputs: Iterable[int]) -> tuple[int, ...]:
    """The operators between a DELEGATE entry's inputs and outputs.

    The interpreter appends one DELEGATE entry a partition to its list and leaves the replaced
    operators in it, unmarked; but a partition's inputs cut it off from all other operators, so
    walking back from its outputs reaches its own operators and no others.
    """
    producers = {tensor.index: op for op in graph.operations for tensor in op.outputs}
    seen = {int(index) for index in inputs}
    waiting = [int(index) for index in outputs]
    found: set[int] = set()
    while waiting:
        index = waiting.pop()
        if index in seen or index not in producers:
            continue
        seen.add(index)
        producer = producers[index]
        found.add(producer.index)
        waiting += (tensor.index for tensor in producer.inputs if tensor is not None)
    return tuple(sorted(found))


def _arena_bytes(content: bytes, graph: Graph) -> int:
    interpreter = open_interpreter(content, delegate=False)
    interpreter.allocate_tensors()
    constants = {tensor.index for tensor in graph.tensors if tensor.is_constant}
    constants |= graph.folded.keys()
    spans = []
    # Tensors beyond the file's own are the kernels' scratch buffers.
    for detail in interpreter.get_tensor_details():
        if detail["index"] in constants:
            continue
        try:
            view = interpreter.tensor(detail["index"])()
        except ValueError:  # Sized while running (a dynamic tensor): it has no place yet.
            continue
        if view is None:  # A string or a resource is no array.
            continue
        start = view.__array_interface__["data"][0]
        spans.append((start, start + view.nbytes))
    return _covered(spans)


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    """The length of the union of half-open intervals."""
    total = end = 0
    for start, stop in sorted(spans):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total
