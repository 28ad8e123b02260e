"""An int8 file as a Keras model that can be trained, and such a model as its file again.

The model has the file's operators, scales and zero points, so there is nothing that the conversion
could decide otherwise: what is trained is the deployment graph itself, batch norms folded, channels
equalized, from the state in which post-training quantization left it. The file without its weights
travels in the model, in the configuration of its first layer.
"""

import base64
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.images import ImageInput
from tflite.quantizing.convolutions import Convolution, drop_unused
from tflite.quantizing.effort import Outcome
from tflite.quantizing.engine import Form
from tflite.quantizing.execution import activations, constant, shape_of
from tflite.quantizing.lowering import Lowered
from tflite.quantizing.operator_options import OPTIONS
from tflite.targets import Target

if TYPE_CHECKING:
    import keras

# Of a skeleton, unpacked; one of a thousand operators takes 1 MB.
_MOST_BYTES = 1 << 26
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_MOVES = ("RESHAPE", "SLICE", "STRIDED_SLICE", "SPLIT", "TRANSPOSE", "SQUEEZE", "MAX_POOL_2D")


def trainable_model(
    file: bytes,
    image: ImageInput | None,
    target: str,
    name: str,
    *,
    sparse: bool = False,
    clusters: bool = False,
) -> "keras.Model":
    """The fake-quantized model of an int8 file, with the file's weights.

    Args:
        file: a .tflite file with one image input and one output.
        image: how pixels become its input, as its metadata says.
        target: the device it was made for.
        name: of the model.
        sparse: weights that are 0 stay 0.
        clusters: weights of an output channel that are equal stay equal.

    Returns:
        float32 images in the network's input space → what the file gives, but probabilities that
        are not rounded to 1/256: a loss could not see further.

    Raises:
        ValueError: an operator that cannot be trained; it is named.
    """
    import keras

    from tflite import quantized_layers as made

    flat = flatbuffer.unpack(file)
    flat.metadata, flat.description = [], None
    graph, layers = flat.subgraphs[0], []
    names = _Names()
    entrance = keras.Input(tuple(graph.tensors[graph.inputs[0]].shape[1:]), name="image")
    step, pixels = _input_step(flat, image), _pixels(image)
    first = made.FakeQuantizedInput("", target, step, pixels, name=names("input"))
    unrounded = _makes_probabilities(flat)
    values = {int(graph.inputs[0]): first(entrance)}
    for operator in graph.operators:
        kind = flatbuffer.operator_name(flat, operator)
        layer = Convolution(flat, operator) if kind in _WEIGHTED else None
        called = names(flatbuffer.text(graph.tensors[operator.outputs[0]].name))
        # An operator may read one tensor twice: a square, a concatenation that repeats.
        read = [int(i) for i in operator.inputs]
        inputs = [values[i] for i in read if i in values]
        if layer is not None:
            _check_weights(layer, called)
            made_layer = _convolution(layer, called, sparse, clusters)
            layers.append(operator)
        else:
            made_layer = _operation(flat, operator, kind, called, operator in unrounded)
        outputs = made_layer(inputs[0] if len(inputs) == 1 else inputs)
        if layer is not None:
            _start(made_layer, layer)
        elif kind != "QUANTIZE":
            _set_constants(flat, operator, made_layer)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        values.update(zip(map(int, operator.outputs), outputs, strict=True))
    first.skeleton = _pack(flat, layers)
    return keras.Model(entrance, values[int(graph.outputs[0])], name=name)


def lowered(
    model: "keras.Model", form: Form, device: Target, kept: Sequence[str]
) -> Lowered | None:
    """The file that a quantization-aware model computes as; None of any other model.

    Raises:
        ValueError: it was made for another form; the model is damaged or was changed.
    """
    from tflite.quantized_layers import quantized_input

    first = quantized_input(model)
    if first is None:
        return None
    if form.precision != "int8" or device.name != first.target or form.batch_size != 1 or kept:
        raise ValueError(
            f"the model {model.name!r} is quantization-aware: it becomes an int8 file for "
            f"{first.target!r} with a batch of 1 and nothing kept in float32, and no other. "
            "Convert the model that it was made of."
        )
    file = file_of(model)
    graph = flatbuffer.unpack(file).subgraphs[0]
    ends = [flatbuffer.type_name(graph.tensors[i]) for i in (*graph.inputs, *graph.outputs)]
    if ends != [form.input_type, form.output_type]:
        raise ValueError(
            f"the model {model.name!r} was made aware of a file with {' and '.join(ends)} at its "
            f"ends, not {form.input_type} and {form.output_type}."
        )
    return Lowered(file, Outcome("training", "the steps that the model was trained with"))


