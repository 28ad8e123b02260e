"""A detector's or segmenter's first phase: its heads, on features that are computed once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from slimnets.training.transfer import uncompiled_copy
from slimnets.weights.families import head_layers

_MOST_BYTES = 1 << 30


def train_heads(
    model: keras.Model, config: ConfigDict, train_set: Any, compiled: dict[str, Any]
) -> None:
    """Trains what stands on the backbone, `config.head.epochs` times the training pictures.

    Features come from as many views of each picture as fit into memory (1 GiB).

    Args:
        model: not yet trained on; its heads are changed.
        train_set: batches of (images, targets), others each time.
        compiled: losses for `compile`.
    """
    copy = uncompiled_copy(model)
    names = head_layers(copy)
    edges = _edges(copy, names)
    body, head = keras.Model(copy.input, edges), keras.Model(edges, copy.output)
    size = 4 * sum(int(np.prod(edge.shape[1:])) for edge in edges)
    steps = int(train_set.cardinality())
    views = max(1, min(config.head.epochs, _MOST_BYTES // (size * steps * config.batch_size)))
    found, wanted = [], []
    for _ in range(views):
        for images, targets in train_set:
            features = body.predict_on_batch(images)
            found.append(features if isinstance(features, list) else [features])
            wanted.append(targets)
    features = [np.concatenate(part) for part in zip(*found, strict=True)]
    targets = _joined(wanted)
    logging.info("features of %d views of each picture, computed once", views)
    epochs = -(-config.head.epochs // views)
    rate = keras.optimizers.schedules.CosineDecay(config.head.learning_rate, epochs * steps * views)
    head.compile(keras.optimizers.Adam(rate, global_clipnorm=10.0), **compiled)
    told = head.fit(
        features, targets, batch_size=config.batch_size, epochs=epochs, verbose=0
    ).history
    logging.info("the heads alone, %d epochs: loss %.4f", config.head.epochs, told["loss"][-1])
    for name in names:
        model.get_layer(name).set_weights(head.get_layer(name).get_weights())


def _edges(model: keras.Model, names: set[str]) -> list[Any]:
    """The tensors that go from other layers into those of `names`."""
    edges: dict[int, Any] = {}
    for name in names:
        for tensor in keras.tree.flatten(model.get_layer(name).input):
            if tensor._keras_history.operation.name not in names:
                edges[id(tensor)] = tensor
    return sorted(edges.values(), key=lambda tensor: tensor.name)


def _joined(wanted: list[Any]) -> Any:
    if isinstance(wanted[0], dict):
        return {name: np.concatenate([one[name] for one in wanted]) for name in wanted[0]}
    return np.concatenate(wanted)
