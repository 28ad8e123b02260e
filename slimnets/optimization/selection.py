"""Which layers are made smaller: those with many weights that do not see the image itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tf_keras

# An image's own channels: a first layer is small, and all others depend on it.
MOST_IMAGE_CHANNELS = 4


def wrapped_in(
    model: tf_keras.Model,
    wrapper: Callable[[Any], Any],
    takes: Callable[[Any], bool],
) -> tf_keras.Model:
    """A clone in which `wrapper` is around each convolution and dense layer that it takes.

    Args:
        model: stays as it is.
        wrapper: layer → layer.
        takes: whether a layer with this kernel may be wrapped.

    Raises:
        ValueError: no layer is left to wrap.
    """
    found = [layer.name for layer in model.layers if _is_large(layer) and takes(layer.kernel)]
    if not found:
        raise ValueError(
            f"{model.name!r} has no convolution or dense layer that could be made smaller, but "
            "perhaps the first, which stays as it is."
        )

    def clone(layer: Any) -> Any:
        # The layer itself: it brings its weights. `to_tf_keras` has just made it.
        return wrapper(layer) if layer.name in found else layer

    return tf_keras.models.clone_model(model, clone_function=clone)


def _is_large(layer: Any) -> bool:
    depthwise = isinstance(layer, tf_keras.layers.DepthwiseConv2D)
    known = isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.Dense)
    return known and not depthwise and layer.kernel.shape[-2] > MOST_IMAGE_CHANNELS
