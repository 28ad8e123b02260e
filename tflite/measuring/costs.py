"""What every operator of a .tflite file costs: multiply–accumulates, bytes and time; a picture."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files.flatbuffer import pack, unpack
from tflite.files.memory import MAX_BYTES, expected_memory
from tflite.files.reading import open_file
from tflite.files.records import NUMPY_TYPES, Graph, Operation, Tensor, read_graph
from tflite.files.writing import atomic_writer, check_writable
from tflite.litert import open_interpreter
from tflite.measuring.timing import invocation, time_calls
from tflite.runtime import errors_named

# Enough runs for a steady median, few enough that a network of 150 operators takes seconds.
_TIMED = {"warm_up": 3, "runs": 11, "least_seconds": 0.02}

_COLORS = {
    "CONV_2D": "#0072b2",
    "DEPTHWISE_CONV_2D": "#e69f00",
    "FULLY_CONNECTED": "#009e73",
}
_OTHER_COLOR = "#7f7f7f"


@dataclass(frozen=True)
class OperationCost:
    """One operator that runs in every inference.

    Attributes:
        weight_bytes: constants that it reads, also through a DEQUANTIZE (float16 files).
        activation_bytes: what it reads and writes besides.
        milliseconds: the median time of a file with this operator alone, on one CPU thread with
            LiteRT's default delegate (XNNPACK), fed with the values it gets in the whole network.
    """

    index: int
    name: str
    output_shape: tuple[int, ...]
    macs: int
    weight_bytes: int
    activation_bytes: int
    milliseconds: float


@dataclass(frozen=True)
class ModelCosts:
    """The operators in execution order, and the median time of the whole file (one thread).

    The operators' times do not add up to the whole's: alone, each has its inputs in the cache and
    pays for its own invocation, and XNNPACK cannot fuse it with its neighbours.
    """

    operations: tuple[OperationCost, ...]
    milliseconds: float

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """Each operator's part (0..1) of the sum of the operators' times."""
        total = sum(operation.milliseconds for operation in self.operations)
        return tuple(operation.milliseconds / total for operation in self.operations)


def measure_costs(path: str | os.PathLike | bytes) -> ModelCosts:
    """Times every operator of a .tflite file alone, in files made of one operator each.

    LiteRT's Python interpreter has no profiler; and within an XNNPACK partition there is nothing
    that could be timed from outside.

    Args:
        path: the file, or its content as bytes.

    Raises:
        TypeError, FileNotFoundError, ValueError: as `inspect`; ValueError also if LiteRT cannot
            run the file.
    """
    file = open_file(path)
    content, graph = file.data, read_graph(file)
    if expected_memory(file.model).total > MAX_BYTES:
        raise ValueError(
            f"{file.name}: timing keeps all activations at once, more than "
            f"{MAX_BYTES / 2**30:.0f} GiB for this file; convert it for smaller images."
        )
    with errors_named(file.name):
        return _measure(content, graph)


def _measure(content: bytes, graph: Graph) -> ModelCosts:
    values = _values_inside(content)
    folded = graph.folded
    costs = []
    for operation in graph.operations:
        if operation.index in folded.values():
            continue
        sources = [folded[t.index] for t in _present(operation.inputs) if t.index in folded]
        alone = operators_alone(content, [*sorted(set(sources)), operation.index])
        weights = {t.index: t for i in sources for t in graph.operations[i].constants}
        weights |= {t.index: t for t in operation.constants}
        moved = [t for t in operation.activations if t.index not in folded]
        costs.append(
            OperationCost(
                index=operation.index,
                name=operation.name,
                output_shape=operation.outputs[0].shape,
                macs=operation.macs,
                weight_bytes=sum(t.data.nbytes for t in weights.values()),
                activation_bytes=sum(map(_bytes, moved)),
                milliseconds=_time(alone, [values[i] for i in _inputs_alone(operation, folded)]),
            )
        )
    whole = _time(content, [values[tensor.index] for tensor in graph.inputs])
    return ModelCosts(tuple(costs), whole)


def _present(tensors: Iterable[Tensor | None]) -> Iterable[Tensor]:
    return (tensor for tensor in tensors if tensor is not None)


def _bytes(tensor: Tensor) -> int:
    return tensor.elements * np.dtype(NUMPY_TYPES[tensor.type]).itemsize


def _inputs_alone(operation: Operation, folded: Mapping[int, int]) -> list[int]:
    read = (t for t in _present(operation.inputs) if not t.is_constant and t.index not in folded)
    return list(dict.fromkeys(tensor.index for tensor in read))


def _values_inside(content: bytes) -> dict[int, np.ndarray]:
    """All tensors of one run on noise."""
    interpreter = open_interpreter(content, delegate=False, keep_all_tensors=True)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], _noise(rng, detail["shape"], detail["dtype"]))
    interpreter.invoke()
    count = len(unpack(content).subgraphs[0].tensors)
    return {index: interpreter.get_tensor(index) for index in range(count)}


def _noise(rng: np.random.Generator, shape: np.ndarray, dtype: type) -> np.ndarray:
    if np.issubdtype(dtype, np.floating):
        return rng.uniform(-1, 1, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def operators_alone(content: bytes, indices: list[int]) -> bytes:
    """A file of the given operators of the main subgraph; what they lack becomes its inputs."""
    model = unpack(content)
    main = model.subgraphs[0]
    main.operators = [main.operators[index] for index in indices]
    made = {int(i) for operator in main.operators for i in operator.outputs}
    read = [int(i) for operator in main.operators for i in operator.inputs if i >= 0]
    activations = [i for i in dict.fromkeys(read) if i not in made and not _has_data(model, i)]
    main.inputs, main.outputs = activations, list(main.operators[-1].outputs)
    model.signatureDefs, model.metadata = None, None
    _drop_unused(model, {*read, *made})
    return pack(model)


def _has_data(model: schema.ModelT, index: int) -> bool:
    data = model.buffers[model.subgraphs[0].tensors[index].buffer].data
    return data is not None and len(data) > 0


def _drop_unused(model: schema.ModelT, used: set[int]) -> None:
    """Empties the constants and activations that are not `used`; indices stay as they are."""
    main = model.subgraphs[0]
    kept = {main.tensors[index].buffer for index in used}
    for index, buffer in enumerate(model.buffers):
        if index not in kept:
            buffer.data = None
    for index, tensor in enumerate(main.tensors):
        if index not in used:
            tensor.shape, tensor.shapeSignature, tensor.buffer = [0], None, 0
            tensor.quantization = None
    model.subgraphs = [main]


def _time(content: bytes, inputs: list[np.ndarray]) -> float:
    return time_calls([invocation(content, inputs)], **_TIMED)[0].median


def plot_costs(costs: ModelCosts, path: str | os.PathLike, title: str = "") -> Path:
    """Draws bars by operator (MACs, bytes, share of the time) into a PNG file.

    Raises:
        TypeError: `costs` is something else.
        FileNotFoundError, PermissionError, IsADirectoryError: if `path` cannot be written.
    """
    if not isinstance(costs, ModelCosts):
        raise TypeError(f"costs must be what measure_costs gives, got {type(costs).__name__}.")
    path = check_writable(path)
    figure = _figure(costs, title)
    with atomic_writer(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return path


def _figure(costs: ModelCosts, title: str):
    # Without pyplot there is no global state, no display, and Agg is what draws.
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = costs.operations
    places = np.arange(len(rows))
    colors = [_COLORS.get(row.name, _OTHER_COLOR) for row in rows]
    figure = Figure(figsize=(12, 2 + 0.19 * len(rows)), layout="constrained")
    macs, moved, spent = figure.subplots(1, 3, sharey=True)
    weights = np.array([row.weight_bytes for row in rows]) / 1024
    activations = np.array([row.activation_bytes for row in rows]) / 1024

    macs.barh(places, [row.macs / 1e6 for row in rows], color=colors)
    macs.set_xlabel("million MACs")
    moved.barh(places, weights, color=colors)
    moved.barh(places, activations, left=weights, color=colors, alpha=0.4)
    moved.set_xlabel("KiB of weights (solid) and activations (pale)")
    spent.barh(places, [100 * share for share in costs.shares], color=colors)
    spent.set_xlabel("% of the operators' times, each run alone")

    labels = [f"{row.index} {row.name} {_shape(row.output_shape)}" for row in rows]
    macs.set_yticks(places, labels, fontsize=7)
    macs.set_ylim(len(rows) - 0.4, -0.6)
    for axes in (macs, moved, spent):
        axes.grid(axis="x", linewidth=0.4, alpha=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    kinds = [*_COLORS.items(), ("other", _OTHER_COLOR)]
    spent.legend(handles=[Patch(color=color, label=name) for name, color in kinds], fontsize=7)
    figure.suptitle(f"{title}  {_summary(costs)}".strip(), fontsize=10)
    return figure


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) if size >= 0 else "?" for size in shape[1:] or shape)


def _summary(costs: ModelCosts) -> str:
    macs = sum(row.macs for row in costs.operations) / 1e6
    alone = sum(row.milliseconds for row in costs.operations)
    return (
        f"{macs:,.1f} M MACs; {costs.milliseconds:.2f} ms whole, "
        f"{alone:.2f} ms as the sum of its operators alone (1 thread)"
    )
