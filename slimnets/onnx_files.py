"""ONNX files: run by ONNX Runtime where it is installed, and what stands in their metadata."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tflite.images import Preprocessing
from tflite.output_kinds import Effect, kind_after, kind_of_output

HOW_TO_GET = "pip install 'slimnets[onnx]' (onnx, onnxruntime, tf2onnx) brings what ONNX needs"

# Keys of an ONNX file's metadata in which `slimnets export` says how to use it.
_ABOUT = "slimnets"
_FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_TYPES = {**_FLOATS, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}


@dataclass(frozen=True)
class About:
    """What an exported file says of itself.

    Attributes:
        preprocessing: how images become its input; None if it does not say.
        labels: class names, empty if it does not say.
        gives: "probabilities", "logits" or "numbers"; None if it does not say.
        macs: multiply-adds of one image; None if it does not say.
    """

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    gives: str | None = None
    macs: int | None = None

    def as_metadata(self) -> dict[str, str]:
        """Keys and texts for the file's `metadata_props`."""
        how = self.preprocessing and vars(self.preprocessing)
        fields = {"preprocessing": how, "gives": self.gives, "macs": self.macs}
        return {_ABOUT: json.dumps({**fields, "labels": self.labels}, ensure_ascii=False)}


def read_about(metadata: Mapping[str, str]) -> About:
    """What `as_metadata` wrote; nothing of a file from elsewhere.

    Raises:
        ValueError: the text is not what `as_metadata` writes.
    """
    if _ABOUT not in metadata:
        return About()
    try:
        fields = json.loads(metadata[_ABOUT])
        how = fields["preprocessing"]
        if how is not None:
            how = Preprocessing(
                **{key: tuple(v) if isinstance(v, list) else v for key, v in how.items()}
            )
        labels = tuple(str(label) for label in fields["labels"])
        macs = fields["macs"] and int(fields["macs"])
        return About(how, labels, fields["gives"], macs)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its metadata {_ABOUT!r} is damaged: {error}") from error


class OnnxSession:
    """An ONNX file of one image input, ready to run.

    Attributes:
        shape: of its input; None where a size is open.
        dtype: of its input.
        outputs: name → rank.
        about: what the file says of itself.
    """

    def __init__(self, path: str | os.PathLike | bytes, num_threads: int | None = None) -> None:
        """Loads the file.

        Args:
            path: of a .onnx file, or its bytes.
            num_threads: of ONNX Runtime's kernels; None: as many as it likes.

        Raises:
            FileNotFoundError: no such file.
            ModuleNotFoundError: ONNX Runtime is not installed.
            ValueError: ONNX Runtime cannot load it, or its input is not one image.
        """
        content = path
        if not isinstance(path, bytes):
            path = Path(path)
            if not path.is_file():
                raise FileNotFoundError(f"there is no model file {path}.")
            content = os.fspath(path)
        else:
            path = "the given ONNX bytes"
        runtime = _runtime(path)
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        # Threads that wait by spinning slow down whatever is timed next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            self.about = read_about(self._session.get_modelmeta().custom_metadata_map)
        # ONNX Runtime's exceptions have no common base but Exception.
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"{path}: ONNX Runtime cannot load this file ({reason}).") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            ends = ", ".join(f"{end.name} {end.type}{end.shape}" for end in inputs)
            raise ValueError(f"{path}: expected one image input of rank 4, it has {ends}.")
        self._name = inputs[0].name
        self.outputs = {end.name: len(end.shape) for end in self._session.get_outputs()}
        self.dtype = np.dtype(_TYPES[inputs[0].type])
        self.shape = tuple(n if isinstance(n, int) and n > 0 else None for n in inputs[0].shape)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """The first output for a batch of the input's type."""
        return self.run_all(batch)[0]

    def run_all(self, batch: np.ndarray) -> list[np.ndarray]:
        """All outputs, in the file's order."""
        return self._session.run(None, {self._name: batch})


def _runtime(path: Path | str) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path}: ONNX Runtime is not installed; {HOW_TO_GET}."
        ) from error
    return onnxruntime


_PASSES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Transpose")
# What other nodes do to the kind of their inputs (`tflite.output_kinds`); the rest are activations.
_EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        **dict.fromkeys(("Softmax", "Sigmoid"), Effect.PROBABILITIES),
        **dict.fromkeys(("Gemm", "MatMul", "Conv", "Add"), Effect.LINEAR),
        **dict.fromkeys(("ReduceMean", "GlobalAveragePool"), Effect.LINEAR),
    }
)


def output_kind_of_file(path: str | os.PathLike) -> str:
    """What the first output of a file from elsewhere is: see `tflite.output_kinds`; "numbers" where
    the onnx package, which reads it, is missing."""
    try:
        import onnx
    except ModuleNotFoundError:
        return "numbers"
    graph = onnx.load(os.fspath(path), load_external_data=False).graph
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(graph.output[0].name)
    while node is not None and node.op_type in _PASSES:
        node = makers.get(node.input[0])
    if node is None:
        return "numbers"
    kind = kind_after(_EFFECTS.get(node.op_type, Effect.ACTIVATION))
    sizes = graph.output[0].type.tensor_type.shape.dim
    return kind_of_output(kind, sizes[-1].dim_value if sizes else 1)


def count_macs(path: str | os.PathLike) -> int | None:
    """Multiply-adds of one run at batch 1; None where the onnx package is missing.

    By what shape inference finds: Conv, ConvTranspose, Gemm and MatMul with constant weights, and
    their quantized forms.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        return None
    model = onnx.shape_inference.infer_shapes(onnx.load(os.fspath(path)))
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    # A DequantizeLinear before a convolution carries its weights' shape along.
    for info in (*graph.value_info, *graph.input, *graph.output):
        sizes = info.type.tensor_type.shape.dim
        shapes.setdefault(info.name, tuple(size.dim_value or 1 for size in sizes))
    total = 0
    for node in graph.node:
        kind = node.op_type.removeprefix("QLinear").removesuffix("Integer")
        place = 3 if node.op_type.startswith("QLinear") else 1
        if kind not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or len(node.input) <= place:
            continue
        weights, output = shapes.get(node.input[place]), shapes.get(node.output[0])
        if not weights or not output:
            return None
        if kind == "ConvTranspose":
            total += math.prod(shapes[node.input[0]]) * math.prod(weights[1:])
        elif kind == "Conv":
            total += math.prod(output) * math.prod(weights[1:])
        else:
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            total += math.prod(output) * weights[-1 if transposed else -2]
    return total
