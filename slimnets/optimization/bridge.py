"""Keras 3 models as models of tf_keras, and back: the bridge to tensorflow-model-optimization.

Both are built from the same classes by the same arguments, call by call; where the two Kerases
differ, `legacy_layers` has what is missing. Nothing here asks for TF_USE_LEGACY_KERAS: Keras 3
stays what `keras` and `tf.keras` are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tf_keras

from slimnets.optimization import legacy_layers

# Layers whose arguments mean the same in both.
_LAYERS = frozenset(
    {"Activation", "Add", "Average", "AveragePooling2D", "BatchNormalization", "Concatenate"}
    | {"Conv2D", "Conv2DTranspose", "Cropping2D", "Dense", "DepthwiseConv2D", "Dropout"}
    | {"Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Identity", "InputLayer"}
    | {"LeakyReLU", "MaxPooling2D", "Maximum", "Minimum", "Multiply", "PReLU", "Permute"}
    | {"ReLU", "Rescaling", "Reshape", "Resizing", "SeparableConv2D", "Softmax"}
    | {"SpatialDropout2D", "Subtract", "UpSampling2D", "ZeroPadding2D"}
)
# These leave images as they are, but in training.
_AUGMENTS = frozenset(name for name in dir(keras.layers) if name.startswith("Random"))
# Of what a layer is, and not of what it computes or how it is trained on.
_LEFT_OUT = ("name", "dtype", "batch_input_shape", "batch_shape", "input_shape")
_PENALTIES = ("L1", "L2", "L1L2")
_ARITHMETIC = {
    "Add": "add",
    "Subtract": "subtract",
    "Multiply": "multiply",
    "Divide": "divide",
    "TrueDivide": "divide",
}


def to_tf_keras(model: keras.Model) -> tf_keras.Model:
    """The same network in tf_keras: layers of the same names, weights and regularizers.

    Args:
        model: a built functional or Sequential Keras 3 model. Layers called several times stay one
            layer; functional models inside it are written out in place, and layers that augment
            images, such as RandomFlip, are left out. It is not modified.

    Returns:
        A tf_keras model whose outputs agree to 1e-5 of the greatest. That is float32's rounding:
        each of the two may be as far from what float64 gives.

    Raises:
        TypeError: no Keras 3 model.
        ValueError: a subclassed model, one without weights yet, or a layer that has no counterpart;
            it is named.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"to_tf_keras takes a Keras 3 model, got {type(model).__name__}.")
    functional = _functional(model, keras)
    inputs = [
        tf_keras.Input(batch_shape=tuple(x.shape), name=_name(x), dtype=x.dtype)
        for x in functional.inputs
    ]
    built: dict[str, tuple[Any, Any]] = {}

    def call(source: Any, arguments: tuple, keywords: dict) -> Any:
        if type(source).__module__.startswith("keras.") and type(source).__name__ in _AUGMENTS:
            return arguments[0]
        layer, arguments = _twin(source, arguments, keywords, built)
        return layer(*arguments)

    outputs = _rebuild(functional, inputs, call, keras)
    twin = tf_keras.Model(_one(inputs), outputs, name=model.name)
    for source, layer in built.values():
        if isinstance(source, keras.Layer):
            layer.set_weights(source.get_weights())
    return twin


