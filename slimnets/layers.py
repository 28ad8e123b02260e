"""The few operations that networks are made of; each reads its defaults from the arg scope.

Naming: a layer whose name has no dot is an end point; the parts between two end points have a
dot in theirs (`layer_3.expand.conv`). So end points survive saving, loading and cloning.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from slimnets import lazy_keras as keras
from slimnets.arg_scope import arguments
from slimnets.conv_defs import make_divisible


def fixed_padding(kernel: int, rate: int = 1) -> tuple[int, int]:
    """Zeros before and after, so that VALID gives what SAME would at stride 1.

    Independent of the input's size, as in PyTorch. Source: TF-Slim `_fixed_padding`.
    """
    total = (kernel - 1) * rate
    return total // 2, total - total // 2


def _fresh(initializer: Any) -> Any:
    # An initializer object repeats its values: every layer must get its own.
    return initializer.clone() if isinstance(initializer, keras.Initializer) else initializer


def _convolve(layer: keras.Layer, x: Any, initializer_name: str) -> Any:
    """`layer(x)`, a truncated normal kernel drawn in half the time that TensorFlow takes.

    TensorFlow draws until a value falls inside, which is a fifth of the time to build MobileNetV1;
    here the distribution function is inverted. The layer's configuration stays what it was.
    """
    initializer = getattr(layer, initializer_name)
    if type(initializer) is not keras.initializers.TruncatedNormal:
        return layer(x)
    setattr(layer, initializer_name, keras.initializers.Zeros())
    out = layer(x)
    setattr(layer, initializer_name, initializer)
    edge = math.erf(math.sqrt(2))  # the share of a normal distribution within ±2
    uniform = keras.random.uniform(layer.kernel.shape, -edge, edge, seed=initializer.seed)
    normal = math.sqrt(2) * keras.ops.erfinv(uniform)
    layer.kernel.assign(initializer.mean + initializer.stddev * normal)
    return out


def _pad(x: Any, options: dict[str, Any], kernel: int, stride: int, rate: int, name: str) -> Any:
    """Apply fixed padding where it differs from SAME; return x and the layer's own padding."""
    padding = options.pop("padding", "same")
    if padding not in ("same", "valid", "fixed"):
        raise ValueError(f"padding must be 'same', 'valid' or 'fixed', got {padding!r}.")
    if padding != "fixed":
        return x, padding
    before, after = fixed_padding(kernel, rate)
    # At stride 1 SAME pads just so, and costs no PAD operation on the device.
    if stride == 1 or before + after == 0:
        return x, "same"
    pad = keras.layers.ZeroPadding2D(((before, after), (before, after)), name=f"{name}.pad")
    return pad(x), "valid"


def batch_norm(x: Any, name: str) -> Any:
    """Batch normalization over channels with the scope's momentum, epsilon, center, scale."""
    return keras.layers.BatchNormalization(name=f"{name}.bn", **arguments("batch_norm"))(x)


def activate(x: Any, activation: Any, name: str, end_point: str | None = None) -> Any:
    """The activation as a layer of its own, named after the end point that it is."""
    if activation in (None, "linear"):
        return keras.layers.Identity(name=end_point)(x) if end_point else x
    return keras.layers.Activation(activation, name=end_point or f"{name}.activation")(x)


def _finish(x: Any, options: dict[str, Any], name: str, end_point: str | None) -> Any:
    if options["normalizer"]:
        x = batch_norm(x, name)
    return activate(x, options["activation"], name, end_point)


def _options(operation: str, **explicit: Any) -> dict[str, Any]:
    options = {"normalizer": True, "activation": None, **arguments(operation, **explicit)}
    if options.get("use_bias") is None:
        options["use_bias"] = not options["normalizer"]
    return options


