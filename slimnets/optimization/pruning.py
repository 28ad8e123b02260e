"""Weights that become zero while training goes on: magnitude pruning."""

from __future__ import annotations

from numbers import Real
from typing import Any

import keras
import tf_keras

from slimnets.optimization.bridge import to_tf_keras
from slimnets.optimization.legacy_tools import sparsity as tfmot
from slimnets.optimization.selection import wrapped_in
from tflite.hints import did_you_mean

SCHEDULES = ("polynomial", "constant")
# Zeros are chosen anew so many times on the way; afterwards there is time to get over them.
_TURNS, _SHARE = 20, 0.6


def prune(
    model: keras.Model,
    sparsity: float | str = 0.5,
    schedule: str = "polynomial",
    *,
    steps: int = 1000,
) -> tf_keras.Model:
    """The network with weights that become zero while it is trained on.

    Of each convolution but the first, and of each dense layer, the smallest weights; depthwise
    convolutions are small and stay. After `fit`, `from_tf_keras(pruned, into=model)` brings the
    weights back, zeros and all.

    Args:
        model: a trained Keras 3 model, which stays as it is.
        sparsity: of the weights that become zero, in (0, 1); or "2:4": two of each four along
            the input channels.
        schedule: "polynomial" begins with few and slows down towards the end (Zhu and Gupta,
            arXiv 1710.01878); "constant" sets all to zero at once. "2:4" is always constant.
        steps: of the training to come; zeros are chosen in the first 60 % of them.

    Returns:
        A tf_keras model; compile it and `fit` it with `callbacks=[pruning_step()]`.

    Raises:
        ValueError: a share or schedule that is none, a model that the bridge does not take.
    """
    if schedule not in SCHEDULES:
        raise ValueError(
            f"schedule must be {' or '.join(SCHEDULES)}, got {schedule!r:.80}."
            f"{did_you_mean(schedule, SCHEDULES)}"
        )
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps must be a positive whole number, got {steps!r:.80}.")
    share = check_sparsity(sparsity)
    options: dict[str, Any] = {"sparsity_m_by_n": (2, 4)} if sparsity == "2:4" else {}
    end = max(1, round(_SHARE * steps))
    frequency = max(1, end // _TURNS)
    if schedule == "constant" or options:
        plan = tfmot.ConstantSparsity(share, 0, end, frequency)
    else:
        plan = tfmot.PolynomialDecay(min(0.5 * share, 0.25), share, 0, end, frequency=frequency)

    def wrapper(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        return tfmot.prune_low_magnitude(layer, pruning_schedule=plan, **options)

    fours = 4 if options else 1
    return wrapped_in(to_tf_keras(model), wrapper, lambda kernel: kernel.shape[-2] % fours == 0)


def check_sparsity(value: float | str) -> float:
    """The share of zeros that is meant.

    Raises:
        ValueError: neither a number in (0, 1) nor "2:4".
    """
    if value == "2:4":
        return 0.5
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < 1:
        raise ValueError(f"sparsity must lie between 0 and 1, or be '2:4'; got {value!r:.80}.")
    return float(value)


def pruning_step() -> tf_keras.callbacks.Callback:
    """The callback that `fit` of a pruned model needs."""
    return tfmot.UpdatePruningStep()
