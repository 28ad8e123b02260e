"""What the training of a classifier, a detector and a segmenter differ in; the loop is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
from ml_collections import ConfigDict

from slimnets.catalog import model_info
from slimnets.data import Annotated, Source
from slimnets.data.description import describe
from slimnets.training import (
    classifying,
    data_sets,
    detecting,
    recipe,
    scene_sets,
    segmenting,
    transfer,
)
from slimnets.training.config import default_config, value_of


class Task(NamedTuple):
    """One of the three.

    Attributes:
        figure: what the best epoch is the best by, as Keras's logs call it.
        class_names: of a source; as many classes as the network is built with.
        describe: a source, as text.
        data_sets: (config, source, preprocess, model) → training and validation images.
        compiled: (config, model) → losses and metrics for `compile`.
        train_head: (model, config, source, preprocess): the first phase.
        watchers: (model, config, source, preprocess) → callbacks that measure the figure.
        sections: (best model, result, source, preprocess) → the parts of the run's page.
    """

    figure: str
    class_names: Callable[[Source], tuple[str, ...]]
    describe: Callable[[Source], str]
    data_sets: Callable[..., tuple[Any, Any]]
    compiled: Callable[[ConfigDict, keras.Model], dict[str, Any]]
    train_head: Callable[..., None]
    watchers: Callable[..., list[keras.callbacks.Callback]]
    sections: Callable[..., list[str]]


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "classify": Task(
            figure="accuracy",
            class_names=lambda source: source.class_names,
            describe=lambda source: str(describe(source)),
            data_sets=lambda config, source, how, model: data_sets.build(config, source, how),
            compiled=lambda config, model: {
                "loss": recipe.build_loss(config, model),
                "metrics": ["accuracy"],
            },
            train_head=transfer.train_head,
            watchers=lambda *_: [],
            sections=classifying.sections,
        ),
        "detect": Task(
            figure="map50",
            class_names=lambda source: source.class_names,
            describe=scene_sets.describe,
            data_sets=detecting.data_sets,
            compiled=detecting.compiled,
            train_head=detecting.train_head,
            watchers=detecting.watchers,
            sections=detecting.sections,
        ),
        "segment": Task(
            figure="miou",
            class_names=lambda source: source.mask_names,
            describe=scene_sets.describe,
            data_sets=segmenting.data_sets,
            compiled=segmenting.compiled,
            train_head=segmenting.train_head,
            watchers=lambda *_: [],
            sections=segmenting.sections,
        ),
    }
)

# What only classifiers are trained with.
_OF_CLASSIFIERS = (
    "label_smoothing",
    "teacher",
    "distribution",
    "data.shift",
    "data.crop_area",
    "data.rand_augment",
    "data.mixup",
    "data.cutmix",
    "data.balance",
    "data.class_weights",
)
_OF_SCENES = ("data.object_crops",)


def task_of(config: ConfigDict) -> Task:
    """The task of the config's network.

    Raises:
        ValueError: no such network; fields that its training does not know.
    """
    kind = model_info(config.model.name).task
    # Plain values: sections are equal only where both are locked, or neither is.
    chosen, default = config.to_dict(), default_config().to_dict()
    foreign = _OF_SCENES if kind == "classify" else _OF_CLASSIFIERS
    given = [f"config.{n}" for n in foreign if value_of(chosen, n) != value_of(default, n)]
    if given:
        raise ValueError(
            f"{config.model.name} is trained to {kind}, which knows no {', '.join(given)}: leave "
            "that out."
        )
    return TASKS[kind]


def check_source(config: ConfigDict, source: Source) -> None:
    """Raise a ValueError where a source's pictures say something else than the task needs."""
    kind, split = model_info(config.model.name).task, source.splits["train"]
    annotated = isinstance(split, Annotated)
    has = {
        "classify": not annotated,
        "detect": annotated and split.objects is not None,
        "segment": annotated and split.masks is not None,
    }
    if not has[kind]:
        needed = {
            "classify": "a class for each picture, as of folder:PATH",
            "detect": "boxes, as of voc:FOLDER, coco:FILE, yolo:FOLDER or builtin:scenes",
            "segment": "masks, as of masks:FOLDER or builtin:scenes",
        }
        can = [name for name, known in has.items() if known]
        raise ValueError(
            f"{config.model.name} needs {needed[kind]}; {source.name} is there to "
            f"{' or '.join(can)}."
        )
