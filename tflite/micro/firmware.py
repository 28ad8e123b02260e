"""A .tflite file as C++ for a microcontroller: model, operators, memory and a self-test."""

import os
import re
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite.files.compiled import is_compiled
from tflite.files.reading import File, open_file
from tflite.files.records import NUMPY_TYPES, Graph, Tensor, read_graph
from tflite.files.writing import check_writable, write_bytes
from tflite.litert import OpResolverType, open_interpreter
from tflite.micro import trial
from tflite.micro.arena import Arena, estimated_arena
from tflite.micro.operators import resolver_methods
from tflite.runtime import errors_named

_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "float32": "float"}
_A_LINE = 16


@dataclass(frozen=True)
class Firmware:
    """What `write_firmware` wrote.

    Attributes:
        header, source: the two files.
        namespace: of all that is in them.
        operators: methods of MicroMutableOpResolver.
        arena: memory of the interpreter.
        computed_by: what computed the self-test's expected output: TFLite Micro itself, or LiteRT's
            reference kernels, which may differ by a step.
    """

    header: Path
    source: Path
    namespace: str
    operators: tuple[str, ...]
    arena: Arena
    computed_by: str

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        paths = {"header": os.fspath(self.header), "source": os.fspath(self.source)}
        return {**asdict(self), **paths}

    def __str__(self) -> str:
        how = "measured with" if self.arena.measured else "estimated, for want of"
        return (
            f"{self.header.name}, {self.source.name}: {len(self.operators)} kinds of operators, an "
            f"arena of {self.arena.size_bytes:,} bytes ({how} tflite-micro)"
        )


def write_firmware(
    path: str | os.PathLike | bytes, out: str | os.PathLike, image: np.ndarray | None = None
) -> Firmware:
    """Writes a .tflite file as a C++ source and a header that TFLite Micro's users compile in.

    `<out>.h` declares and `<out>.cc` defines, in a namespace of the file's name: the model as an
    array, the size of the arena, an input and the output that it must give. The header's
    `RegisterOperators` adds the operators that occur, and no others, to a resolver.

    Args:
        path: the .tflite file, or its bytes.
        out: path of the header and the source, whatever its ending.
        image: input of the self-test, in the file's own numbers: (height, width, channels) of its
            input's type. None: seeded noise.

    Raises:
        FileNotFoundError, TypeError: as `tflite.inspect`.
        ValueError: a file that TFLite Micro has no operators for, or cannot run; an image of
            another shape or type.
    """
    file = open_file(path)
    graph = read_graph(file)
    if is_compiled(file):
        raise ValueError(
            f"{file.name} is compiled for the Edge TPU, which TFLite Micro does not run."
        )
    methods = resolver_methods(operation.name for operation in graph.operations)
    tensor_in, tensor_out = _ends(file, graph)
    out = Path(out)
    namespace = _namespace(out)
    header, source = (check_writable(out.with_suffix(suffix)) for suffix in (".h", ".cc"))
    image = _checked(image, tensor_in)
    arena, expected, computed_by = _tried(file, graph, image)
    made = Firmware(header, source, namespace, methods, arena, computed_by)
    ends = (tensor_in, tensor_out)
    write_bytes(header, _header(made, file, ends).encode())
    write_bytes(source, _source(made, file, ends, image, expected).encode())
    return made


def _ends(file: File, graph: Graph) -> tuple[Tensor, Tensor]:
    ends = (*graph.inputs, *graph.outputs)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(f"{file.name}: one input and one output are expected.")
    for tensor in ends:
        if tensor.type not in _C_TYPES or -1 in tensor.shape:
            raise ValueError(
                f"{file.name} has an end of {tensor.type} {tensor.shape}; TFLite Micro takes "
                f"{', '.join(_C_TYPES)} of fixed size."
            )
    return graph.inputs[0], graph.outputs[0]


def _namespace(out: Path) -> str:
    name = re.sub(r"\W", "_", out.stem, flags=re.ASCII)
    return name if re.match("[A-Za-z]", name) else f"model_{name.lstrip('_')}"


def _checked(image: np.ndarray | None, tensor: Tensor) -> np.ndarray:
    kind = np.dtype(NUMPY_TYPES[tensor.type])
    if image is None:
        rng = np.random.default_rng(0)
        if kind.kind == "f":
            return rng.uniform(-1, 1, tensor.shape).astype(kind)
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, tensor.shape, kind, endpoint=True)
    image = np.asarray(image)
    if image.dtype != kind or image.shape not in (tensor.shape, tensor.shape[1:]):
        raise ValueError(
            f"the self-test's image must be {kind} of {tensor.shape[1:]}, got {image.dtype} of "
            f"{image.shape}."
        )
    return image.reshape(tensor.shape)