def from_tf_keras(model: tf_keras.Model, into: keras.Model | None = None) -> keras.Model:
    """A tf_keras model's weights in a Keras 3 model; wrappers of pruning and clustering go.

    Args:
        model: what `to_tf_keras` gave, trained on, also inside tensorflow-model-optimization's
            wrappers.
        into: the Keras 3 model that takes the weights, changed in place; None: a clone of the
            network that `to_tf_keras` was given.

    Raises:
        TypeError: the one is no tf_keras model, or the other none of Keras 3.
        ValueError: the layers with weights are not the same, or a layer has no counterpart.
    """
    if not isinstance(model, tf_keras.Model):
        raise TypeError(f"from_tf_keras takes a tf_keras model, got {type(model).__name__}.")
    if into is not None and not isinstance(into, keras.Model):
        raise TypeError(f"into must be a Keras 3 model, got {type(into).__name__}.")
    stripped = _stripped(model)
    target = _keras_3_model(stripped) if into is None else into
    found = {layer.name: layer.get_weights() for layer in stripped.layers if layer.weights}
    layers = {layer.name: layer for layer in _leaves(target) if layer.weights}
    if missing := [*(set(layers) - set(found)), *(set(found) - set(layers))]:
        raise ValueError(
            f"{target.name!r} and {model.name!r} are not the same network: only one of them has "
            f"weights in {', '.join(sorted(missing)[:5])}."
        )
    for name, layer in layers.items():
        shapes = [tuple(value.shape) for value in found[name]]
        if shapes != [tuple(weight.shape) for weight in layer.weights]:
            raise ValueError(
                f"layer {name} of {model.name!r} has weights of the shapes {shapes}, and of other "
                f"shapes in {target.name!r}."
            )
    for name, layer in layers.items():
        layer.set_weights(found[name])
    return target


# --- Walking a model -----------------------------------------------------------------------------


def _functional(model: Any, package: Any) -> Any:
    """The functional model that it is or, if Sequential, holds."""
    if type(model).call.__qualname__ not in ("Functional.call", "Sequential.call"):
        raise ValueError(
            f"the graph of the subclassed model {model.name!r} ({type(model).__name__}) cannot be "
            f"read. Make it functional: x = {package.__name__}.Input(shape); "
            f"{package.__name__}.Model(x, model.call(x))."
        )
    if not model.built or not model.inputs:
        raise ValueError(f"{model.name!r} has no weights yet: call it once, or give it an Input.")
    if package is keras and isinstance(model, keras.Sequential):
        return model._functional
    return model


def _rebuild(functional: Any, inputs: list, call: Callable, package: Any) -> Any:
    """Calls `call(layer, arguments, keywords)` for each call in the graph; gives the outputs."""
    values = {id(x): value for x, value in zip(functional.inputs, inputs, strict=True)}
    for layer, arguments, keywords, outputs in _calls(functional, package):
        map_structure = package.tree.map_structure if package is keras else _map
        arguments, keywords = map_structure(lambda x: values.get(id(x), x), (arguments, keywords))
        if isinstance(layer, package.Model):
            inner = _functional(layer, package)
            given = arguments[0] if isinstance(arguments[0], list | tuple) else [arguments[0]]
            made = _rebuild(inner, list(given), call, package)
        else:
            made = call(layer, tuple(arguments), dict(keywords))
        made = made if isinstance(made, list | tuple) else [made]
        values.update((id(x), value) for x, value in zip(outputs, made, strict=True))
    return _one([values[id(x)] for x in functional.outputs])


def _one(tensors: list) -> Any:
    """The only one of them, or all: a model of a list wants to be called on a list."""
    return tensors[0] if len(tensors) == 1 else tensors


def _map(function: Callable, structure: Any) -> Any:
    import tensorflow as tf

    return tf.nest.map_structure(function, structure)


def _calls(functional: Any, package: Any) -> Iterator[tuple[Any, tuple, dict, list]]:
    """Layer, arguments, keyword arguments and output tensors, in the order of computation."""
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for node in functional._nodes_by_depth[depth]:
            if node.is_input:
                continue
            if package is keras:
                arguments = node.arguments
                yield node.operation, arguments.args, arguments.kwargs, list(node.outputs)
            else:
                outputs = _map(lambda x: x, node.outputs)
                outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
                yield node.layer, node.call_args, node.call_kwargs, list(outputs)


def _leaves(model: Any) -> list[Any]:
    found = model._flatten_layers(include_self=False)
    return [layer for layer in found if not isinstance(layer, keras.Model)]


def _name(tensor: Any) -> str:
    return tensor._keras_history.operation.name


