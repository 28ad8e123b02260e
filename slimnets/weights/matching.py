"""Putting named tensors into a model's variables: all that fit, or none.

A format (torchvision, TF-Slim, …) says which tensor belongs to which variable, as a list of
`Entry`; here the list is compared with what a source holds, and carried out if nothing is amiss.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slimnets.weights.families import of_model
from slimnets.weights.units import weighted_layers
from slimnets.weights.variants import Variant

_LISTED = 20


@dataclass(frozen=True)
class Entry:
    """One variable of the model and the tensor of the source that it takes."""

    name: str  # of the tensor
    shape: tuple[int, ...]  # that the tensor must have, in the source's own layout
    variable: Any
    convert: Callable[[np.ndarray], np.ndarray]  # from the source's layout to the variable's
    classifier: bool = False


@dataclass(frozen=True)
class Advice:
    """How the caller asks for what a message advises: each in the caller's own words."""

    num_classes: str
    skip: str
    background: str


IN_PYTHON = Advice("Build the model with num_classes=", "strict=False", "drop_background=True")
ON_COMMAND_LINE = Advice("Pass --num_classes=", "--nostrict", "--drop_background")


@dataclass(frozen=True)
class Plan:
    """What goes where, and what stays.

    Attributes:
        values: variables and the arrays that they take.
        kept: variables' tensors, by the source's names, that the model keeps as they are.
        left: tensors of the source that nothing takes.
        background: whether the source's class 0 was left out.
    """

    values: Sequence[tuple[Any, np.ndarray]]
    kept: Sequence[str] = ()
    left: Sequence[str] = ()
    background: bool = False


def plan(
    entries: Sequence[Entry],
    tensors: Mapping[str, Any],
    *,
    title: str,
    is_classifier_name: Callable[[str], bool],
    source_variant: Variant | None,
    model_variant: Variant | None,
    classes: tuple[int, int],
    strict: bool = True,
    drop_background: bool = False,
    advice: Advice = IN_PYTHON,
) -> Plan:
    """The arrays to assign to variables, once every entry was found to fit.

    Args:
        entries: what the model needs.
        tensors: what the source has: name → anything with a `shape` that numpy can read.
        title: what is loaded into what, for the message.
        is_classifier_name: whether a tensor of this name belongs to the source's classifier.
        source_variant, model_variant: which network each is, where it can be told.
        classes: the source's and the model's; 0: it has no classifier.
        strict: False leaves a classifier's layers alone that do not fit.
        drop_background: leave out class 0 of a source with one class more than the model.
        advice: how the caller does what a message advises.

    Raises:
        ValueError: something is missing, unknown or of another shape; the message lists it all.
    """
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    fit = _fit(entries, shapes, drop_background)
    if not strict:
        fit = _but_the_classifier(fit, is_classifier_name)
    amiss = (*fit.missing, *fit.misfits)
    if amiss or fit.unknown:
        wrong = [f"{one.name} is {shapes[one.name]} for {one.shape}" for one in fit.misfits]
        one_more = any(_background_axis(one, shapes[one.name]) is not None for one in fit.misfits)
        only_classifier = all(one.classifier for one in amiss) and all(
            map(is_classifier_name, fit.unknown)
        )
        raise ValueError(
            f"{title}: nothing was loaded."
            + _comparison(source_variant, model_variant)
            + _listing("missing", [one.name for one in fit.missing])
            + _listing("unknown", fit.unknown)
            + _listing("of another shape", wrong)
            + (_what_to_do(advice, *classes, one_more) if only_classifier else "")
        )
    taken = {entry.name for entry, _ in fit.chosen}
    return Plan(
        [(entry.variable, _array(entry, tensors[entry.name], axis)) for entry, axis in fit.chosen],
        kept=[name for name in dict.fromkeys(one.name for one in entries) if name not in taken],
        left=[name for name in shapes if name not in taken],
        background=any(axis is not None for _, axis in fit.chosen),
    )


@dataclass(frozen=True)
class _Fit:
    """What of a source fits a model, and what does not.

    Attributes:
        chosen: entries that fit, each with the axis of classes, of which it leaves the first out,
            or None.
        missing, misfits: entries whose tensors are not there, or of another shape.
        unknown: tensors that no entry is for.
    """

    chosen: Sequence[tuple[Entry, int | None]]
    missing: Sequence[Entry]
    misfits: Sequence[Entry]
    unknown: Sequence[str]


