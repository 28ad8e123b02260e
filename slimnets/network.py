"""What surrounds a body: the input, the head, the scopes of one call, weights, end points."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import keras

from slimnets import layers
from slimnets.arg_scope import Scope, family_defaults
from slimnets.arg_scope import arg_scope as scope_of_call
from slimnets.builder import EndPoints, check_image_batch


def image_input(input_shape: Sequence[int | None], inputs: Any = None) -> Any:
    """The network's input: `inputs` if given, else a new one of `input_shape`, (H, W, C).

    Raises:
        ValueError: anything but three dimensions, or an unknown number of channels.
    """
    if inputs is not None:
        check_image_batch(inputs)
        return inputs
    shape = tuple(input_shape)
    sizes_ok = all(n is None or (isinstance(n, Integral) and n > 0) for n in shape)
    if len(shape) != 3 or not sizes_ok or shape[-1] is None:
        raise ValueError(
            "input_shape must be (height, width, channels), without the batch; height and width "
            f"may be None; got {input_shape!r}."
        )
    return keras.Input(shape, name="image")


@contextmanager
def scopes(family: Scope, own: Scope | None) -> Iterator[None]:
    """The scopes of one call: `own` over the active ones over the family's defaults."""
    with family_defaults(family), scope_of_call(own):
        yield


def classifier(
    input_shape: Sequence[int | None],
    body: Callable[[Any], tuple[Any, EndPoints]],
    scope: Scope,
    *,
    name: str,
    inputs: Any = None,
    num_classes: int | None = 1000,
    global_pool: bool = True,
    local_pool: Callable[[Any], Any] | None = None,
    before_logits: Callable[[Any], Any] | None = None,
    dropout_keep_prob: float | None = None,
    spatial_squeeze: bool = True,
    prediction_fn: Any = "softmax",
    arg_scope: Scope | None = None,
) -> keras.Model:
    """Input → body → pool → [before_logits] → dropout → logits → predictions, as a model.

    Args:
        body: keras tensor → (net, end points).
        scope: the family's defaults, under the active scopes and under `arg_scope`.
        local_pool: what pools where `global_pool` is False; None: nothing does.
        before_logits: layers between pool and dropout; left out without a classifier.
        dropout_keep_prob: None: the scope's.

    The other arguments are those that all networks share (`slimnets.mobilenet_v2`).
    """
    with scopes(scope, arg_scope):
        image = image_input(input_shape, inputs)
        net, end_points = body(image)
        if global_pool:
            net = layers.global_pool(net, "global_pool")
        elif local_pool is not None:
            net = local_pool(net)
        if num_classes:
            if before_logits is not None:
                net = before_logits(net)
            net = add_logits(
                net,
                end_points,
                num_classes=num_classes,
                dropout_keep_prob=dropout_keep_prob,
                spatial_squeeze=spatial_squeeze,
                prediction_fn=prediction_fn,
            )
    return finish(image, net, name)


def add_logits(
    x: Any,
    end_points: EndPoints,
    *,
    num_classes: int,
    dropout_keep_prob: float | None = None,
    spatial_squeeze: bool = True,
    prediction_fn: Any = "softmax",
) -> Any:
    """Dropout → 1×1 convolution with bias → squeeze → predictions, on a pooled (B, h, w, C).

    `dropout_keep_prob` None: the scope's.

    Returns:
        The predictions (the logits if `prediction_fn` is None): (B, num_classes) float32, or
        (B, h, w, num_classes) without `spatial_squeeze`.

    Raises:
        ValueError: `spatial_squeeze` of a map that is not 1×1, or values out of range.
    """
    check_num_classes(num_classes)
    size = tuple(x.shape[1:3])
    if spatial_squeeze and any(n not in (None, 1) for n in size):
        raise ValueError(
            f"spatial_squeeze needs a 1×1 map, but the pooled map is {size[0]}×{size[1]} for this "
            "input size: pass global_pool=True for one prediction an image, or "
            "spatial_squeeze=False for a map of predictions."
        )
    x = layers.dropout(x, dropout_keep_prob, "Dropout_1b")
    x = layers.conv(
        x,
        num_classes,
        name="Logits.Conv2d_1c_1x1",
        activation="linear",
        normalizer=False,
        use_bias=True,
    )
    return add_predictions(x, end_points, num_classes, spatial_squeeze, prediction_fn)