def file_of(model: "keras.Model") -> bytes:
    """The int8 file of a fake-quantized model, with the weights that it has now.

    Raises:
        ValueError: the model is damaged or was changed.
    """
    from tflite import quantized_layers as made

    first = made.quantized_input(model)
    layers = [x for x in model.layers if isinstance(x, made.FakeQuantizedConvolution)]
    by_name = {layer.name: layer for layer in layers}
    flat = _unpack(first.skeleton, model.name)
    names = _Names()
    names("input")
    graph = flat.subgraphs[0]
    found = []
    for operator in graph.operators:
        name = names(flatbuffer.text(graph.tensors[operator.outputs[0]].name))
        if name in by_name:
            found.append((by_name.pop(name), Convolution(flat, operator)))
    if by_name:
        raise ValueError(
            f"the model {model.name!r} does not belong to the file that it was made of: "
            f"{', '.join(by_name)} is not in there."
        )
    for layer, operator in found:
        integers = layer.integers()
        operator.quantize(_to_file(operator.kind, integers), _numbers(layer.scales))
        operator.quantize_bias(_numbers(layer.bias))
    drop_unused(flat)
    return flatbuffer.pack(flat)


# --- The skeleton --------------------------------------------------------------------------------


def _pack(flat: schema.ModelT, weighted: Sequence[schema.OperatorT]) -> str:
    """The file without the weights and biases of these operators, as text."""
    graph = flat.subgraphs[0]
    for operator in weighted:
        for index in operator.inputs[1:]:
            if index >= 0:
                graph.tensors[index].buffer = 0  # the empty one
    drop_unused(flat)
    return base64.b64encode(zlib.compress(flatbuffer.pack(flat), 9)).decode()


def _unpack(skeleton: str, name: str) -> schema.ModelT:
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(skeleton, validate=True), _MOST_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
        return flatbuffer.unpack(data)
    except (ValueError, TypeError, zlib.error) as error:
        raise ValueError(
            f"the model {name!r} holds no whole .tflite file any more ({error}); make it anew with "
            "quantize_aware."
        ) from error


