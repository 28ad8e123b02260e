"""A source of weights, understood: its tensors, and what each of them is to a model.

One way for each format; which it is, the source itself tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slimnets.weights import (
    families,
    file_kinds,
    hub,
    keras_applications,
    keras_files,
    keras_unnamed,
    pth,
    safetensors_files,
    sources,
    state_dicts,
    tf_slim,
    timm_names,
)
from slimnets.weights.matching import Entry
from slimnets.weights.namings import KerasNaming
from slimnets.weights.prefixes import is_average
from slimnets.weights.variants import Variant
from slimnets.weights.wrappers import architecture, find_state_dict
from tflite.images import Preprocessing

_KINDS = (
    "a .keras, .weights.h5 or .h5 file, a PyTorch file (.pth, .pt, .ckpt, …), a .safetensors file, "
    "the prefix of a TF-Slim checkpoint or its folder, 'imagenet' or another name of the catalogue"
)


class Reading(NamedTuple):
    """What matching needs to know of a source."""

    entries: Sequence[Entry]
    tensors: Mapping[str, Any]
    is_classifier_name: Callable[[str], bool]
    variant: Variant | None
    check_built_alike: Callable[[], None]
    epsilons: Mapping[str, float]  # by layer
    classes: int  # 0: no classifier
    beside: Sequence[str] = ()  # tensors of something else (a detector)
    average: str = ""  # where the tensors were, if an averaged copy was taken
    has_background: bool = False  # whether 1001 classes are ImageNet's 1000 and a background
    preprocessing: Preprocessing | None = None  # of the images, where the source says it


def read(model: Any, source: Any, stack: ExitStack) -> tuple[Reading, str, bool]:
    """The source, a title for messages, and whether its class 0 is known to be the background.

    Args:
        model: a network of ours, which it is read for.
        source: as in `slimnets.load_weights`.
        stack: keeps files open that are read from only when their values are wanted.

    Raises:
        as `slimnets.load_weights`, but for what does not fit.
    """
    import keras

    if isinstance(source, keras.Model):
        tensors = keras_applications.tensors(source)
        return _read_mapping(model, tensors), f"model {source.name!r}", False
    if isinstance(source, Mapping):
        tensors, average = unwrapped(source)
        reading = _read_mapping(model, tensors, average, architecture(source))
        return reading, f"{len(tensors)} arrays", False
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"source must be {_KINDS}, a mapping or a model; got {source!r}.")
    name = os.fspath(source)
    size = model.input_shape[1] if len(model.input_shape) == 4 else None
    same, fixed = state_dicts.padding_of(model)
    if named := families.find_source(
        name, lambda: families.of_model(model), size, bool(same) if same or fixed else None
    ):
        path = sources.fetch_source(named)
        called = named.name.rpartition("/")[2]
        reading = _read_path(model, path, stack, called)._replace(preprocessing=named.preprocessing)
        return reading, named.name, named.classes == 1001
    return _read_path(model, Path(source), stack), name, False


def _read_path(model: Any, path: Path, stack: ExitStack, called: str | None = None) -> Reading:
    """What is at `path`; `called`: its publisher's name of it, where that is not the file's."""
    if prefix := tf_slim.checkpoint_prefix(path):
        tensors = tf_slim.read_checkpoint(prefix)
        tf_slim.check_names_layers(tensors, prefix)
        return _read_mapping(model, tensors)
    if not path.exists():
        near = families.nearest_source(str(path))
        hint = f" Did you mean {near!r}?" if near else ""
        raise FileNotFoundError(f"no weights {str(path)!r}: source must be {_KINDS}.{hint}")
    kind = file_kinds.kind_of(path)
    if kind in ("torch", "safetensors"):
        arrays, average, described = read_torch(path, kind)
        reading = _read_mapping(model, arrays, average, called or described.architecture)
        return reading._replace(preprocessing=described.preprocessing)
    if kind == "keras":
        return _read_keras_file(model, path, stack)
    what = file_kinds.describe(path)
    raise ValueError(f"{path} is of no known kind ({what}): source must be {_KINDS}.")


def read_torch(path: Path, kind: str) -> tuple[dict[str, np.ndarray], str, hub.Described]:
    """A file's arrays, which averaged copy they are, and what is known of them beside."""
    if kind == "safetensors":
        arrays, average, called = safetensors_files.read_safetensors(path), "", ""
    else:
        arrays, average, called = pth.read_checkpoint(path)
    described = hub.described_beside(path) or hub.Described(called or path.name, None)
    return arrays, average, described


