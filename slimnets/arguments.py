"""What networks have in common in their arguments, checked before anything is built.

Keras would find most of it, but later, and in words of its own; and "yes" or "False" is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

_SWITCHES = ("use_explicit_padding", "spatial_squeeze", "global_pool")
_SWITCHES += ("minimalistic", "fixed_stem")


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise unless those of the `arguments` that all networks share are of their kinds.

    Raises:
        TypeError: a switch that is not True or False, a number of classes that is no number, a
            name that is no text.
        ValueError: no image's shape, an activation that Keras does not know.
    """
    for name in _SWITCHES:
        if not isinstance(arguments.get(name, False), bool):
            raise TypeError(f"{name} must be True or False, got {arguments[name]!r:.80}.")
    classes = arguments.get("num_classes")
    if isinstance(classes, bool) or not (classes is None or isinstance(classes, Integral)):
        raise TypeError(
            f"num_classes must be a whole number, or 0 or None for no classifier; got "
            f"{classes!r:.80}."
        )
    name = arguments.get("name", "a name")
    if name is not None and (not isinstance(name, str) or not name or "/" in name):
        raise TypeError(f"name must be text without '/', got {name!r:.80}.")
    if "input_shape" in arguments and arguments.get("inputs") is None:
        check_input_shape(arguments["input_shape"])
    check_activation(arguments.get("prediction_fn"), "prediction_fn")


def check_input_shape(shape: Any) -> None:
    """Raise a ValueError unless this is (height, width, channels), of whole numbers or None."""
    listed = isinstance(shape, Iterable) and not isinstance(shape, str | bytes | Mapping)
    sizes = list(shape) if listed else []
    good = all(n is None or _is_whole(n) for n in sizes)
    if len(sizes) != 3 or not good or sizes[-1] is None:
        raise ValueError(
            "input_shape must be (height, width, channels), without the batch; height and width "
            f"may be None; got {shape!r:.80}."
        )


def check_activation(activation: Any, name: str) -> None:
    """Raise a ValueError unless this is a Keras activation's name, something callable or None."""
    if activation is None or callable(activation):
        return
    import keras

    try:
        known = callable(keras.activations.get(activation))
    # Of what is no name, Keras raises whatever it stumbles on.
    except Exception:
        known = False
    if not known:
        raise ValueError(
            f"{name} must be the name of a Keras activation, such as 'softmax', something "
            f"callable, or None; got {activation!r:.80}."
        )


def check_scope_value(operation: str, argument: str, value: Any) -> None:
    """Raise unless `value` can be this argument's default in an arg_scope.

    Raises:
        ValueError, TypeError: says which argument, and what is allowed.
    """
    where = f"arg_scope[{operation!r}][{argument!r}]"
    if argument == "epsilon" and not (_is_number(value) and 0 < value <= 1):
        raise ValueError(f"{where} must be a number in (0, 1], got {value!r:.80}.")
    if argument == "momentum" and not (_is_number(value) and 0 <= value <= 1):
        raise ValueError(f"{where} must be a number in [0, 1], got {value!r:.80}.")
    if argument in ("center", "scale", "trainable", "enabled") and not isinstance(value, bool):
        raise TypeError(f"{where} must be True or False, got {value!r:.80}.")
    if argument == "activation":
        check_activation(value, where)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0
