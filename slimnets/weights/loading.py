"""`load_weights`: from whatever holds weights to the variables of a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from slimnets.weights import (
    families,
    file_kinds,
    hub,
    keras_applications,
    keras_files,
    keras_unnamed,
    matching,
    pth,
    remembered,
    safetensors_files,
    sources,
    state_dicts,
    tf_slim,
    timm_names,
)
from slimnets.weights.matching import IN_PYTHON, Advice, Entry
from slimnets.weights.namings import KerasNaming, StateDictNaming
from slimnets.weights.prefixes import is_average
from slimnets.weights.variants import Variant
from slimnets.weights.wrappers import find_state_dict
from tflite.images import Preprocessing

_LISTED = 8  # names in a remark
_KINDS = (
    "a .keras, .weights.h5 or .h5 file, a PyTorch file (.pth, .pt, .ckpt, …), a .safetensors file, "
    "the prefix of a TF-Slim checkpoint or its folder, 'imagenet' or another name of the catalogue"
)


class _Reading(NamedTuple):
    """A source, understood: what matching needs to know of it."""

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


@dataclass(frozen=True)
class Loaded:
    """What `load` did.

    Attributes:
        title: what was loaded into what.
        tensors: how many the model took.
        kept: layers of the model that stay as they were, by the source's names of their tensors.
        left: tensors of the source that were not taken.
        classes: the source's and the model's; 0: it has no classifier.
        background: whether the source's class 0 was left out.
        average: where in the source the averaged copy was that was taken; "": none was.
    """

    title: str
    tensors: int
    kept: Sequence[str]
    left: Sequence[str]
    classes: tuple[int, int]
    background: bool
    average: str

    @property
    def remarks(self) -> str:
        """What was not simply taken over, in one line; empty where nothing is to be said."""
        remarks = [f"the averaged weights, {self.average!r}"] if self.average else []
        theirs, ours = (f"{n} classes" if n else "no classifier" for n in self.classes)
        if names := dict.fromkeys((*self.kept, *self.left)):
            remarks.append(f"everything but {_listed([*names])}")
        if self.background:
            remarks.append("without class 0, the background")
        if names or self.background:
            remarks[-1] += f": the source has {theirs}, the model {ours}"
        return f"loaded {', '.join(remarks)}" if remarks else ""


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names) - _LISTED} more)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def load_weights(
    model: Any, source: Any, strict: bool = True, *, drop_background: bool = False
) -> None:
    """Load weights into a network of ours: all that it needs, or nothing.

    Batch norms take over the epsilon that the weights were trained with.

    Args:
        model: a network of ours (also cloned, or loaded from a file).
        source: one of
          - a path, whatever it is called: a Keras file of ours or of a keras.applications model
            (`.keras`, `.weights.h5`, `.h5`), a PyTorch file (a state dict, a training's
            checkpoint or a saved model; read without PyTorch), a `.safetensors` file with
            PyTorch's names, or a checkpoint of TF-Slim or of TensorFlow's Object Detection API
            (SSDLite; of other detectors the backbone): its prefix, or a training's folder, of
            which the latest counts;
          - "imagenet" (the catalogue's weights for this network) or a name of the catalogue, both
            downloaded and cached as `slimnets.weights.download` says;
          - a mapping of names to arrays, as a PyTorch state dict or checkpoint, a TF-Slim
            checkpoint or the layers of a keras.applications model have them;
          - a `keras.applications` model of a family that is in the catalogue.
          Names may have something in front (`module.`, `_orig_mod.`, `FeatureExtractor/`); of a
          last and an averaged copy (EMA) the averaged one is taken.
        strict: False leaves the classifier's layers as they are that do not fit: the source has
          another number of classes, or one of the two has none. The rest must fit in any case.
        drop_background: take a source with one class more than the model, and leave out its class
          0. TF-Slim's ImageNet checkpoints have 1001 classes with the background first. Always on
          for those where the catalogue says so.

    Raises:
        ValueError: entries that are missing, unknown or of another shape, all listed, and which
          network the source looks like; a damaged or unsafe file; a model built unlike the
          reference (padding), with the argument that makes it alike.
        FileNotFoundError: no file of this name, and no such name in the catalogue.
        ConnectionError: a download that is not possible; says which file to put where.
        TypeError: `source` or `model` is none of the above.
    """
    _log(load(model, source, strict=strict, drop_background=drop_background))


def load_for_building(model: Any, source: Any) -> None:
    """`load_weights` for a network's `weights=`, where `num_classes` says what is wanted.

    With as many classes as the source all must fit; else all but the classifier, and ImageNet's
    1001 classes go into 1000 without their background. One line of the log says so.

    Raises:
        as `load_weights`.
    """
    _log(load(model, source, strict=None))


def _log(loaded: Loaded) -> None:
    if loaded.remarks:
        logging.warning("%s: %s.", loaded.title, loaded.remarks)


def load(
    model: Any,
    source: Any,
    *,
    strict: bool | None = True,
    drop_background: bool | None = None,
    advice: Advice = IN_PYTHON,
) -> Loaded:
    """What `load_weights` does, without a word.

    Args:
        model, source: as there.
        strict: as there; None: only where both have the same number of classes.
        drop_background: as there; None: of a source known to have ImageNet's 1001 classes, where
          the model has 1000.
        advice: how the caller does what an error advises.

    Raises:
        as `load_weights`.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}.")
    with ExitStack() as stack:
        reading, title, has_background = _read(model, source, stack)
        classes = reading.classes, families.classes_of(model)
        title = f"{title} → model {model.name!r}"
        if strict is None:
            strict = classes[0] == classes[1] != 0
        if drop_background is None:
            drop_background = reading.has_background and classes == (1001, 1000)
        variant = families.of_model(model)
        # What a detector gives out for the background is none of num_classes.
        background = classes[1] - variant.classes if variant else 0
        classes = max(classes[0] - background, 0), classes[1] - background
        plan = matching.plan(
            reading.entries,
            reading.tensors,
            title=title,
            is_classifier_name=reading.is_classifier_name,
            source_variant=reading.variant,
            model_variant=variant,
            classes=classes,
            strict=strict,
            drop_background=drop_background or has_background,
            advice=advice,
        )
        reading.check_built_alike()
        matching.assign(model, plan.values, reading.epsilons)
        remembered.remember(model, reading.preprocessing)
    return Loaded(
        title,
        len(plan.values),
        plan.kept,
        (*plan.left, *reading.beside),
        classes,
        plan.background,
        reading.average,
    )