def _read_mapping(
    model: Any, tensors: Mapping[str, Any], average: str = "", called: str = ""
) -> Reading:
    bad = [
        repr(name) for name, v in tensors.items() if not isinstance(name, str) or not is_array(v)
    ]
    if bad:
        raise TypeError(
            f"a mapping of weights has names and arrays; not so: {', '.join(bad[:20])}."
        )
    detector = tf_slim.find_naming_on_backbone(tensors) if families.head_layers(model) else None
    if naming := detector or tf_slim.find_naming(tensors):
        wanted, beside = tf_slim.network_variables(naming, tensors)
        shapes = shapes_of(wanted)
        return Reading(
            tf_slim.entries(model, naming, shapes),
            wanted,
            naming.is_classifier_name,
            tf_slim.looks_like(naming, shapes),
            lambda: None,
            _epsilons(model, lambda _: tf_slim.EPSILON),
            tf_slim.classes(naming, shapes),
            beside=beside,
            has_background=True,
        )
    layers = keras_applications.named(tensors)
    if naming := keras_applications.find_naming(layers):
        return _read_keras_application(model, layers, naming)
    reading = _read_state_dict(model, tensors, called)
    return reading._replace(average=average or reading.average)


def _read_keras_application(model: Any, tensors: Mapping[str, Any], naming: KerasNaming) -> Reading:
    shapes = shapes_of(tensors)
    entries = keras_applications.entries(model, naming, shapes)
    features = {entry.name for entry in entries if not entry.classifier}
    return Reading(
        entries,
        tensors,
        lambda name: keras_applications.is_head_name(naming, features, name),
        keras_applications.looks_like(naming, shapes),
        lambda: keras_applications.check_built_alike(model, naming),
        _epsilons(model, lambda _: keras_applications.EPSILON),
        keras_applications.classes(naming, shapes),
    )


def _read_state_dict(model: Any, tensors: Mapping[str, Any], called: str) -> Reading:
    given = tensors
    tensors, prefix = state_dicts.unprefixed(given, model)
    naming = state_dicts.find_naming(tensors) or state_dicts.naming_by_overlap(model, tensors)
    if naming is None:
        raise ValueError(
            f"these names are of no known network: {', '.join(list(tensors)[:5]) or '(none)'}, …; "
            f"known are those of TF-Slim ({tf_slim.example()}), keras.applications "
            f"(conv1/kernel) and {state_dicts.origins()} (features.0.0.weight)."
        )
    naming = timm_names.as_called(naming, called)
    wanted = {
        name: v
        for name, v in tensors.items()
        if not state_dicts.is_counter(name) and not name.startswith(naming.ignored)
    }
    shapes = shapes_of(wanted)
    entries = state_dicts.entries(model, naming, shapes)
    needed = {entry.name for entry in entries}
    # What stands beside a whole network is a loss's or a metric's; of half of one, its classifier.
    whole = prefix and needed <= set(wanted)
    beside = [name for name in wanted if name in given and name not in needed] if whole else []
    return Reading(
        entries,
        {name: v for name, v in wanted.items() if name not in beside},
        naming.is_classifier_name,
        state_dicts.looks_like(naming, shapes),
        lambda: state_dicts.check_built_alike(naming, model),
        _epsilons(model, naming.epsilon_of),
        state_dicts.classes(naming, shapes),
        beside=beside,
        average=prefix if is_average(prefix) else "",
    )


def unwrapped(source: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The tensors of a checkpoint in memory, and where in it an averaged copy of them was."""
    if not any(isinstance(value, Mapping) for value in source.values()):
        return source, ""
    found = find_state_dict(source, lambda value: is_array(value))
    arrays = {n: v if is_array(v) else np.asarray(v) for n, v in found.tensors.items()}
    return arrays, found.average


def is_array(value: Any) -> bool:
    """Whether it has a shape, as arrays of any package have."""
    return isinstance(getattr(value, "shape", None), tuple)


def shapes_of(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor, by its name."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _epsilons(model: Any, epsilon_of: Callable[[str], float]) -> dict[str, float]:
    layers: Iterable[Any] = model.layers
    return {layer.name: epsilon_of(layer.name) for layer in layers if hasattr(layer, "epsilon")}


def _read_keras_file(model: Any, path: Path, stack: ExitStack) -> Reading:
    file = stack.enter_context(keras_files.open_file(path))
    if file.older and keras_unnamed.is_unnamed(file.tensors):
        return _read_unnamed(model, file, path)
    layers = keras_applications.named(file.tensors)
    naming = keras_applications.find_naming(layers)
    if naming is None and file.older and not keras_files.is_of_network(file, model):
        layers = keras_applications.in_order(model, layers)
        naming = keras_applications.find_naming(layers)
    if naming is not None:
        return _read_keras_application(model, layers, naming)
    return Reading(
        keras_files.entries(model, file),
        file.tensors,
        families.is_classifier_name,
        None,
        lambda: keras_files.check_built_alike(model, file, path),
        keras_files.epsilons(file, model),
        keras_files.classes(file),
    )


def _read_unnamed(model: Any, file: keras_files.WeightFile, path: Path) -> Reading:
    entries, tensors = keras_unnamed.match(model, file.tensors)
    last, classes = keras_unnamed.classifier(file.tensors)
    return Reading(
        entries,
        tensors,
        lambda name: name.rpartition("/")[0] == last,
        None,
        lambda: keras_unnamed.check_built_alike(model, file.described, path),
        keras_unnamed.epsilons(model, file.described),
        classes,
    )
