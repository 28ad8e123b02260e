"""What surrounds a body: the input, the head, the scopes of one call, weights, end points."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from slimnets import layers
from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope, family_defaults, merge
from slimnets.arg_scope import arg_scope as scope_of_call
from slimnets.arguments import check_arguments, check_input_shape
from slimnets.builder import EndPoints, build_body, check_image_batch, check_multiplier
from slimnets.conv_defs import make_divisible
from slimnets.weights.loading import load_for_building
from slimnets.weights.requirements import chosen_source, source_requirements


def image_input(input_shape: Sequence[int | None], inputs: Any = None) -> Any:
    """The network's input: `inputs` if given, else a new one of `input_shape`, (H, W, C).

    Raises:
        ValueError: anything but three dimensions, or an unknown number of channels.
    """
    if inputs is not None:
        check_image_batch(inputs)
        return inputs
    check_input_shape(input_shape)
    return keras.Input(tuple(input_shape), name="image")


# Keras's own, which trainings of a few hundred steps and of many thousand both do well with.
_BRIEF_TRAINING: Scope = {"batch_norm": {"momentum": 0.99}}


@contextmanager
def scopes(family: Scope, own: Scope | None) -> Iterator[None]:
    """The scopes of one call: `own` over the active ones over the family's defaults.

    The momentum of batch norm is of those only where a scope was asked for: the published ones, up
    to 0.9997, are made for hundreds of thousands of steps, and a model that is trained for a few
    hundred would fit its images and predict at chance.
    """
    with family_defaults(merge(family, _BRIEF_TRAINING)), scope_of_call(own):
        yield


def divisible(depth: float, min_depth: int) -> int:
    """Channels as MobileNetV2 and its heirs round them: multiples of 8, at least `min_depth`."""
    return make_divisible(depth, min_value=min_depth)


@dataclass(frozen=True)
class Body:
    """A family's table and how it is scaled, named and built.

    Attributes:
        table: the family's own; `conv_defs` replaces it.
        scope: makes the family's defaults.
        channels: (depth in the table · depth_multiplier, min_depth) → channels.
        names: the names of a table's records; None: layer_1, layer_2, ….
        prepare: what is done to a table before it is built.
    """

    table: Sequence[Any]
    scope: Callable[[], Scope]
    channels: Callable[[float, int], int] = divisible
    names: Callable[[Sequence[Any]], Iterable[str]] | None = None
    prepare: Callable[[Sequence[Any]], Sequence[Any]] = lambda table: table

    def build(
        self,
        inputs: Any,
        final_endpoint: str | None = None,
        min_depth: int = 8,
        depth_multiplier: float = 1.0,
        conv_defs: Sequence[Any] | None = None,
        output_stride: int | None = None,
        use_explicit_padding: bool = False,
        *,
        atrous: str = "tensorflow",
    ) -> tuple[Any, EndPoints]:
        """The body up to `final_endpoint`: what every `…_base` function does.

        Args:
            inputs: keras tensor (B, H, W, C); H and W may be None.
            final_endpoint: where to stop; None: at the table's end.
            min_depth: no layer gets fewer channels.
            depth_multiplier: α > 0 on every depth.
            conv_defs: a table in place of the family's.
            output_stride: None, 8, 16 or 32: past it, strides become dilation.
            use_explicit_padding: fixed padding, as in PyTorch, in place of SAME.
            atrous: whether the layer that gives up its stride is itself dilated ("torchvision")
                or only those after it ("tensorflow"): weights need their own library's way.

        Returns:
            The last tensor and the end points, in building order.

        Raises:
            ValueError: a value out of range; an unknown record or end point.
            TypeError: depth_multiplier is not a number.
        """
        check_multiplier(depth_multiplier, min_depth)
        table = self.prepare(self.table if conv_defs is None else conv_defs)
        with scopes(self.scope(), None):
            return build_body(
                inputs,
                table,
                width=lambda depth: self.channels(depth * depth_multiplier, min_depth),
                names=self.names and self.names(table),
                output_stride=output_stride,
                atrous=atrous,
                use_explicit_padding=use_explicit_padding,
                final_endpoint=final_endpoint,
            )


# What a network's function decides itself, though the functions that it calls take it.
_NOT_THE_CALLERS = ("final_endpoint", "local_pool", "before_logits")


def keywords_of(
    *others: Callable[..., Any], without: Sequence[str] = _NOT_THE_CALLERS
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Show the keywords of `others` in the signature of a function that passes its own on to them.

    So each is written down where it is used. Those without a default are the function's business.
    Whatever none of them takes is a TypeError here, before anything is built.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        kinds = {p.kind for p in signature.parameters.values()}
        shown = {
            name: p
            for name, p in signature.parameters.items()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        for other in others:
            for name, p in inspect.signature(other).parameters.items():
                if p.default is p.empty or name in without or name in shown:
                    continue
                # Only *args can pass places on.
                by_place = inspect.Parameter.VAR_POSITIONAL in kinds
                shown[name] = p if by_place else p.replace(kind=p.KEYWORD_ONLY)
        order = sorted(shown.values(), key=lambda p: p.kind)
        signature = signature.replace(parameters=order)

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(*args, **kwargs)

        checked.__signature__ = signature
        return checked

    return decorate


# What `…_base` functions pass on to `Body.build`.
body_keywords = keywords_of(Body.build, without=())


def classifier(
    input_shape: Sequence[int | None],
    body: Callable[..., tuple[Any, EndPoints]],
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
    **of_body: Any,
) -> keras.Model:
    """Input → body → pool → [before_logits] → dropout → logits → predictions, as a model.

    Args:
        input_shape: (height, width, channels); height and width may be None.
        body: keras tensor and the keywords `of_body` → (net, end points).
        scope: the family's defaults, under the active scopes and under `arg_scope`.
        name: of the model.
        inputs: a keras tensor to build on, in place of `input_shape`.
        num_classes: 0 or None: no classifier; the pooled features (B, 1, 1, C) are returned.
        global_pool: pool any map to 1×1.
        local_pool: what pools where `global_pool` is False; None: nothing does.
        before_logits: layers between pool and dropout; left out without a classifier.
        dropout_keep_prob: share of the pooled features kept in training; None: the scope's.
        spatial_squeeze: drop height and width of the logits; False keeps (B, h, w, classes).
        prediction_fn: Keras activation (name or callable) on the logits; None returns logits.
        arg_scope: default arguments for this call.

    Raises:
        ValueError, TypeError: an argument out of range; the message says what is allowed.
    """
    with scopes(scope, arg_scope):
        image = image_input(input_shape, inputs)
        net, end_points = body(image, **of_body)
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


def fixed_width_network(
    input_shape: Sequence[int | None],
    conv_defs: Sequence[Any],
    names: Iterable[str],
    scope: Scope,
    *,
    use_explicit_padding: bool = True,
    **kwargs: Any,
) -> keras.Model:
    """A classifier whose table's depths are its channels; `kwargs` as `classifier`."""

    def body(image: Any) -> tuple[Any, EndPoints]:
        return build_body(
            image,
            conv_defs,
            width=lambda depth: depth,
            names=names,
            use_explicit_padding=use_explicit_padding,
        )

    return classifier(input_shape, body, scope, **kwargs)


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
    if not isinstance(num_classes, Integral) or isinstance(num_classes, bool) or num_classes < 1:
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
    where that cannot be, loading says why. A `num_classes` (also 0 or None) other than the source's
    takes everything but the classifier, and one line of the log says so.
    """

    names = list(inspect.signature(function).parameters)
    shape = inspect.signature(function).parameters.get("input_shape")
    own_shape = {"input_shape": shape.default} if shape else {}

    @functools.wraps(function)
    def build(*args: Any, weights: Any = None, **kwargs: Any) -> keras.Model:
        # Positional arguments begin with the input's shape, in every network.
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        check_arguments(given)
        if weights is None:
            return function(*args, **kwargs)
        # One choice for building and loading: other weights may need another padding.
        weights = chosen_source(weights, function.__name__, **{**own_shape, **given})
        required = source_requirements(weights)
        model = function(*args, **{**required, **kwargs})
        load_for_building(model, weights)
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
        TypeError: `model` is no Keras model.
        ValueError: `model` has no end points, so it is no network of this library.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}.")
    if not model.built:
        raise ValueError(f"Model {model.name!r} is not built: give it an Input.")
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
