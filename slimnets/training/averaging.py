"""Moving averages of the weights, which predict better than the last step's weights do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


class Average(keras.callbacks.Callback):
    """Averages of all weights, batch norm's statistics too, as TF-Slim keeps them.

    After n steps an average has moved by 1 - min(decay, (1 + n) / (10 + n)) of the way to the
    weight: it follows at first and is steady later. Validation sees the averages.

    Attributes:
        variables: the averages, in the order of `model.weights`.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        super().__init__()
        self._of = model
        self._decay = decay
        self._raw: list[Any] = []
        self.variables = [
            keras.Variable(w, dtype=w.dtype, trainable=False, name=f"average_{i}")
            for i, w in enumerate(model.weights)
        ]
        self._update = self._compiled()

    def _compiled(self):
        import tensorflow as tf

        @tf.function
        def update() -> None:
            n = keras.ops.cast(self._of.optimizer.iterations, "float32")
            part = 1 - keras.ops.minimum(self._decay, (1 + n) / (10 + n))
            for average, weight in zip(self.variables, self._of.weights, strict=True):
                average.assign_sub(part * (average - weight))

        return update

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._update()

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._raw = self._of.get_weights()
        self._of.set_weights([average.numpy() for average in self.variables])

    def on_test_end(self, logs: dict | None = None) -> None:
        self._of.set_weights(self._raw)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While the block runs, the model has the averages for weights."""
        self.on_test_begin()
        try:
            yield
        finally:
            self.on_test_end()
