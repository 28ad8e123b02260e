"""What suits a network and its data, where no recipe says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ml_collections import ConfigDict

from slimnets.catalog import model_info
from slimnets.training.config import check_config, default_config


@dataclass(frozen=True)
class _Habits:
    """How a kind of images is trained on.

    Attributes:
        size: input pixels, at most; the network's own where that is less.
        epochs, batch_size: of the training; None: as `resolve` says.
        flip: whether a mirrored image is one of the same class.
        shift: by how much of the input's size images are moved, at most.
    """

    size: int
    epochs: int
    batch_size: int | None
    flip: bool
    shift: float


# Networks of stride 32 make a single pixel of a 32×32 image: small images are enlarged to give a
# last map of 2×2, as in configs/digits.py.
_PHOTOS = _Habits(size=224, epochs=60, batch_size=None, flip=True, shift=1 / 10)
_HABITS: Mapping[str, _Habits] = MappingProxyType(
    {
        "builtin:digits": _Habits(size=48, epochs=25, batch_size=16, flip=False, shift=1 / 8),
        "mnist": _Habits(size=64, epochs=10, batch_size=64, flip=False, shift=1 / 14),
        "fashion_mnist": _Habits(size=64, epochs=15, batch_size=64, flip=True, shift=1 / 14),
        "cifar10": _Habits(size=64, epochs=60, batch_size=64, flip=True, shift=1 / 8),
        "cifar100": _Habits(size=64, epochs=60, batch_size=64, flip=True, shift=1 / 8),
    }
)


def recipe_for(network: str, source: str, epochs: int | None = None) -> ConfigDict:
    """A config made for small data sets and one machine: Adam, cosine, light changes.

    What is None in it follows from the number of images: see `resolve`.

    Args:
        network: a name of the catalogue.
        source: of `slimnets.data.load`; it is not opened.
        epochs: by default what suits the data.

    Raises:
        ValueError: an unknown network.
    """
    info = model_info(network)
    habits = _HABITS.get(source) or _HABITS.get(source.partition(":")[0]) or _PHOTOS
    config = default_config()
    config.epochs = habits.epochs if epochs is None else epochs
    config.batch_size = habits.batch_size
    config.label_smoothing = 0.1

    size = min(info.size, habits.size)
    config.model.name = network
    config.model.input_size = (size, size)
    # The default, 0.99, averages over more steps than an epoch of a small folder has.
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.9}}

    config.data.source = source
    config.data.flip = habits.flip
    config.data.shift = round(size * habits.shift)

    config.learning_rate.peak = 2e-3
    config.learning_rate.warmup_epochs = config.epochs / 20
    return config


def resolve(config: ConfigDict, images: int) -> ConfigDict:
    """The config with what suits the data wherever it says None.

    Small sets get small batches before few steps; training ends after about 150 steps of all
    layers, and 1,000 of the classifier alone, but sees no image more than 15 and 100 times.

    Args:
        config: a complete one.
        images: how many there are to train on.

    Raises:
        ValueError: no such network, or the shift is not smaller than its images.
    """
    config = config.copy_and_resolve_references()
    config.unlock()
    if config.model.input_size is None:
        size = min(224, model_info(config.model.name).size)
        config.model.input_size = (size, size)
    if config.batch_size is None:
        config.batch_size = batch_for(images, largest=32)
    steps = max(1, images // config.batch_size)
    if config.epochs is None:
        config.epochs = min(15, max(3, round(150 / steps)))
    if config.head.epochs is None:
        config.head.epochs = min(100, max(5, round(1000 / steps)))
    return check_config(config)


# Batch norm's statistics and the learning rate's schedule need steps: a small folder gets smaller
# batches before it gets fewer steps than this an epoch.
_STEPS, _SMALLEST_BATCH = 20, 8


def batch_for(images: int, largest: int) -> int:
    """The largest power of two that leaves enough steps an epoch."""
    size = largest
    while size > _SMALLEST_BATCH and images < size * _STEPS:
        size //= 2
    return size