def _fit(
    entries: Sequence[Entry], shapes: Mapping[str, tuple[int, ...]], drop_background: bool
) -> _Fit:
    chosen, missing, misfits = [], [], []
    for entry in entries:
        given = shapes.get(entry.name)
        background = _background_axis(entry, given) if drop_background else None
        if given == entry.shape or background is not None:
            chosen.append((entry, background))
        elif given is None:
            missing.append(entry)
        else:
            misfits.append(entry)
    needed = {entry.name for entry in entries}
    return _Fit(chosen, missing, misfits, [name for name in shapes if name not in needed])


def _but_the_classifier(fit: _Fit, is_classifier_name: Callable[[str], bool]) -> _Fit:
    """The same without the classifier's layers that do not fit."""
    # Half a layer (a bias that fits by chance) is none.
    halves = {_layer(one.name) for one in (*fit.missing, *fit.misfits) if one.classifier}
    return _Fit(
        [pair for pair in fit.chosen if _layer(pair[0].name) not in halves],
        [one for one in fit.missing if not one.classifier],
        [one for one in fit.misfits if not one.classifier],
        [name for name in fit.unknown if not is_classifier_name(name)],
    )


def _layer(name: str) -> str:
    """What a tensor belongs to; formats part its name from its variable's by a dot or a slash."""
    return re.split(r"[./](?=[^./]*$)", name)[0]


def _array(entry: Entry, tensor: Any, background: int | None) -> np.ndarray:
    try:
        array = _as_array(tensor)
    except (OSError, RuntimeError, LookupError, TypeError) as error:
        raise ValueError(f"the file is damaged: {entry.name}: {error}") from error
    if array.dtype.name == "bfloat16":  # ml_dtypes', which numpy counts among its voids
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{entry.name} holds {array.dtype} values; weights are real numbers.")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{entry.name} holds NaN or infinite values: the training diverged or the file is "
            "broken. Nothing was loaded."
        )
    if background is not None:
        array = np.delete(array, 0, axis=background)
    return entry.convert(array)


def _as_array(tensor: Any) -> np.ndarray:
    if not hasattr(tensor, "detach"):
        return np.asarray(tensor)
    tensor = tensor.detach().cpu()  # PyTorch's
    try:
        return np.asarray(tensor)
    except TypeError:  # bfloat16, which numpy does not have
        return np.asarray(tensor.float())


def _background_axis(entry: Entry, given: tuple[int, ...] | None) -> int | None:
    """The axis of classes, if the source has just one class more there."""
    if not entry.classifier or given is None or len(given) != len(entry.shape):
        return None
    axes = [i for i, (a, b) in enumerate(zip(given, entry.shape, strict=True)) if a != b]
    return axes[0] if len(axes) == 1 and given[axes[0]] == entry.shape[axes[0]] + 1 else None


def _listing(what: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    more = f", … ({len(items) - _LISTED} more)" if len(items) > _LISTED else ""
    return f"\n{len(items)} {what}: {', '.join(items[:_LISTED])}{more}."


def _comparison(source: Variant | None, model: Variant | None) -> str:
    if source is None or source == model:
        return ""
    return f"\nThe source looks like {source}" + (f", the model is {model}." if model else ".")


def _what_to_do(advice: Advice, classes: int, of_model: int, one_more: bool) -> str:
    """Where only the classifier is in the way."""
    if classes == of_model:
        return ""
    skip = f"pass {advice.skip} to load everything but the classifier"
    if not classes:
        return f"\nThe source has no classifier: {skip}."
    background = (
        f", {advice.background} to leave out the source's class 0 (background)" if one_more else ""
    )
    return f"\n{advice.num_classes}{classes}{background}, or {skip}."


def check_matches_model(names: Mapping[str, str], model: Any, source: str) -> None:
    """Raise a ValueError if some layer of `model` has no name in the source's naming."""
    strangers = [layer.name for layer in weighted_layers(model) if layer.name not in names]
    if strangers:
        raise ValueError(
            f"The source looks like {source}; model {model.name!r} is "
            f"{of_model(model) or 'another network'}: nothing was loaded."
            + _listing("of its layers have no counterpart in the source", strangers)
        )


def assign(
    model: Any, values: Sequence[tuple[Any, np.ndarray]], epsilons: Mapping[str, float]
) -> None:
    """Carry a plan out; `epsilons` are those of the batch normalizations, by layer."""
    for variable, array in values:
        variable.assign(array.astype(variable.dtype))
    changed = [name for name, epsilon in epsilons.items() if _epsilon(model, name) != epsilon]
    for name in changed:
        model.get_layer(name).epsilon = epsilons[name]
    if changed:
        # Functions that were traced before would go on with the old epsilon.
        model.train_function = model.test_function = model.predict_function = None


def _epsilon(model: Any, layer: str) -> float:
    return model.get_layer(layer).epsilon
