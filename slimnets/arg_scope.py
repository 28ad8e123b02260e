"""Per-operation default arguments: TF-Slim's arg_scope, without its global state.

A scope maps an operation ("conv", "depthwise", "batch_norm", "dropout") to default arguments.
Scopes nest: an inner scope overrides an outer one argument by argument, an explicit argument of
the operation overrides both, and the family's own defaults lie under all of them. Each thread
and each task sees its own scopes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from slimnets.arguments import check_scope_value
from tflite.hints import did_you_mean

Scope = Mapping[str, Mapping[str, Any]]

_CONVOLUTION = (
    "kernel_initializer",
    "kernel_regularizer",
    "activation",
    "normalizer",  # batch norm after it?
    "use_bias",  # None: only where no batch norm follows
    "padding",  # "same", "valid" or "fixed" (independent of the input's size)
)

ARGUMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "conv": _CONVOLUTION,
        "depthwise": _CONVOLUTION,
        "batch_norm": ("momentum", "epsilon", "center", "scale", "trainable"),
        "dropout": ("enabled", "keep_prob"),
    }
)

_current: ContextVar[Scope] = ContextVar("slimnets_arg_scope", default=MappingProxyType({}))


def make_scope(scope: Scope) -> Scope:
    """Check `scope` and return it immutable.

    Raises:
        TypeError: not a mapping of mappings; a switch that is not True or False.
        ValueError: an unknown operation or argument, with the nearest known one; a value out of
            range.
    """
    if not isinstance(scope, Mapping):
        raise TypeError(
            "An arg_scope is a mapping of operation to default arguments, such as "
            f"{{'conv': {{'padding': 'fixed'}}}}; got {type(scope).__name__}."
        )
    for operation, arguments in scope.items():
        if operation not in ARGUMENTS:
            raise ValueError(
                f"Unknown operation {operation!r} in arg_scope; known: "
                f"{', '.join(ARGUMENTS)}.{did_you_mean(operation, ARGUMENTS)}"
            )
        if not isinstance(arguments, Mapping):
            raise TypeError(
                f"arg_scope[{operation!r}] must be a mapping of argument to value, "
                f"got {type(arguments).__name__}."
            )
        for argument, value in arguments.items():
            if argument not in ARGUMENTS[operation]:
                known = ARGUMENTS[operation]
                raise ValueError(
                    f"Operation {operation!r} takes no argument {argument!r}; known: "
                    f"{', '.join(known)}.{did_you_mean(argument, known)}"
                )
            check_scope_value(operation, argument, value)
    return MappingProxyType({op: MappingProxyType(dict(args)) for op, args in scope.items()})


def merge(under: Scope, over: Scope) -> Scope:
    """The arguments of both, those of `over` winning one by one."""
    merged = {op: {**under.get(op, {}), **over.get(op, {})} for op in {**under, **over}}
    return make_scope(merged)


@contextmanager
def _activate(scope: Scope) -> Iterator[Scope]:
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)


@contextmanager
def arg_scope(scope: Scope | None) -> Iterator[Scope]:
    """Make `scope` the defaults of every operation built inside the `with` block.

    Args:
        scope: operation → arguments (see `ARGUMENTS`), or the result of a family's
            `…_arg_scope(…)`/`training_scope(…)`. None changes nothing.

    Raises:
        TypeError, ValueError: as `make_scope`.
    """
    with _activate(merge(_current.get(), make_scope(scope or {}))) as active:
        yield active


@contextmanager
def family_defaults(scope: Scope) -> Iterator[Scope]:
    """Lay `scope` *under* the scopes that are active: a family's own defaults."""
    with _activate(merge(make_scope(scope), _current.get())) as active:
        yield active


def arguments(operation: str, **explicit: Any) -> dict[str, Any]:
    """The arguments for one `operation` here: the scope's, under the `explicit` ones not None."""
    given = {name: value for name, value in explicit.items() if value is not None}
    return {**_current.get().get(operation, {}), **given}