def _tried(file: File, graph: Graph, image: np.ndarray) -> tuple[Arena, np.ndarray, str]:
    """The arena, the output for the image, and what computed that."""
    if trial.is_installed():
        size, output = trial.run_by_micro(file.data, image, file.name)
        return Arena(size, True), output, "TFLite Micro's reference kernels"
    with errors_named(file.name):
        interpreter = open_interpreter(
            file.data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    by = "LiteRT's reference kernels; a step's difference is none"
    return estimated_arena(graph), output, by


def _header(made: Firmware, file: File, ends: tuple[Tensor, Tensor]) -> str:
    guard = f"{made.namespace.upper()}_MODEL_H_"
    calls = "\n".join(f"  ok = ok && resolver.{name}() == kTfLiteOk;" for name in made.operators)
    how = (
        "Measured: the least with which tflite-micro's interpreter runs the model on 64 bits."
        if made.arena.measured
        else "ESTIMATED: tflite-micro was not installed. Try it before you rely on it."
    )
    return f"""\
// {made.header.name}: made by slimnets of a file of {len(file.data):,} bytes. Do not edit.
//
//   {_of(ends[0])} in, {_of(ends[1])} out
//
//   tflite::MicroMutableOpResolver<{made.namespace}::kOperators> resolver;
//   {made.namespace}::RegisterOperators(resolver);
//   alignas(16) static uint8_t arena[{made.namespace}::kArenaBytes];
//   tflite::MicroInterpreter interpreter(tflite::GetModel({made.namespace}::kModel), resolver,
//                                        arena, sizeof(arena));
#ifndef {guard}
#define {guard}

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/c/common.h"

namespace {made.namespace} {{

extern const unsigned char kModel[];
constexpr size_t kModelBytes = {len(file.data)};

// {how}
// A chip maker's kernels (CMSIS-NN, ESP-NN) may need scratch memory beyond it.
constexpr size_t kArenaBytes = {made.arena.size_bytes};

// The self-test: kTestInput gives kTestOutput, as computed by
// {made.computed_by}.
extern const {_C_TYPES[ends[0].type]} kTestInput[{ends[0].elements}];
extern const {_C_TYPES[ends[1].type]} kTestOutput[{ends[1].elements}];

constexpr int kOperators = {len(made.operators)};

// Adds the operators that the model has, and no others, to a tflite::MicroMutableOpResolver.
template <typename Resolver>
bool RegisterOperators(Resolver& resolver) {{
  bool ok = true;
{calls}
  return ok;
}}

}}  // namespace {made.namespace}

#endif  // {guard}
"""


def _of(tensor: Tensor) -> str:
    shape = "×".join(map(str, tensor.shape))
    if not tensor.scale:
        return f"{tensor.type} {shape}"
    return f"{tensor.type} {shape} (scale {tensor.scale[0]:.9g}, zero point {tensor.zero_point[0]})"


def _source(
    made: Firmware,
    file: File,
    ends: tuple[Tensor, Tensor],
    image: np.ndarray,
    expected: np.ndarray,
) -> str:
    arrays = [
        ("alignas(16) extern const unsigned char kModel[kModelBytes]", _bytes(file.data)),
        *(
            (f"extern const {_C_TYPES[t.type]} {name}[{t.elements}]", _numbers(values))
            for t, name, values in (
                (ends[0], "kTestInput", image),
                (ends[1], "kTestOutput", expected),
            )
        ),
    ]
    definitions = "\n\n".join(f"{what} = {{\n{values}}};" for what, values in arrays)
    return f"""\
// {made.source.name}: made by slimnets. Do not edit.
#include "{made.header.name}"

namespace {made.namespace} {{

{definitions}

}}  // namespace {made.namespace}
"""


def _bytes(data: bytes) -> str:
    lines = (data[start : start + _A_LINE] for start in range(0, len(data), _A_LINE))
    return "".join("    " + "".join(f"0x{byte:02x}," for byte in line) + "\n" for line in lines)


def _numbers(values: np.ndarray) -> str:
    form = "{:.9g}f" if values.dtype.kind == "f" else "{}"
    words = [form.format(value) for value in values.ravel().tolist()]
    if values.dtype.kind == "f":
        # 1f is no number in C++.
        words = [word if re.search(r"[.e]", word) else word.replace("f", ".0f") for word in words]
    text = textwrap.fill(", ".join(words), 96, break_on_hyphens=False, break_long_words=False)
    return textwrap.indent(text, "    ") + "\n"
