"""From a config to the images of a training: in batches, changed, weighed."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from absl import logging
from ml_collections import ConfigDict

from slimnets.data import Source, pipeline
from tflite.hints import did_you_mean
from tflite.images import Preprocessing


def build(
    config: ConfigDict, source: Source, preprocess: Preprocessing
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """The training and the validation images, as the network takes them.

    Raises:
        ValueError: as `class_weights`.
    """
    options = config.data
    common = {"num_classes": len(source.class_names), "batch_size": config.batch_size}
    sampled = options.balance == "sampling"
    train_set = pipeline.training_dataset(
        source.splits["train"],
        preprocess,
        **common,
        seed=config.seed,
        flip=options.flip,
        shift=options.shift,
        crop_area=tuple(options.crop_area),
        crop_ratio=tuple(options.crop_ratio),
        color=options.color,
        rand_augment=tuple(options.rand_augment),
        mixup=options.mixup,
        cutmix=options.cutmix,
        balanced=sampled,
        class_weights=None if sampled else class_weights(config, source),
    )
    return train_set, pipeline.evaluation_dataset(source.splits["val"], preprocess, **common)


def class_weights(config: ConfigDict, source: Source) -> np.ndarray | None:
    """What an image of each class counts, float32 (classes,), 1 on the average of the training
    images; None where all count the same.

    "balanced" weights are those that make all classes count the same, n / (classes * count), as
    scikit-learn's. They also stand for balanced sampling where no image is drawn.

    Raises:
        ValueError: `config.data.class_weights` names a class that the data has not.
    """
    names, labels = source.class_names, source.splits["train"].labels
    counts = np.bincount(labels, minlength=len(names))
    given = config.data.class_weights.to_dict()
    for name in given:
        if name not in names:
            raise ValueError(
                f"config.data.class_weights names {name!r}, which is no class of {source.name}."
                f"{did_you_mean(name, names)}"
            )
    if config.data.balance != "none":
        weights = len(labels) / (len(names) * counts)
    elif given:
        weights = np.array([float(given.get(name, 1.0)) for name in names])
    else:
        return None
    weights = weights / weights[labels].mean()
    if weights.max() > weights.min():
        logging.info("an image counts %.3g to %.3g, by its class", weights.min(), weights.max())
    return weights.astype(np.float32)