class _Names:
    """Names of layers, by those of tensors: the same file gives the same names."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, tensor: str) -> str:
        name = tensor.split(";")[0].replace("/", ".").strip(".") or "operator"
        number, unused = 1, name
        while unused in self._taken:
            number += 1
            unused = f"{name}_{number}"
        self._taken.add(unused)
        return unused


# --- Layers --------------------------------------------------------------------------------------


def _convolution(layer: Convolution, name: str, sparse: bool, clusters: bool) -> Any:
    from tflite import quantized_layers as made

    tensors = layer.flat.subgraphs[0].tensors
    options = OPTIONS[layer.kind](layer.flat, layer.operator)
    return made.FakeQuantizedConvolution(
        layer.kind,
        options,
        _from_file(layer).shape,
        float(tensors[layer.input].quantization.scale[0]),
        _step(tensors[layer.output]),
        sparse=sparse,
        clusters=_values_a_channel(layer) if clusters else 0,
        name=name,
    )


def _start(made_layer: Any, layer: Convolution) -> None:
    scales = np.resize(layer.weight_scales, layer.channels).astype(np.float32)
    unit = float(layer.flat.subgraphs[0].tensors[layer.input].quantization.scale[0]) * scales
    made_layer.start(_from_file(layer), scales, layer.bias * unit)


def _values_a_channel(layer: Convolution) -> int:
    rows = layer.rows(layer.weights).reshape(layer.channels, -1)
    return max(len(np.unique(row)) for row in rows)


def _check_weights(layer: Convolution, name: str) -> None:
    weights = constant(layer.flat, layer.flat.subgraphs[0].tensors[layer.operator.inputs[1]])
    if weights is None or weights.dtype != np.int8 or layer.shares_weights:
        reason = "are another layer's too" if layer.shares_weights else "stay float32"
        reason = "are computed" if weights is None else reason
        raise ValueError(
            f"the weights of {name!r} {reason}: training aware of quantization needs int8 weights "
            "of a layer's own."
        )


def _operation(
    flat: schema.ModelT, operator: schema.OperatorT, kind: str, name: str, unrounded: bool
) -> Any:
    from tflite import quantized_layers as made

    if kind not in OPTIONS:
        raise ValueError(
            f"training aware of quantization does not know the operator {kind} ({name}); known "
            f"are {', '.join(OPTIONS)}."
        )
    tensors = flat.subgraphs[0].tensors
    read = [_step(tensors[i]) for i in activations(flat, operator)]
    steps = [_step(tensors[i]) for i in operator.outputs]
    unchanged = kind in _MOVES and all(step == read[0] for step in steps)
    if unchanged or unrounded:
        steps = [None] * len(steps)
    shapes = _constants(flat, operator, kind)
    return made.FakeQuantizedOperation(
        kind, OPTIONS[kind](flat, operator), shapes, steps, name=name
    )


# Whose constants are numbers to compute with; those of others are shapes and axes.
_COMPUTES = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU", "CONCATENATION")


def _constants(
    flat: schema.ModelT, operator: schema.OperatorT, kind: str
) -> list[list[int] | None]:
    tensors = flat.subgraphs[0].tensors
    read = [tensors[i] for i in operator.inputs if i >= 0]
    if kind not in _COMPUTES:
        return [None]
    return [None if constant(flat, x) is None else list(shape_of(x)) for x in read]


def _set_constants(flat: schema.ModelT, operator: schema.OperatorT, layer: Any) -> None:
    tensors = flat.subgraphs[0].tensors
    for place, shape in enumerate(layer.constants):
        if shape is not None:
            tensor = tensors[operator.inputs[place]]
            values = constant(flat, tensor).astype(np.float32)
            if step := _step(tensor):
                values = (values - step[1]) * np.float32(step[0])
            layer._values[place].assign(values)


def _makes_probabilities(flat: schema.ModelT) -> list[schema.OperatorT]:
    """The last operators, from the softmax or sigmoid on that they are."""
    if not flatbuffer.ends_in_probabilities(flat):
        return []
    graph = flat.subgraphs[0]
    writers, found = flatbuffer.producers(graph), [int(graph.outputs[0])]
    last = []
    while not last or flatbuffer.operator_name(flat, last[-1]) not in flatbuffer.PROBABILITIES:
        last.append(writers[found[-1]])
        found.append(int(last[-1].inputs[0]))
    return last


def _step(tensor: schema.TensorT) -> list[float] | None:
    """Scale and int8 zero point of an activation; None if it is float32."""
    kind = flatbuffer.type_name(tensor)
    if kind not in ("int8", "uint8"):
        return None
    found = tensor.quantization
    shift = 128 if kind == "uint8" else 0
    return [float(found.scale[0]), int(found.zeroPoint[0]) - shift]


def _input_step(flat: schema.ModelT, image: ImageInput | None) -> list[float] | None:
    """Of the file's input: scale, zero point, exact zero point, least and greatest integer."""
    graph = flat.subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    kind = flatbuffer.type_name(tensor)
    if kind == "float32":
        return None
    limits = np.iinfo(kind)
    scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    exact = float(zero_point)
    if image is not None:
        exact = image.of_file.exact_zero_point(scale, zero_point, kind)
    return [scale, zero_point, exact, int(limits.min), int(limits.max)]


def _pixels(image: ImageInput | None) -> list[list[float]] | None:
    """A file that normalizes channel by channel takes pixels, however equalization changed that."""
    return [list(image.mean), list(image.std)] if image is not None and image.in_graph else None


# --- Layouts -------------------------------------------------------------------------------------


def _from_file(layer: Convolution) -> np.ndarray:
    """Weights in Keras's layout."""
    weights = layer.weights
    if layer.kind == "DEPTHWISE_CONV_2D":
        return weights.reshape(*weights.shape[1:3], layer.groups, -1)
    return np.moveaxis(weights, 0, -1)


def _to_file(kind: str, weights: np.ndarray) -> np.ndarray:
    if kind == "DEPTHWISE_CONV_2D":
        return weights.reshape(1, *weights.shape[:2], -1)
    return np.ascontiguousarray(np.moveaxis(weights, -1, 0))


def _numbers(variable: Any) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(variable)
