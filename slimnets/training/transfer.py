"""Fine-tuning's first phase: a new classifier on features that are computed once."""

from __future__ import annotations

import keras
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from slimnets.data import Source, Split, pipeline, stratified_order
from slimnets.training import data_sets, recipe
from tflite.images import Preprocessing

_MOST_BYTES = 1 << 30


def train_head(
    model: keras.Model, config: ConfigDict, source: Source, preprocess: Preprocessing
) -> None:
    """Trains the last layer that has weights, on what the layers before it make of the images.

    The features of each image (and of its mirror image, with `config.data.flip`) are computed once
    and stay in memory; of a split too large for that, as many images as fit, the classes in
    proportion.

    Args:
        model: a classifier, not yet trained on; its last layer is changed.
        config: complete and resolved; `config.head` says how long and how fast.
        source: of the images.
        preprocess: of the network.
    """
    # A copy is taken apart: a layer of two models has no single input any more.
    copy = uncompiled_copy(model)
    last = _classifier(copy)
    body, head = keras.Model(copy.input, last.input), keras.Model(last.input, copy.output)
    split = source.splits["train"]
    views = 2 if config.data.flip else 1
    size = 4 * views * int(np.prod(body.output_shape[1:]))
    if len(split) * size > _MOST_BYTES:
        split = split.select(stratified_order(split.labels)[: max(1, _MOST_BYTES // size)])
    logging.info("features of %d images, computed once", len(split))
    features, labels = _features(body, split, preprocess, config, copy.output_shape[-1])

    steps = -(-len(labels) // config.batch_size)
    weights = data_sets.class_weights(config, source)
    rate = keras.optimizers.schedules.CosineDecay(
        config.head.learning_rate, config.head.epochs * steps
    )
    linear = _without_relu(head)
    linear.compile(
        keras.optimizers.Adam(rate), recipe.build_loss(config, copy), metrics=["accuracy"]
    )
    told = linear.fit(
        features,
        labels,
        sample_weight=None if weights is None else labels @ weights,
        batch_size=config.batch_size,
        epochs=config.head.epochs,
        verbose=0,
    ).history
    logging.info(
        "the classifier alone, %d epochs: loss %.4f  accuracy %.4f",
        config.head.epochs,
        told["loss"][-1],
        told["accuracy"][-1],
    )
    trained = _classifier(linear)
    _classifier(model).set_weights(trained.get_weights())
    if any(map(_is_relu, head.layers)):
        scores = keras.Model(linear.input, trained.output).predict(features, verbose=0)
        kernel, bias = trained.get_weights()
        _classifier(model).set_weights([kernel, bias - min(0.0, float(scores.min()))])


def uncompiled_copy(model: keras.Model) -> keras.Model:
    """A copy with the same weights; losses and rates, which cannot be copied, stay behind."""
    copy = keras.models.clone_model(keras.Model(model.input, model.output, name=model.name))
    copy.set_weights(model.get_weights())
    return copy


def _without_relu(head: keras.Model) -> keras.Model:
    """A copy that lets all scores pass.

    SqueezeNet has a ReLU between scores and softmax. A class below it on all images would never
    learn; raised by one number until nothing is below, the scores pass it with the same softmax.
    """

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        if _is_relu(layer):
            return keras.layers.Identity(name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(head, clone_function=copied)
    copy.set_weights(head.get_weights())
    return copy


def _is_relu(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "activation", None) is keras.activations.relu


def _classifier(model: keras.Model) -> keras.layers.Layer:
    return next(layer for layer in reversed(model.layers) if layer.weights)


def _features(
    body: keras.Model, split: Split, preprocess: Preprocessing, config: ConfigDict, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the body makes of each image and, if asked for, of its mirror image; the labels."""
    images = pipeline.evaluation_dataset(
        split, preprocess, num_classes=classes, batch_size=config.batch_size
    )
    found = [body.predict(images, verbose=0)]
    if config.data.flip:
        found.append(body.predict(images.map(lambda x, _: x[:, :, ::-1]), verbose=0))
    labels = np.eye(classes, dtype=np.float32)[split.labels]
    return np.concatenate(found), np.concatenate([labels] * len(found))
