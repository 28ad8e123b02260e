"""A Keras functional model read into a graph."""

from typing import Any

import keras
import numpy as np

from tflite.rewriting.graph import Graph, Node, Slot, Value


def read_model(model: keras.Model) -> Graph:
    """The graph of a built functional model with one input and one output.

    Raises:
        ValueError: the model is unbuilt, subclassed, or has several inputs or outputs.
    """
    functional = _functional(model)
    for role, tensors in (("input", functional.inputs), ("output", functional.outputs)):
        if len(tensors) != 1:
            names = ", ".join(tensor.name for tensor in tensors)
            raise ValueError(
                f"a model with one input and one output can be deployed; {model.name!r} has "
                f"{len(tensors)} {role}s ({names}). Make one model per pair with "
                "keras.Model(model.inputs[i], model.outputs[j])."
            )
    tensor = functional.inputs[0]
    node = Node(
        name=tensor._keras_history.operation.name,
        kind="Input",
        inputs=[],
        shapes=[tuple(tensor.shape)],
        config={"dtype": tensor.dtype},
    )
    (output,) = _read_calls(functional, [node.out], {})
    return Graph(model.name, node, output)


def _functional(model: Any) -> Any:
    if not isinstance(model, keras.Model):
        raise ValueError(f"a keras.Model is needed, got {type(model).__name__}.")
    if not _is_functional(model):
        raise ValueError(
            f"the graph of the subclassed model {model.name!r} ({type(model).__name__}) cannot be "
            "read. Make it functional: x = keras.Input(shape); keras.Model(x, model.call(x))."
        )
    inner = model._functional if isinstance(model, keras.Sequential) else model
    if inner is None or not inner.built:
        raise ValueError(
            f"model {model.name!r} has not been built: its input shape is unknown. Start it with "
            "keras.Input(shape) or call model.build((None, height, width, channels))."
        )
    return inner


def _is_functional(operation: Any) -> bool:
    """Whether it runs exactly what its graph says (a subclass may override `call`)."""
    return type(operation).call.__qualname__ in ("Functional.call", "Sequential.call")


def _read_calls(
    functional: Any, inputs: list[Value], weights: dict[int, list[np.ndarray]]
) -> list[Value]:
    """The outputs' values, with nested functional models written out in place.

    `weights` holds what was read of each layer: its later calls get the very same arrays, which
    is how `build_model` knows that nothing came between them.
    """
    values = {id(tensor): value for tensor, value in zip(functional.inputs, inputs, strict=True)}
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for call in functional._nodes_by_depth[depth]:
            if call.is_input or any(id(tensor) not in values for tensor in call.input_tensors):
                continue
            read = [values[id(tensor)] for tensor in call.arguments.keras_tensors]
            if _is_functional(call.operation):
                results = _read_calls(_functional(call.operation), read, weights)
            else:
                node = _read_call(call, read, weights)
                results = node.outputs
            values.update((id(t), v) for t, v in zip(call.outputs, results, strict=True))
    return [values[id(tensor)] for tensor in functional.outputs]


def _read_call(call: Any, inputs: list[Value], weights: dict[int, list[np.ndarray]]) -> Node:
    operation = call.operation
    slots = iter(range(len(inputs)))
    arguments = keras.tree.map_structure(
        lambda leaf: Slot(next(slots)) if isinstance(leaf, keras.KerasTensor) else _single(leaf),
        (call.arguments.args, call.arguments.kwargs),
    )
    if "training" in arguments[1]:  # inference overrides it, whatever the call said
        arguments[1]["training"] = False
    is_layer = isinstance(operation, keras.Layer)
    own = _weights(operation, weights) if is_layer else []
    kind = type(operation).__name__
    config = _config(operation) if is_layer else {}
    # A method put on one object is not what the rewrites know of its class.
    if (
        type(operation).__module__.split(".")[0] != "keras"
        or "call" in vars(operation)
        or config is None
    ):
        kind = f"custom.{kind}"
    elif not is_layer:
        kind = f"ops.{kind}"
    node = Node(
        name=operation.name,
        kind=kind,
        inputs=inputs,
        shapes=[tuple(tensor.shape) for tensor in call.outputs],
        source=operation,
        config=config or {},
        weights=own,
        call=arguments,
    )
    return _name_activation(node, weights) if "activation" in node.config else node


def _single(argument: Any) -> Any:
    """An array as float32 if it is float64, as NumPy's are unasked, and all after it would be."""
    dtype = getattr(argument, "dtype", None)
    if dtype is None or keras.backend.standardize_dtype(dtype) != "float64":
        return argument
    return keras.ops.convert_to_numpy(argument).astype(np.float32)


def _weights(layer: Any, known: dict[int, list[np.ndarray]]) -> list[np.ndarray]:
    """What the layer's weights were when it was first read."""
    if id(layer) not in known:
        known[id(layer)] = layer.get_weights()
    return known[id(layer)]


def _is_of_keras(operation: Any) -> bool:
    """Whether it does what Keras's class of its name does; a method may be put on one object."""
    return type(operation).__module__.split(".")[0] == "keras" and "call" not in vars(operation)


def _config(layer: Any) -> dict[str, Any] | None:
    """What the layer says of itself; None where it cannot."""
    try:
        return layer.get_config()
    # A class of the user's, or a function that Keras has no name for: whatever it raises.
    except Exception:
        return None


def _name_activation(node: Node, weights: dict[int, list[np.ndarray]]) -> Node:
    """The node with an activation that Keras knows by name, or followed by one that does the rest.

    An activation can also be TensorFlow's function, a lambda or a layer, which a config either does
    not hold or cannot give back. A layer's weights (PReLU's) are those of the node's source, too.
    """
    function = getattr(node.source, "activation", None)
    if function is None or _is_called(node.config["activation"], function):
        return node
    if known := _KERAS_NAMES.get(_full_name(function)):
        node.config = {**node.config, "activation": known}
        return node
    if not node.traits.linear:
        node.kind = f"custom.{node.kind}"
        return node
    node.config = {**node.config, "activation": "linear"}
    if isinstance(function, keras.Layer):
        if not function.built:  # Keras does so when the model is first called with numbers
            function.build(node.shape)
        node.weights = node.weights[: len(node.source.weights) - len(function.weights)]
        after = Node(
            function.name,
            type(function).__name__,
            [node.out],
            [node.shape],
            source=function,
            config=_config(function),
            weights=_weights(function, weights),
        )
        if not after.config or not _is_of_keras(function):
            after.kind = f"custom.{after.kind}"
        return after
    return Node(
        f"{node.name}.activation",
        "Function",
        [node.out],
        [node.shape],
        config={"function": function},
    )


def _is_called(name: Any, function: Any) -> bool:
    """Whether Keras gives back this very function by the name in a config."""
    try:
        return isinstance(name, str) and keras.activations.get(name) is function
    except ValueError:
        return False


# TensorFlow's functions that are Keras's own under another name.
_KERAS_NAMES = {
    "tensorflow.relu": "relu",
    "tensorflow.relu6": "relu6",
    "tensorflow.sigmoid": "sigmoid",
    "tensorflow.softmax_v2": "softmax",
    "tensorflow.swish": "silu",
    "tensorflow.tanh": "tanh",
}


def _full_name(function: Any) -> str:
    package = str(getattr(function, "__module__", "")).split(".")[0]
    return f"{package}.{getattr(function, '__name__', '')}"