def conv(
    x: Any,
    depth: int,
    kernel: int = 1,
    *,
    name: str,
    stride: int = 1,
    rate: int = 1,
    groups: int = 1,
    end_point: str | None = None,
    activation: Any = None,
    normalizer: bool | None = None,
    use_bias: bool | None = None,
    padding: str | None = None,
    kernel_initializer: Any = None,
    bias_initializer: Any = "zeros",
) -> Any:
    """Convolution [→ batch norm] [→ activation]: (B, H, W, C) → (B, H/stride, W/stride, depth).

    Arguments left None come from the scope's "conv"; activation="linear" means none.
    """
    options = _options(
        "conv",
        activation=activation,
        normalizer=normalizer,
        use_bias=use_bias,
        padding=padding,
        kernel_initializer=kernel_initializer,
    )
    x, padding = _pad(x, options, kernel, stride, rate, name)
    convolution = keras.layers.Conv2D(
        depth,
        kernel,
        strides=stride,
        dilation_rate=rate,
        groups=groups,
        padding=padding,
        use_bias=options["use_bias"],
        kernel_initializer=_fresh(options.get("kernel_initializer", "glorot_uniform")),
        bias_initializer=bias_initializer,
        kernel_regularizer=options.get("kernel_regularizer"),
        name=f"{name}.conv",
    )
    x = _convolve(convolution, x, "kernel_initializer")
    return _finish(x, options, name, end_point)


def depthwise(
    x: Any,
    kernel: int,
    *,
    name: str,
    stride: int = 1,
    rate: int = 1,
    end_point: str | None = None,
    activation: Any = None,
) -> Any:
    """Depthwise convolution → batch norm [→ activation]; defaults from the scope's "depthwise"."""
    options = _options("depthwise", activation=activation)
    x, padding = _pad(x, options, kernel, stride, rate, name)
    convolution = keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        dilation_rate=rate,
        padding=padding,
        use_bias=options["use_bias"],
        depthwise_initializer=_fresh(options.get("kernel_initializer", "glorot_uniform")),
        depthwise_regularizer=options.get("kernel_regularizer"),
        name=f"{name}.conv",
    )
    x = _convolve(convolution, x, "depthwise_initializer")
    return _finish(x, options, name, end_point)


def global_pool(x: Any, name: str) -> Any:
    """Mean over height and width, which stay as dimensions of 1: (B, H, W, C) → (B, 1, 1, C)."""
    return keras.layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)


def resize(x: Any, size: tuple[int, int], name: str) -> Any:
    """Bilinear resizing by half-pixel centres to (height, width), as PyTorch's and TensorFlow 2's.

    (TF1's `align_corners` is another function.) Not before batch norms: where nobody says whether
    it is training, Keras's Resizing tells all layers after it that it is.
    """
    return keras.layers.Resizing(*size, interpolation="bilinear", name=name)(x)


def squeeze_excite(x: Any, name: str, reduction: int = 4) -> Any:
    """Gate each channel by what all channels' means say.

    Mean → 1×1 to make_divisible(C / reduction) with ReLU → 1×1 back with h-sigmoid → multiply.
    Both convolutions have biases and no batch norm. Source: MobileNetV3, section 5.3.
    """
    channels = x.shape[-1]
    gate = global_pool(x, f"{name}.pool")
    gate = conv(
        gate,
        make_divisible(channels / reduction),
        name=f"{name}.reduce",
        activation="relu",
        normalizer=False,
        use_bias=True,
    )
    gate = conv(
        gate,
        channels,
        name=f"{name}.expand",
        activation="hard_sigmoid",
        normalizer=False,
        use_bias=True,
    )
    return keras.layers.Multiply(name=f"{name}.multiply")([x, gate])


def dropout(x: Any, keep_prob: float | None, name: str) -> Any:
    """Drop activations with probability 1 - keep_prob in training; nothing where disabled.

    Raises:
        ValueError: `keep_prob`, here or in the scope, is not in (0, 1].
    """
    options = arguments("dropout", keep_prob=keep_prob)
    keep_prob = options.get("keep_prob", 1.0)
    if not isinstance(keep_prob, Real) or isinstance(keep_prob, bool) or not 0 < keep_prob <= 1:
        raise ValueError(f"dropout_keep_prob must be in (0, 1], got {keep_prob!r}.")
    if keep_prob == 1 or not options.get("enabled", True):
        return x
    return keras.layers.Dropout(1 - keep_prob, name=f"{name}.dropout")(x)
