"""From a config to Keras objects: the model, the optimizer, the loss."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import keras
from absl import logging
from ml_collections import ConfigDict

from slimnets.backbones import DEFAULT_BACKBONE, required_options
from slimnets.catalog import (
    create_model,
    for_size,
    model_info,
    preprocessing,
    source_requirements,
)
from slimnets.training import schedules
from slimnets.weights.families import head_layers
from tflite.images import Preprocessing

_OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
}


def prepare_process(config: ConfigDict) -> None:
    """Seeds whatever is random, and makes TensorFlow repeat itself to the bit if asked to.

    Raises:
        ModuleNotFoundError: TensorBoard is asked for and not installed.
    """
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "config.tensorboard needs the package tensorboard: pip install tensorboard."
        )
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def build_model(
    config: ConfigDict, num_classes: int, precision: str | None = None, load: bool = True
) -> keras.Model:
    """The network of `config.model` with its weights, or freshly initialised ones.

    Args:
        config: a complete config.
        num_classes: outputs.
        precision: a Keras dtype policy; None takes the config's.
        load: False: built for `config.model.weights`, but without them.

    Raises:
        ValueError: no such network (the nearest name is suggested), an argument out of range.
        TypeError: an argument that the network does not take.
    """
    weights = {"weights": config.model.weights} if config.model.weights and load else {}
    with _dtype_policy(precision or config.precision):
        return create_model(config.model.name, **build_options(config, num_classes), **weights)


def build_preprocessing(model: keras.Model, config: ConfigDict) -> Preprocessing:
    """How images become the input of the network that `build_model` built.

    Raises:
        ValueError: nothing says how opacity becomes it.
    """
    try:
        return for_size(preprocessing(model), config.model.input_size)
    except ValueError as error:
        if config.model.channels != 4:
            raise
        raise ValueError(
            f"config.model.channels=4 does not go with {config.model.name}, whose images are "
            "normalized colour by colour, and nothing is said of opacity: give 3, or one of the "
            "MobileNets."
        ) from error


def build_options(config: ConfigDict, num_classes: int) -> dict[str, Any]:
    """The keywords of the network of `config.model`, those that its weights need included."""
    options = dict(
        input_shape=(*config.model.input_size, config.model.channels),
        num_classes=num_classes,
        **config.model.kwargs.to_dict(),
    )
    if not config.model.weights:
        return options
    info = model_info(config.model.name)
    if info.task != "classify":
        backbone = options.get("backbone", DEFAULT_BACKBONE)
        needed = required_options(
            config.model.weights, info.builder, backbone, options["input_shape"]
        )
    else:
        needed = source_requirements(
            config.model.weights, info.builder, **{**info.options, **options}
        )
    return {**needed, **options}


# What is left of the statistics that batch norm starts with, after a quarter of the training.
_LEFT_OF_THE_START = 0.01


def settle_batch_norm(
    model: keras.Model, config: ConfigDict, steps: int, shared: bool = False
) -> None:
    """Freezes the statistics, or makes them follow within a training of so many steps.

    With a momentum made for many more steps a model would fit its images and predict at chance,
    since prediction uses statistics that are still near where they started. Where replicas share a
    batch (`shared`), its statistics are those of the whole batch, as on one device.
    """
    norms = [v for v in model.layers if isinstance(v, keras.layers.BatchNormalization)]
    most = _LEFT_OF_THE_START ** (4 / steps)
    if config.model.freeze_batch_norm:
        # Heads on a backbone did not come with its weights.
        new = head_layers(model)
        for norm in norms:
            norm.trainable = norm.name in new
        norms = [norm for norm in norms if norm.name in new]
    if any(norm.momentum > most for norm in norms):
        logging.info("batch norm's momentum is %.3f, for a training of %d steps", most, steps)
    for norm in norms:
        norm.momentum = min(norm.momentum, most)
        norm.synchronized = shared


def build_optimizer(config: ConfigDict, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer of `config.optimizer` on the schedule of `config.learning_rate`.

    Raises:
        ValueError: keywords in `config.optimizer.kwargs` that it does not take.
    """
    optimizer = _OPTIMIZERS[config.optimizer.name]
    schedule = schedules.learning_rate(config, steps_per_epoch)
    try:
        clip = {"global_clipnorm": config.clip_norm} if config.clip_norm else {}
        return optimizer(schedule, **clip, **config.optimizer.kwargs.to_dict())
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"config.optimizer.kwargs do not fit {config.optimizer.name}: {error}"
        ) from error


def build_loss(config: ConfigDict, model: keras.Model) -> keras.losses.Loss:
    """Cross-entropy over probabilities or logits, whichever the model ends in; of each class by
    itself where it ends in a sigmoid."""
    last = getattr(model.layers[-1], "activation", None)
    if last is keras.activations.sigmoid:
        return keras.losses.BinaryCrossentropy(label_smoothing=config.label_smoothing)
    return keras.losses.CategoricalCrossentropy(
        from_logits=last is not keras.activations.softmax, label_smoothing=config.label_smoothing
    )


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
