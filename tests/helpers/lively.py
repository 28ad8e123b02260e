"""Weights under which a deep ReLU network's outputs really depend on its input."""

import keras
import numpy as np

import slimnets


def lively(model: keras.Model, seed: int = 0) -> keras.Model:
    """Fill `model` in place: He-normal kernels, batch norm near (but not at) the identity."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            kind, shape = weight.path.split("/")[-1], tuple(weight.shape)
            if kind == "kernel":
                fan_in = shape[0] * shape[1] if "Depthwise" in type(layer).__name__ else None
                fan_in = fan_in or np.prod(shape[:-1])
                value = rng.normal(0, np.sqrt(2 / fan_in), shape)
            elif kind in ("gamma", "moving_variance"):
                value = rng.uniform(0.7, 1.3, shape)
            else:
                value = rng.normal(0, 0.1, shape)
            weight.assign(value.astype("float32"))
    return model


def logits_and_predictions(model: keras.Model) -> keras.Model:
    """The same network with both outputs: lively logits are far apart, their softmax 0 and 1."""
    return keras.Model(model.inputs, [slimnets.end_points(model)["Logits"], model.output])
