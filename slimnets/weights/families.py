"""What a family of networks tells of itself, and the families that have told it.

A file of `slimnets/nets` ends in `register(Family(…))`. Importing `slimnets.nets` imports them all,
so whoever has a network of ours has all families here: what a file holds can be said whichever
network it was meant for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from slimnets.weights.namings import CheckpointNaming, KerasNaming, StateDictNaming
from slimnets.weights.sources import WeightSource
from slimnets.weights.units import LOGITS, units_of
from slimnets.weights.variants import Variant
from tflite import hints
from tflite.images import Preprocessing

# Default (input size, classes).
IMAGENET, CIFAR10, CIFAR100 = (224, 1000), (32, 10), (32, 100)
# What a network does with an image.
CLASSIFY, DETECT, SEGMENT = "classify", "detect", "segment"


class Row(NamedTuple):
    """A line of the catalogue.

    Parameters count batch norm's moving statistics; multiply-adds are for one image of the default
    size; accuracies are ImageNet's top-1 in %, where they are published.
    """

    name: str  # what create_model takes
    builder: Callable[..., Any]
    options: Mapping[str, Any]  # the builder's keywords
    default: tuple[int, int]  # input size, classes
    params: int
    macs: int
    top1: float | None = None
    top1_int8: float | None = None


@dataclass(frozen=True, kw_only=True)
class Family:
    """All there is to know of a family beside how it is built.

    Attributes:
        name: of its file in `slimnets/nets`.
        paper: arXiv number.
        licence: of the code and of the references' published weights.
        rows: its part of the catalogue, in the catalogue's order.
        styles: beginnings of network names, in lower case without separators → the images that
            networks of this name expect; the longest beginning counts.
        sources: published weights.
        shape_options: keywords on which shapes, and so the fitting weights, depend.
        variant: which network a model of these units is, from the model, its units and its
            classes; None: not one of this family. Where a landmark is missing it may raise
            ValueError or IndexError.
        classifier: the unit whose width is the number of classes.
        before_classifier: units that stand between the pool and it, and only there; or further
            classifiers.
        per_class: outputs of the classifier for each class.
        task: what its networks do, CLASSIFY, DETECT or SEGMENT.
        head_layers: beginnings of the names of the layers that stand on a backbone.
        state_dicts, checkpoints, keras_models: its names in other libraries' files.
        checkpoint_on: its names in a checkpoint of a network on a backbone, from the backbone's.
    """

    name: str
    paper: str
    licence: str = "Apache-2.0"
    rows: Sequence[Row]
    styles: Mapping[str, Preprocessing]
    variant: Callable[[Any, Sequence[str], int], Variant | None]
    classifier: str = LOGITS
    before_classifier: tuple[str, ...] = ()
    per_class: int = 1
    task: str = CLASSIFY
    head_layers: tuple[str, ...] = ()
    shape_options: tuple[str, ...] = ("depth_multiplier",)
    sources: Sequence[WeightSource] = ()
    state_dicts: Sequence[StateDictNaming] = ()
    checkpoints: Sequence[CheckpointNaming] = ()
    keras_models: Sequence[KerasNaming] = ()
    checkpoint_on: Callable[[CheckpointNaming], CheckpointNaming] | None = None

    @property
    def on_backbone(self) -> bool:
        """Whether its networks are heads on networks of other families."""
        return self.task != CLASSIFY

    @property
    def builders(self) -> dict[str, Callable[..., Any]]:
        """The functions that the rows call, by name."""
        return {row.builder.__name__: row.builder for row in self.rows}


_FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Make a family known; its file does so, once."""
    _FAMILIES[family.name] = family
    return family


def families() -> tuple[Family, ...]:
    """The known families, in the catalogue's order.

    Raises:
        RuntimeError: none is, for `slimnets.nets` was not imported.
    """
    if not _FAMILIES:
        raise RuntimeError(
            "no family of networks is known yet: import slimnets.nets, or use the functions of "
            "slimnets itself (slimnets.load_weights, …)."
        )
    return tuple(_FAMILIES.values())


def of_model(model: Any) -> Variant | None:
    """Which network of the catalogue a model of ours is, if it is built by one of its tables."""
    whole = [family for family in families() if family.on_backbone]
    return _variant(model, whole, classes_of(model)) or backbone_of(model, classes_of(model))


