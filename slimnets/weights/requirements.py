"""What a source of weights tells before there is a model: which weights it means, how a network
must be built for them to fit, and whether they are a detector's or segmenter's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimnets.weights import families, file_kinds, keras_files, state_dicts, tf_slim, timm_names
from slimnets.weights.namings import StateDictNaming
from slimnets.weights.readings import is_array, read_torch, shapes_of, unwrapped
from slimnets.weights.variants import Variant
from slimnets.weights.wrappers import architecture


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
    arrays = {n: v for n, v in source.items() if isinstance(n, str) and is_array(v)}
    naming = tf_slim.find_naming_on_backbone(arrays)
    return tf_slim.looks_like(naming, shapes_of(arrays)) if naming else None


def _naming_of(source: Any) -> StateDictNaming | None:
    """The naming of a PyTorch file or mapping."""
    called = ""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        kind = None if tf_slim.checkpoint_prefix(path) else file_kinds.kind_of(path)
        if kind is None:
            return None
        source, _, described = read_torch(path, kind)
        called = described.architecture
    if not isinstance(source, Mapping):
        return None
    called = called or architecture(source)
    tensors, _ = state_dicts.unprefixed(unwrapped(source)[0])
    naming = state_dicts.find_naming(tensors)
    return timm_names.as_called(naming, called) if naming else None