# --- Keras 3 → tf_keras --------------------------------------------------------------------------


def _twin(
    source: Any, arguments: tuple, keywords: dict, built: dict[str, tuple[Any, Any]]
) -> tuple[Any, tuple]:
    """The tf_keras layer for a call of a Keras 3 layer or operation, and what it is called on."""
    known, layer = built.get(source.name, (source, None))
    if known is not source:
        raise ValueError(
            f"two layers are called {source.name!r}, one of them inside another model: tf_keras "
            "needs names that differ. Give one of them another name."
        )
    if isinstance(source, keras.Layer):
        layer = layer or _layer(source, tf_keras)
    else:
        layer, arguments = _operation(source, arguments, keywords)
    built[source.name] = source, layer
    return layer, arguments


def _layer(source: Any, package: Any) -> Any:
    """A layer of the other Keras by the same arguments."""
    kind = type(source).__name__
    home = type(source).__module__.split(".")[0]
    if kind not in _LAYERS or home not in ("keras", "tf_keras") or "call" in vars(source):
        raise ValueError(
            f"layer {source.name!r} ({kind}) has no counterpart in "
            f"{package.__name__.removesuffix('_v2')}: replace it by layers of Keras, such as "
            "Conv2D or Activation."
        )
    made = getattr(package.layers, kind)
    accepted = inspect.signature(made.__init__).parameters
    config = dict(source.get_config())
    if kind == "LeakyReLU":
        value = config.pop("negative_slope", config.pop("alpha", None))
        config["alpha" if package is tf_keras else "negative_slope"] = value
    defaults = inspect.signature(type(source).__init__).parameters
    for key, value in config.items():
        if key in _LEFT_OUT or key in accepted or key not in defaults:
            continue
        if value not in (None, defaults[key].default, "channels_last"):
            raise ValueError(
                f"layer {source.name!r} ({kind}) has {key}={value!r}, which {package.__name__} "
                "does not know."
            )
    options = {
        key: _option(source, key, value, package)
        for key, value in config.items()
        if key not in _LEFT_OUT and not key.endswith("_initializer") and key in accepted
    }
    return made(name=source.name, **{**options, "trainable": source.trainable})


def _option(source: Any, key: str, value: Any, package: Any) -> Any:
    if key == "activation":
        return _activation(source, package)
    if key.endswith("_regularizer") and value is not None:
        penalty = getattr(source, key)
        if type(penalty).__name__ not in _PENALTIES:
            raise ValueError(
                f"the {key} of layer {source.name!r} is a {type(penalty).__name__}; "
                f"{', '.join(_PENALTIES)} can be taken over."
            )
        kind = getattr(package.regularizers, type(penalty).__name__)
        return kind(**{n: float(v) for n, v in penalty.get_config().items()})
    if key.endswith("_constraint") and value is not None:
        raise ValueError(f"the {key} of layer {source.name!r} cannot be taken over; leave it out.")
    if key == "axis" and isinstance(value, list | tuple) and len(value) == 1:
        return value[0]  # tf_keras's batch norm lists the one it has
    return _plain(value)


def _plain(value: Any) -> Any:
    """Without the list that tf_keras wraps around lists, to watch them."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _activation(source: Any, package: Any) -> Any:
    """The activation's counterpart: a name where both Kerases mean the same by it."""
    function = source.activation
    name = getattr(function, "__name__", type(function).__name__)
    ours = getattr(function, "__module__", "").startswith(("keras.", "tf_keras.", "slimnets."))
    if package is tf_keras and name in legacy_layers.ACTIVATIONS and ours:
        return legacy_layers.ACTIVATIONS[name]
    legacy_hard_sigmoid = name == "hard_sigmoid" and function.__module__.startswith("tf_keras.")
    try:
        if not ours or legacy_hard_sigmoid:
            raise ValueError
        package.activations.get(name)
    except ValueError:
        raise ValueError(
            f"the activation {name!r} of layer {source.name!r} has no counterpart in "
            f"{package.__name__}."
        ) from None
    return name