def _read(model: Any, source: Any, stack: ExitStack) -> tuple[_Reading, str, bool]:
    """The source, a title for messages, and whether its class 0 is known to be the background."""
    import keras

    if isinstance(source, keras.Model):
        tensors = keras_applications.tensors(source)
        return _read_mapping(model, tensors), f"model {source.name!r}", False
    if isinstance(source, Mapping):
        tensors, average = _unwrapped(source)
        return _read_mapping(model, tensors, average), f"{len(tensors)} arrays", False
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


def _read_path(model: Any, path: Path, stack: ExitStack, called: str | None = None) -> _Reading:
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
        arrays, average, described = _read_torch(path, kind)
        reading = _read_mapping(model, arrays, average, called or described.architecture)
        return reading._replace(preprocessing=described.preprocessing)
    if kind == "keras":
        return _read_keras_file(model, path, stack)
    what = file_kinds.describe(path)
    raise ValueError(f"{path} is of no known kind ({what}): source must be {_KINDS}.")


def _read_torch(path: Path, kind: str) -> tuple[dict[str, np.ndarray], str, hub.Described]:
    """A file's arrays, which averaged copy they are, and what is known of them beside."""
    if kind == "safetensors":
        arrays, average = safetensors_files.read_safetensors(path), ""
    else:
        arrays, average = pth.read_checkpoint(path)
    return arrays, average, hub.described_beside(path) or hub.Described(path.name, None)


