"""The default scopes that several families share."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from slimnets import lazy_keras as keras
from slimnets.arg_scope import Scope


def training_scope(
    is_training: bool | None = True,
    weight_decay: float = 4e-5,
    stddev: float = 0.09,
    dropout_keep_prob: float = 0.8,
    bn_decay: float = 0.997,
    bn_epsilon: float = 0.001,
    activation: str = "relu6",
) -> Scope:
    """The defaults of MobileNetV2 and V3. Source: TF-Slim `mobilenet.py`, `training_scope`.

    Args:
        is_training: False freezes batch norm and leaves dropout out; True and None leave both
            to Keras's `training` argument.
        weight_decay: λ in λ·Σw²/2 over standard convolutions; depthwise ones have no decay.
        stddev: of the truncated normal that weights start from; negative: He's scaling by
            fan-in instead.
        dropout_keep_prob: share of the pooled features kept in training.
        bn_decay, bn_epsilon: momentum and epsilon of batch norm.
        activation: Keras name, where a table does not say.
    """
    start = keras.initializers.TruncatedNormal(stddev=stddev) if stddev >= 0 else "he_normal"
    convolution = {"kernel_initializer": start, "activation": activation}
    return {
        "conv": convolution | {"kernel_regularizer": l2_decay(weight_decay)},
        "depthwise": convolution,
        "batch_norm": {
            "momentum": bn_decay,
            "epsilon": bn_epsilon,
            "trainable": is_training is not False,
        },
        "dropout": {"keep_prob": dropout_keep_prob, "enabled": is_training is not False},
    }


def l2_decay(weight_decay: float) -> Any:
    """TF-Slim's l2_regularizer, λ·Σw²/2; None for no decay.

    Raises:
        ValueError: `weight_decay` is no finite number of at least 0.
    """
    if not isinstance(weight_decay, Real) or not 0 <= weight_decay < math.inf:
        raise ValueError(
            f"weight_decay must be a finite number of at least 0, got {weight_decay!r:.80}."
        )
    return keras.regularizers.L2(weight_decay / 2) if weight_decay else None


def pytorch_scope(weight_decay: float) -> dict[str, Any]:
    """Plain ReLU, He initialization, no dropout, and PyTorch's defaults for batch norm."""
    return dict(
        training_scope(
            weight_decay=weight_decay,
            stddev=-1,
            dropout_keep_prob=1.0,
            bn_decay=0.9,
            bn_epsilon=1e-5,
            activation="relu",
        )
    )
