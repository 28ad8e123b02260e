"""Parameters and multiply-adds of any Keras image model.

Costs, for one image (MobileNetV1, section 3.1; k: kernel, g: groups, H×W: the output's size):

    standard convolution   k·k·C_in·C_out/g parameters, times H·W multiply-adds
    depthwise convolution  k·k·C parameters, times H·W
    dense                  C_in·C_out parameters and multiply-adds
    separable / standard   1/C_out + 1/k²

Biases, batch norm (folded away on devices), activations and pooling cost no multiply-adds here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import keras

# Of tflite.quantized_layers: has scales and masks beside its kernel and bias.
_AWARE = "FakeQuantizedConvolution"
_OPERATIONS = {
    "Conv2D": "Conv2D",
    "DepthwiseConv2D": "depthwise",
    "SeparableConv2D": "separable",
    "Conv2DTranspose": "Conv2DTranspose",
    "Conv1D": "Conv1D",
    "Dense": "MatMul",
    _AWARE: "int8",
}
_NAMED = 8


@dataclass(frozen=True)
class LayerComplexity:
    """One layer: `params` counts its kernel and bias, `macs` the multiply-adds for one image."""

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Complexity:
    """Cost of a model; `layers` holds those layers that have parameters or multiply-adds.

    `uncounted`: layers whose multiply-adds are not known here, such as attention, with their kinds.
    """

    name: str
    layers: tuple[LayerComplexity, ...]
    params: int
    trainable_params: int
    uncounted: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def flops(self) -> int:
        """Floating-point operations for one image: two a multiply-add."""
        return 2 * self.macs

    def __str__(self) -> str:
        """TF-Slim's table: convolutions and dense layers, then the totals."""
        rows = [
            (_title(self.name, layer), f"{layer.params:,}", f"{layer.macs:,}")
            for layer in self.layers
            if layer.macs
        ]
        weights = sum(layer.params for layer in self.layers if layer.macs)
        rows.append(("Total", f"{weights:,}", f"{self.macs:,}"))
        rows.insert(0, ("Layer", "Parameters", "MACs"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        lines.append(
            f"With batch norm: {self.params:,} parameters, {self.trainable_params:,} trainable"
        )
        if self.uncounted:
            more = ", …" if len(self.uncounted) > _NAMED else ""
            lines.append(f"Without the MACs of {', '.join(self.uncounted[:_NAMED])}{more}")
        return "\n".join(lines)


def _title(model: str, layer: LayerComplexity) -> str:
    path = layer.name.removesuffix(".conv").replace(".", "/")
    return f"{model}/{path}/{_OPERATIONS[layer.kind]}"


def complexity(model: keras.Model) -> Complexity:
    """Count the parameters and multiply-adds of `model`, nested models included.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: it is not built, or its input's size is unknown (multiply-adds depend on it).
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"complexity takes a keras.Model, got {type(model).__name__}.")
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built: call it on a batch of images once, or give it an "
            "Input."
        )
    rows = tuple(_rows(model, ""))
    return Complexity(
        name=model.name,
        layers=rows,
        params=model.count_params(),
        trainable_params=sum(prod(weight.shape) for weight in model.trainable_weights),
        uncounted=tuple(f"{name} ({type(layer).__name__})" for name, layer in _unknown(model, "")),
    )


def _unknown(model: keras.Model, prefix: str) -> Iterator[tuple[str, keras.Layer]]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _unknown(layer, f"{prefix}{layer.name}.")
        elif type(layer).__name__ not in _OPERATIONS and _has_kernel(layer):
            yield f"{prefix}{layer.name}", layer


def _has_kernel(layer: keras.Layer) -> bool:
    return any(weight.name.endswith("kernel") for weight in layer.weights)


def _rows(model: keras.Model, prefix: str) -> Iterator[LayerComplexity]:
    for layer in model.layers:
        name = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model):
            yield from _rows(layer, f"{name}.")
            continue
        shape = _output_shape(layer)
        macs = sum(_macs(layer, node_shape, name) for node_shape in shape)
        if macs or layer.weights:
            params = layer.count_params()
            if type(layer).__name__ == _AWARE:
                params = prod(layer.kernel_shape) + layer.channels
            yield LayerComplexity(name, type(layer).__name__, shape[0], params, macs)


def _output_shape(layer: keras.Layer) -> list[tuple[int | None, ...]]:
    """Output shape of each call: a shared layer costs once in parameters, each time in MACs."""
    return [tuple(node.outputs[0].shape) for node in layer._inbound_nodes] or [()]


def _macs(layer: keras.Layer, shape: tuple[int | None, ...], name: str) -> int:
    kind = type(layer).__name__
    if kind not in _OPERATIONS:
        return 0
    positions = shape[1:-1]
    if kind == "Conv2DTranspose":
        positions = tuple(layer.input.shape[1:-1])
    if None in positions:
        raise ValueError(
            f"Layer {name!r} has the output shape {shape}: multiply-adds depend on the input's "
            "size. Build the model with a fixed height and width, such as "
            "input_shape=(224, 224, 3)."
        )
    kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
    if kind == _AWARE:
        kernels = [layer.kernel_shape]
    return prod(positions) * sum(map(prod, kernels))
