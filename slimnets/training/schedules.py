"""The learning rate over a training's steps."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from ml_collections import ConfigDict

_schedules = keras.optimizers.schedules


class _WarmUp(_schedules.LearningRateSchedule):
    """From 0 to `peak` in a line, then another schedule from its beginning."""

    def __init__(self, steps: int, peak: float, then: Any) -> None:
        self._steps, self._peak, self._then = steps, peak, then

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rising = self._peak * step / self._steps
        return ops.where(step < self._steps, rising, self._then(step - self._steps))

    def get_config(self) -> dict[str, Any]:
        return {"steps": self._steps, "peak": self._peak, "then": self._then}


def learning_rate(config: ConfigDict, steps_per_epoch: int) -> Any:
    """The schedule of `config.learning_rate` as Keras takes it.

    Args:
        config: complete; what it counts in epochs begins at the end of the warm-up, if there is
            one, and "cosine" and "linear" come to 0 with the training's last step.
        steps_per_epoch: steps that an epoch has.

    Raises:
        ValueError: the warm-up is as long as the training.
    """
    rate = config.learning_rate
    steps = config.epochs * steps_per_epoch
    warmup = round(rate.warmup_epochs * steps_per_epoch)
    if warmup >= steps:
        raise ValueError(
            f"config.learning_rate.warmup_epochs must be below config.epochs "
            f"({config.epochs}), got {rate.warmup_epochs}."
        )
    after = _after_warmup(rate, steps - warmup, steps_per_epoch)
    if not warmup:
        return after
    if rate.schedule == "constant":
        after = _schedules.PiecewiseConstantDecay([steps], [rate.peak, rate.peak])
    return _WarmUp(warmup, rate.peak, after)


def _after_warmup(rate: ConfigDict, steps: int, steps_per_epoch: int) -> Any:
    if rate.schedule == "cosine":
        return _schedules.CosineDecay(rate.peak, steps)
    if rate.schedule == "linear":
        return _schedules.PolynomialDecay(rate.peak, steps, end_learning_rate=0.0)
    if rate.schedule == "exponential":
        every = max(1, round(rate.decay_epochs * steps_per_epoch))
        return _schedules.ExponentialDecay(rate.peak, every, rate.decay_rate, staircase=True)
    if rate.schedule == "steps":
        # Keras counts a boundary to what lies before it.
        bounds = [round(epoch * steps_per_epoch) - 1 for epoch in rate.step_epochs]
        values = [rate.peak * rate.decay_rate**n for n in range(len(bounds) + 1)]
        return _schedules.PiecewiseConstantDecay(bounds, values)
    return rate.peak