def _operation(source: Any, arguments: tuple, keywords: dict) -> tuple[Any, tuple]:
    """An operation of keras.ops as a layer, and the tensors that it takes."""
    kind = type(source).__name__
    given = [*arguments, *keywords.values()]
    tensors = [x for x in given if _is_tensor(x)]
    if kind in _ARITHMETIC and len(given) == 2:
        if len(tensors) == 1:
            left, right = (None if _is_tensor(x) else np.asarray(x).tolist() for x in given)
            layer = legacy_layers.Arithmetic(_ARITHMETIC[kind], left, right, name=source.name)
            return layer, (tensors[0],)
        if kind in ("Add", "Multiply", "Subtract"):
            return getattr(tf_keras.layers, kind)(name=source.name), (tensors,)
    if kind == "GetItem" and len(tensors) == 1 and len(given) == 2:
        # A list where the model was read from a file.
        part = tuple(given[1]) if isinstance(given[1], tuple | list) else (given[1],)
        rank = len(tensors[0].shape)
        if Ellipsis in part:
            at = part.index(Ellipsis)
            part = (*part[:at], *[slice(None)] * (rank - len(part) + 1), *part[at + 1 :])
        if all(isinstance(x, slice) for x in part):
            bounds = [[x.start, x.stop, x.step] for x in part]
            return legacy_layers.Part(bounds, name=source.name), (tensors[0],)
    if kind == "Reshape" and source.newshape[0] in (-1, tensors[0].shape[0]):
        return tf_keras.layers.Reshape(source.newshape[1:], name=source.name), (tensors[0],)
    if kind == "Transpose" and source.axes and source.axes[0] == 0:
        return tf_keras.layers.Permute(source.axes[1:], name=source.name), (tensors[0],)
    raise ValueError(
        f"the operation {source.name!r} (keras.ops, {kind}) has no counterpart in tf_keras: use a "
        "layer, such as Add, Multiply or Reshape."
    )


def _is_tensor(value: Any) -> bool:
    plain = isinstance(value, np.ndarray) or not hasattr(value, "shape")
    return not plain and tf_keras.backend.is_keras_tensor(value)


# --- tf_keras → Keras 3 --------------------------------------------------------------------------


def _stripped(model: tf_keras.Model) -> tf_keras.Model:
    """The model without tensorflow-model-optimization's wrappers."""
    wrapped = [type(layer).__name__ for layer in model.layers]
    if "PruneLowMagnitude" in wrapped:
        from slimnets.optimization.legacy_tools import sparsity

        return sparsity.strip_pruning(model)
    if "ClusterWeights" in wrapped:
        from slimnets.optimization.legacy_tools import clustering

        return clustering.strip_clustering(model)
    return model


def _keras_3_model(model: tf_keras.Model) -> keras.Model:
    functional = _functional(model, tf_keras)
    inputs = [
        keras.Input(batch_shape=tuple(x.shape), name=name, dtype=x.dtype.name)
        for x, name in zip(functional.inputs, functional.input_names, strict=True)
    ]
    built: dict[str, Any] = {}

    def call(source: Any, arguments: tuple, keywords: dict) -> Any:
        if isinstance(source, legacy_layers.Part):
            made = arguments[0][tuple(slice(*bound) for bound in source.bounds)]
        elif isinstance(source, legacy_layers.Arithmetic):
            left, right = (
                arguments[0] if x is None else np.asarray(x, np.float32)
                for x in (source.left, source.right)
            )
            made = getattr(keras.ops, source.operation)(left, right)
        else:
            if source.name not in built:
                built[source.name] = _layer(source, keras)
            return built[source.name](*arguments)
        made._keras_history.operation.name = source.name
        return made

    outputs = _rebuild(functional, inputs, call, tf_keras)
    return keras.Model(_one(inputs), outputs, name=model.name)