def add_predictions(
    x: Any, end_points: EndPoints, num_classes: int, spatial_squeeze: bool, prediction_fn: Any
) -> Any:
    """Squeeze → predictions on logits (B, h, w, num_classes); the end points of both."""
    # float32 from here on, also in mixed precision: softmax needs the range.
    squeeze = keras.layers.Reshape((num_classes,), name="Logits", dtype="float32")
    keep = keras.layers.Identity(name="Logits", dtype="float32")
    x = end_points["Logits"] = (squeeze if spatial_squeeze else keep)(x)
    if prediction_fn is not None:
        predict = keras.layers.Activation(prediction_fn, name="Predictions", dtype="float32")
        x = end_points["Predictions"] = predict(x)
    return x


def check_num_classes(num_classes: int) -> None:
    """Raise unless `num_classes` is a positive integer."""
    if not isinstance(num_classes, Integral) or num_classes < 1:
        raise ValueError(
            "num_classes must be an integer of at least 1, or 0 or None for no classifier; "
            f"got {num_classes!r}."
        )


def finish(inputs: Any, outputs: Any, name: str) -> keras.Model:
    """The functional model from `inputs` to `outputs`."""
    sources = keras.utils.get_source_inputs(inputs)
    return keras.Model(sources[0] if len(sources) == 1 else sources, outputs, name=name)


def takes_weights(function: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """Give a network's function the keyword `weights`, which also decides how it is built.

    PyTorch's weights need PyTorch's padding, for example. What the caller says explicitly wins;
    where that cannot be, loading says why.
    """

    @functools.wraps(function)
    def build(*args: Any, weights: Any = None, **kwargs: Any) -> keras.Model:
        if weights is None:
            return function(*args, **kwargs)
        from slimnets.weights import load_weights, source_requirements

        required = source_requirements(weights, function.__name__, **kwargs)
        model = function(*args, **{**required, **kwargs})
        load_weights(model, weights)
        return model

    signature = inspect.signature(function)
    keyword = inspect.Parameter("weights", inspect.Parameter.KEYWORD_ONLY, default=None)
    parameters = [*signature.parameters.values()]
    at = next((i for i, p in enumerate(parameters) if p.kind is p.VAR_KEYWORD), len(parameters))
    build.__signature__ = signature.replace(
        parameters=[*parameters[:at], keyword, *parameters[at:]]
    )
    return build


def end_points(model: keras.Model) -> EndPoints:
    """The named activations of a network of ours, in building order.

    Works on a built, loaded or cloned model: end points are the layers without a dot in their
    names. Keys are TF-Slim's (`Conv2d_3_depthwise`, `layer_5/expansion_output`, `Logits`);
    `layer_5` is the same tensor as `layer_5/output`.

    Raises:
        ValueError: `model` has no end points, so it is no network of this library.
    """
    found: EndPoints = {}
    for layer in model.layers:
        if "." in layer.name or isinstance(layer, keras.layers.InputLayer):
            continue
        key = re.sub(r"^(layer_\d+)_(\w+_)?output$", r"\1/\2output", layer.name)
        found[key] = layer.output
        if key.endswith("/output"):
            found[key.removesuffix("/output")] = layer.output
    if not any("." in layer.name for layer in model.layers):
        raise ValueError(
            f"Model {model.name!r} has no end points: its layers do not follow the naming of "
            "slimnets' networks. Build it with slimnets, or use model.get_layer(name).output."
        )
    return found