def backbone_of(model: Any, classes: int = 0) -> Variant | None:
    """`of_model`, whatever heads of a detector or segmenter stand on it."""
    return _variant(model, [f for f in families() if not f.on_backbone], classes)


def _variant(model: Any, asked: Sequence[Family], classes: int) -> Variant | None:
    units = units_of(model)
    for family in asked:
        try:
            variant = family.variant(model, units, classes)
        except (ValueError, IndexError):
            continue  # a table of the user's own: some landmark is not there
        if variant is not None:
            return variant
    return None


def classes_of(model: Any) -> int:
    """The classes of a model of ours; 0 without a classifier."""
    outputs = {f"{family.classifier}.conv": family.per_class for family in families()}
    found = (layer for layer in model.layers if layer.name in outputs)
    return next((layer.filters // outputs[layer.name] for layer in found), 0)


def is_classifier_name(name: str) -> bool:
    """Whether a layer of ours has the number of classes as its width, or precedes such a one."""
    units = (
        unit for family in families() for unit in (family.classifier, *family.before_classifier)
    )
    return name.startswith(tuple(f"{unit}." for unit in units))


def is_classifier(layer: Any) -> bool:
    """`is_classifier_name` of a layer."""
    return is_classifier_name(layer.name)


def all_sources() -> tuple[WeightSource, ...]:
    """All published weights."""
    return tuple(source for family in families() for source in family.sources)


def sources_for(
    network: str, options: Mapping[str, Any] | None = None, size: int | None = None
) -> list[WeightSource]:
    """The sources for a network of the catalogue, what "imagenet" means first.

    That is the most accurate, not counting those of images more than a sixth larger than `size`:
    a network that learned from larger ones sees too little of smaller ones. Those come behind, the
    nearest first.

    Args:
        network: the name of its function.
        options: keywords of its function; those that leave the weights' shapes alone are ignored.
          None: the sources of all its variants.
        size: of the images that the model takes; None: any.
    """
    found = [
        source
        for family in families()
        for source in family.sources
        if source.network == network
        and (options is None or _chosen(options, family.shape_options) == dict(source.options))
    ]

    def order(source: WeightSource) -> tuple[int, float]:
        trained = source.preprocessing.size[0]
        return (trained if size and 6 * trained > 7 * size else 0), -(source.top1 or 0)

    return sorted(found, key=order)


def _chosen(options: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    # The defaults of everything that decides shapes (depth_multiplier, ratio, bypass, …).
    defaults = (None, False, 1.0)
    return {k: v for k, v in options.items() if k in keys and (v is True or v not in defaults)}


def find_source(
    name: str,
    variant: Callable[[], Variant | None],
    size: int | None = None,
    pads_same: bool | None = None,
) -> WeightSource | None:
    """The source of this name; None if the catalogue has none (it may be a path).

    Args:
        name: of a source, or "imagenet".
        variant: tells, for "imagenet", the network.
        size: for "imagenet", that of the images it takes.
        pads_same: for "imagenet", how it is built already, if it is: SAME, or both sides alike.
          None: it is built for what is found.

    Raises:
        ValueError: "imagenet", and there are no ImageNet weights of the network.
    """
    if name != "imagenet":
        return next((source for source in all_sources() if source.name == name), None)
    network = variant()
    known = sources_for(network.network, network.options, size) if network else []
    found = [source for source in known if source.of_imagenet]
    if not found:
        others = [source.name for source in sources_for(network.network)] if network else []
        raise ValueError(
            f"no ImageNet weights are known for {network or 'a table of your own'}"
            + (f"; there are {', '.join(others)}." if others else ".")
        )
    return next((s for s in found if pads_same in (None, s.pads_same)), found[0])


def nearest_source(name: str) -> str | None:
    """The source whose name is most like `name`, for an error message."""
    known = [*(source.name for source in all_sources()), "imagenet"]
    return hints.nearest(name, known)


def head_layers(model: Any) -> set[str]:
    """The names of a detector's or segmenter's layers that stand on its backbone."""
    starts = tuple(start for family in families() for start in family.head_layers)
    return {layer.name for layer in model.layers if layer.name.startswith(starts)}