def _read_mapping(
    model: Any, tensors: Mapping[str, Any], average: str = "", called: str = ""
) -> _Reading:
    bad = [repr(name) for name, v in tensors.items() if not isinstance(name, str) or _no_array(v)]
    if bad:
        raise TypeError(
            f"a mapping of weights has names and arrays; not so: {', '.join(bad[:20])}."
        )
    detector = tf_slim.find_naming_on_backbone(tensors) if families.head_layers(model) else None
    if naming := detector or tf_slim.find_naming(tensors):
        wanted, beside = tf_slim.network_variables(naming, tensors)
        shapes = _shapes(wanted)
        return _Reading(
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


def _read_keras_application(
    model: Any, tensors: Mapping[str, Any], naming: KerasNaming
) -> _Reading:
    shapes = _shapes(tensors)
    entries = keras_applications.entries(model, naming, shapes)
    features = {entry.name for entry in entries if not entry.classifier}
    return _Reading(
        entries,
        tensors,
        lambda name: keras_applications.is_head_name(naming, features, name),
        keras_applications.looks_like(naming, shapes),
        lambda: keras_applications.check_built_alike(model, naming),
        _epsilons(model, lambda _: keras_applications.EPSILON),
        keras_applications.classes(naming, shapes),
    )


def _read_state_dict(model: Any, tensors: Mapping[str, Any], called: str) -> _Reading:
    tensors, prefix = state_dicts.unprefixed(tensors, model)
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
    shapes = _shapes(wanted)
    return _Reading(
        state_dicts.entries(model, naming, shapes),
        wanted,
        naming.is_classifier_name,
        state_dicts.looks_like(naming, shapes),
        lambda: state_dicts.check_built_alike(naming, model),
        _epsilons(model, naming.epsilon_of),
        state_dicts.classes(naming, shapes),
        average=prefix if is_average(prefix) else "",
    )


def _unwrapped(source: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The tensors of a checkpoint in memory, and where in it an averaged copy of them was."""
    if not any(isinstance(value, Mapping) for value in source.values()):
        return source, ""
    found = find_state_dict(source, lambda value: not _no_array(value))
    arrays = {n: np.asarray(v) if _no_array(v) else v for n, v in found.tensors.items()}
    return arrays, found.average


def _no_array(value: Any) -> bool:
    return not isinstance(getattr(value, "shape", None), tuple)


def _shapes(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _epsilons(model: Any, epsilon_of: Callable[[str], float]) -> dict[str, float]:
    layers: Iterable[Any] = model.layers
    return {layer.name: epsilon_of(layer.name) for layer in layers if hasattr(layer, "epsilon")}


def _read_keras_file(model: Any, path: Path, stack: ExitStack) -> _Reading:
    file = stack.enter_context(keras_files.open_file(path))
    if file.older and keras_unnamed.is_unnamed(file.tensors):
        return _read_unnamed(model, file, path)
    layers = keras_applications.named(file.tensors)
    naming = keras_applications.find_naming(layers)
    if naming is None and file.older:
        layers = keras_applications.in_order(model, layers)
        naming = keras_applications.find_naming(layers)
    if naming is not None:
        return _read_keras_application(model, layers, naming)
    return _Reading(
        keras_files.entries(model, file),
        file.tensors,
        families.is_classifier_name,
        None,
        lambda: keras_files.check_built_alike(model, file, path),
        keras_files.epsilons(file, model),
        keras_files.classes(file),
    )


def _read_unnamed(model: Any, file: keras_files.WeightFile, path: Path) -> _Reading:
    entries, tensors = keras_unnamed.match(model, file.tensors)
    last, classes = keras_unnamed.classifier(file.tensors)
    return _Reading(
        entries,
        tensors,
        lambda name: name.rpartition("/")[0] == last,
        None,
        lambda: keras_unnamed.check_built_alike(model, file.described, path),
        keras_unnamed.epsilons(model, file.described),
        classes,
    )


def chosen_source(source: Any, network: str | None = None, **options: Any) -> Any:
    """`source`, where it is "imagenet" by the name of the weights that this means for a network.

    Args:
        source: as in `load_weights`.
        network, options: the network's name in the catalogue and the keywords it is built with;
          of its images' size, if it is told, depends which weights are the best.

    Raises:
        ValueError: there are no ImageNet weights of the network.
    """
    if source != "imagenet" or network is None:
        return source
    inputs, shape = options.get("inputs"), options.get("input_shape")
    shape = tuple(inputs.shape)[1:] if inputs is not None else shape
    found = families.find_source(
        source, lambda: Variant(network, options), shape[0] if shape else None
    )
    return found.name


def source_requirements(source: Any, network: str | None = None, **options: Any) -> dict[str, Any]:
    """The keywords with which a network must be built for weights from `source` to fit.

    Args:
        source: as in `load_weights`.
        network, options: as in `chosen_source`. Of a detector's checkpoint, a detector needs the
          backbone and the form as well, a classifier nothing.

    Returns:
        For example `{"use_explicit_padding": True}`; empty where nothing but the table matters.
    """
    source = chosen_source(source, network, **options)
    if isinstance(source, str) and source != "imagenet":
        found = families.find_source(source, lambda: None)
        if found is not None:
            return dict(found.requires)
    if _is_keras_file(source):
        with keras_files.open_file(Path(source)) as file:
            return keras_files.requirements(file)
    checkpoint = _checkpoint_on_backbone(source)
    if checkpoint and checkpoint.network == network:
        return checkpoint.options
    naming = _naming_of(source)
    return dict(naming.requires) if naming else {}


def source_network(source: Any) -> str | None:
    """The network that a source has a head of its own of, told by the names in it alone.

    A detector or a segmenter; None for everything else.

    Args:
        source: as in `load_weights`.
    """
    own = {family.name for family in families.families() if family.on_backbone}
    if isinstance(source, str) and source != "imagenet":
        found = families.find_source(source, lambda: None)
        if found is not None:
            return found.network if found.network in own else None
    if _is_keras_file(source):
        with keras_files.open_file(Path(source)) as file:
            return keras_files.network_on_backbone(file)
    if checkpoint := _checkpoint_on_backbone(source):
        return checkpoint.network
    naming = _naming_of(source)
    return (
        next((network for network in naming.networks if network in own), None) if naming else None
    )


def _is_keras_file(source: Any) -> bool:
    if not isinstance(source, str | os.PathLike) or tf_slim.checkpoint_prefix(Path(source)):
        return False
    return file_kinds.kind_of(Path(source)) == "keras"


def _checkpoint_on_backbone(source: Any) -> Variant | None:
    """The network on a backbone whose TensorFlow checkpoint or mapping it is, if it is one's."""
    if isinstance(source, str | os.PathLike):
        prefix = tf_slim.checkpoint_prefix(source)
        source = tf_slim.read_checkpoint(prefix) if prefix else None
    if not isinstance(source, Mapping):
        return None
    arrays = {n: v for n, v in source.items() if isinstance(n, str) and not _no_array(v)}
    naming = tf_slim.find_naming_on_backbone(arrays)
    return tf_slim.looks_like(naming, _shapes(arrays)) if naming else None


def _naming_of(source: Any) -> StateDictNaming | None:
    """The naming of a PyTorch file or mapping."""
    called = ""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        kind = None if tf_slim.checkpoint_prefix(path) else file_kinds.kind_of(path)
        if kind is None:
            return None
        source, _, described = _read_torch(path, kind)
        called = described.architecture
    if not isinstance(source, Mapping):
        return None
    tensors, _ = state_dicts.unprefixed(_unwrapped(source)[0])
    naming = state_dicts.find_naming(tensors)
    return timm_names.as_called(naming, called) if naming else None
