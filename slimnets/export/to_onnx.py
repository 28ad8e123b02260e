"""A Keras model as an ONNX file, checked and run beside it before it counts."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slimnets.onnx_files import HOW_TO_GET, About, OnnxSession
from tflite.files.writing import check_writable, write_bytes
from tflite.images import Preprocessing
from tflite.targets import check_batch_size

if TYPE_CHECKING:
    import keras

OPSETS = range(13, 19)
INPUT_NAME = "image"
# Two runtimes' roundings: of the greatest output.
_MOST_ERROR = 1e-4
_BATCHES = (1, 5)
# What tf2onnx's optimizer calls the pair that it makes one operator of.
_FOLDING = ("Conv", "BatchNormalization")


@dataclass(frozen=True)
class OnnxExport:
    """What `export_onnx` wrote.

    Attributes:
        path: the file.
        opset: of its operators.
        operators: how many of each, commonest first.
        error: the greatest difference from Keras's outputs over the greatest of these, run by ONNX
            Runtime.
        size_bytes: of the file.
    """

    path: Path
    opset: int
    operators: dict[str, int]
    error: float
    size_bytes: int


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    batch_size: int | None = None,
    opset: int = 17,
    keep_batchnorm: bool = False,
    preprocessing: Preprocessing | None = None,
    labels: Sequence[str] = (),
) -> OnnxExport:
    """Writes a model as ONNX: input `image`, float32 (batch, height, width, channels).

    The network is first simplified as for a device (batch norm folded into weights, dropout gone),
    then traced by tf2onnx, checked by onnx.checker and run by ONNX Runtime beside Keras.

    Args:
        model: a functional model of images of a known size.
        path: the `.onnx` file, written whole or not at all.
        batch_size: images of a run; None leaves it open.
        opset: of ONNX's operators, 13 to 18.
        keep_batchnorm: batch normalizations stay operators of their own, as in training, for tools
            that train or quantize further.
        preprocessing, labels: how images become the input, and the classes' names, into the file's
            metadata, which `slimnets evaluate` and `predict` read.

    Raises:
        ModuleNotFoundError: onnx, onnxruntime or tf2onnx is not installed.
        ValueError: a wrong argument, a model without a graph or of unknown size, one that holds
            operators that ONNX has not.
        RuntimeError: the file gives other outputs than the model, and was not written.
        OSError: `path` cannot be written.
    """
    if opset not in OPSETS:
        raise ValueError(f"opset must be from {OPSETS[0]} to {OPSETS[-1]}, got {opset!r:.80}.")
    check_batch_size(batch_size)
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"{path}: an ONNX file ends in .onnx.")
    check_writable(path)
    from tflite.quantized_layers import quantized_input

    if quantized_input(model) is not None:
        raise ValueError(
            f"the model {model.name!r} is quantization-aware: what it computes is an int8 .tflite "
            "file, which tflite.convert makes of it. Export the model that it was made of."
        )
    shape = _image_shape(model)
    _check_installed()
    import onnx

    from slimnets.complexity import complexity
    from tflite.keras_models import output_kind

    names = _output_names(model)
    proto = _traced(_prepared(model, keep_batchnorm), shape, batch_size, opset, keep_batchnorm)
    _rename(proto, names, batch_size)
    single = len(names) == 1
    about = About(
        preprocessing,
        tuple(labels),
        output_kind(model) if single else None,
        complexity(model).macs,
    )
    onnx.helper.set_model_props(proto, about.as_metadata())
    proto.producer_name, proto.producer_version = "slimnets", ""
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString()
    error = _compare(model, content, shape, batch_size)
    if not error <= _MOST_ERROR:
        raise RuntimeError(
            f"the ONNX file's outputs differ by {error:.2g} of the greatest from Keras's, so it "
            "was not written. Please report the model."
        )
    write_bytes(path, content)
    operators = dict(Counter(node.op_type for node in proto.graph.node).most_common())
    return OnnxExport(path, opset, operators, error, len(content))


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is not installed; {HOW_TO_GET}.") from error


def _image_shape(model: Any) -> tuple[int, int, int]:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"export runs on Keras's TensorFlow backend, this process uses "
            f"{keras.backend.backend()!r}; set KERAS_BACKEND=tensorflow."
        )
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or None in inputs[0].shape[1:]:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs) or "no known graph"
        raise ValueError(
            f"{model.name!r} has inputs {shapes}; expected one of images, (batch, height, width, "
            "channels) of a known size. Build it with input_shape=(224, 224, 3), for example."
        )
    return tuple(inputs[0].shape[1:])


def _output_names(model: keras.Model) -> list[str]:
    from tflite.keras_models import output_kind

    if len(model.outputs) == 1:
        return [output_kind(model)]
    struct = model._outputs_struct
    return sorted(struct) if isinstance(struct, dict) else [*model.output_names]


def _prepared(model: keras.Model, keep_batchnorm: bool) -> keras.Model:
    from slimnets.export.tracing_form import tracing_form
    from tflite.rewriting import simplify_for_deployment

    if not keep_batchnorm and len(model.outputs) == 1:
        model = simplify_for_deployment(model, "cpu", "float32", batch_size=None)
    return tracing_form(model, batch_norm=keep_batchnorm)


def _traced(
    model: keras.Model,
    shape: tuple[int, int, int],
    batch_size: int | None,
    opset: int,
    keep_batchnorm: bool,
) -> Any:
    import keras
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from tf2onnx.optimizer import back_to_back_optimizer

    patch_tf2onnx()  # its numbers are of NumPy 1
    spec = tf.TensorSpec((batch_size, *shape), tf.float32, name=INPUT_NAME)
    function = tf.function(
        lambda image: keras.tree.flatten(model(image, training=False)),
        input_signature=[spec],
        autograph=False,
    )
    # Its account of what it does.
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    # It folds batch normalizations into convolutions, and has no option for that.
    fold = back_to_back_optimizer._func_map.pop(_FOLDING) if keep_batchnorm else None
    try:
        proto, _ = tf2onnx.convert.from_function(function, [spec], opset=opset)
    finally:
        if fold is not None:
            back_to_back_optimizer._func_map[_FOLDING] = fold
    strange = sorted({node.op_type for node in proto.graph.node if node.domain})
    left = sorted({n.op_type for n in proto.graph.node if n.op_type.endswith("PartitionedCall")})
    if strange or left:
        raise ValueError(
            f"{model.name!r} holds operators that ONNX has not: {', '.join(strange + left)}."
        )
    return proto


def _rename(proto: Any, names: Sequence[str], batch_size: int | None) -> None:
    """Ends called as in .tflite files, and an open batch called `batch`."""
    graph = proto.graph
    new = {end.name: name for end, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        for values in (node.input, node.output):
            for place, value in enumerate(values):
                values[place] = new.get(value, value)
    for end in graph.output:
        end.name = new[end.name]
    if batch_size is None:
        for end in (*graph.input, *graph.output):
            end.type.tensor_type.shape.dim[0].dim_param = "batch"


def _compare(
    model: keras.Model, content: bytes, shape: tuple[int, int, int], batch_size: int | None
) -> float:
    import keras

    worst = 0.0
    session = OnnxSession(content)
    for count in _BATCHES if batch_size is None else (batch_size,):
        images = np.random.default_rng(count).uniform(-1, 1, (count, *shape)).astype(np.float32)
        expected = [np.asarray(o) for o in keras.tree.flatten(model(images, training=False))]
        for mine, theirs in zip(session.run_all(images), expected, strict=True):
            if mine.shape != theirs.shape or not np.isfinite(mine).all():
                return np.inf
            worst = max(worst, float(np.abs(mine - theirs).max() / np.abs(theirs).max()))
    return worst
