"""What the rewrites know of each layer and operation: one table, one row a kind.

A pass asks for a trait and never for a list of names, so teaching the rewrites a layer is adding
its row. A kind without a row is left alone.

A row says what is true of a kind as `normal_form` leaves it. Where a fact depends on the layer's
options as well (an activation, a padding), the pass that uses it looks at these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Kernel:
    """How a linear layer's weights are laid out.

    Attributes:
        input_axis: the axis of the first kernel that counts the input's channels.
        output_axes: the axes of the last kernel that count the output's channels.
        kernels: how many there are before the bias.
        by_channel: whether scaling one input channel or shifting it, away from any padding, is
            scaling weights or shifting the bias.
    """

    input_axis: int = -2
    output_axes: tuple[int, ...] = (-1,)
    kernels: int = 1
    by_channel: bool = True


@dataclass(frozen=True)
class Traits:
    """What is known of a kind.

    Attributes:
        linear: the weights of a layer that is linear up to its bias and activation.
        training_only: at inference it gives out its input.
        homogeneous: f(c·x) = c·f(x) for every c > 0, if it has one input.
        jointly_homogeneous: f(c·x, c·y) = c·f(x, y), for every number of inputs.
        keeps_sign: of inputs that are not negative it makes outputs that are not.
        reshapes: the same elements in the same order, in another shape.
        transposes: the same elements with axes in another order.
        activation: an operation that is this activation.
        same_as: an operation of tensors that is this layer.
        with_constant: scale and offset of an operation of a tensor and a constant, of the constant.
    """

    linear: Kernel | None = None
    training_only: bool = False
    homogeneous: bool = False
    jointly_homogeneous: bool = False
    keeps_sign: bool = False
    reshapes: bool = False
    transposes: bool = False
    activation: str | None = None
    same_as: str | None = None
    with_constant: Callable[[Any], tuple[Any, Any]] | None = None


@dataclass(frozen=True)
class ActivationTraits:
    """What is known of an activation.

    Attributes:
        elementwise: it treats every element alike, so it does not mind their order.
        homogeneous: f(c·x) = c·f(x) for every c > 0.
        positive: never below zero.
        fused: kernels apply it as they write, at no cost.
        hard: made of ReLU6 by a division by 6.
    """

    elementwise: bool = True
    homogeneous: bool = False
    positive: bool = False
    fused: bool = False
    hard: bool = False


UNKNOWN = Traits()
UNKNOWN_ACTIVATION = ActivationTraits(elementwise=False)

_Activation = ActivationTraits

ACTIVATIONS: Mapping[str, ActivationTraits] = MappingProxyType(
    {
        "elu": _Activation(),
        "gelu": _Activation(),
        "hard_sigmoid": _Activation(positive=True, hard=True),
        "hard_silu": _Activation(hard=True),
        "leaky_relu": _Activation(homogeneous=True),
        "linear": _Activation(homogeneous=True, fused=True),
        "relu": _Activation(homogeneous=True, positive=True, fused=True),
        "relu6": _Activation(positive=True, fused=True),
        "sigmoid": _Activation(positive=True),
        "silu": _Activation(),
        "softmax": _Activation(elementwise=False, positive=True),
        "softplus": _Activation(positive=True),
        "tanh": _Activation(),
    }
)

_CONVOLUTION = Kernel()
_DEPTHWISE = Kernel(output_axes=(-2, -1))
_TRANSPOSED = Kernel(input_axis=-1, output_axes=(-2,), by_channel=False)
_SEPARABLE = Kernel(kernels=2, by_channel=False)

_TRAINING = Traits(training_only=True)


def _ranks(name: str, traits: Traits) -> dict[str, Traits]:
    """One row for each number of spatial dimensions."""
    return {f"{name}{rank}D": traits for rank in (1, 2, 3)}


KINDS: Mapping[str, Traits] = MappingProxyType(
    {
        # Linear layers.
        **_ranks("Conv", Traits(linear=_CONVOLUTION)),
        "Conv2DTranspose": Traits(linear=_TRANSPOSED),
        "Dense": Traits(linear=_CONVOLUTION),
        "DepthwiseConv1D": Traits(linear=_DEPTHWISE),
        "DepthwiseConv2D": Traits(linear=_DEPTHWISE),
        "SeparableConv2D": Traits(linear=_SEPARABLE),
        # Layers of one input.
        **_ranks("AveragePooling", Traits(homogeneous=True, keeps_sign=True)),
        **_ranks("Cropping", Traits(homogeneous=True, keeps_sign=True)),
        "Flatten": Traits(homogeneous=True, keeps_sign=True, reshapes=True),
        **_ranks("GlobalAveragePooling", Traits(homogeneous=True, keeps_sign=True)),
        **_ranks("GlobalMaxPooling", Traits(homogeneous=True, keeps_sign=True)),
        "LeakyReLU": Traits(homogeneous=True, keeps_sign=True),
        **_ranks("MaxPooling", Traits(homogeneous=True, keeps_sign=True)),
        "PReLU": Traits(homogeneous=True, keeps_sign=True),
        "Permute": Traits(homogeneous=True, keeps_sign=True, transposes=True),
        "RepeatVector": Traits(homogeneous=True, keeps_sign=True),
        "Reshape": Traits(homogeneous=True, keeps_sign=True, reshapes=True),
        **_ranks("UpSampling", Traits(homogeneous=True)),  # bicubic makes negatives of positives
        **_ranks("ZeroPadding", Traits(homogeneous=True, keeps_sign=True)),
        # Layers of several.
        "Add": Traits(jointly_homogeneous=True, keeps_sign=True),
        "Average": Traits(jointly_homogeneous=True, keeps_sign=True),
        "Concatenate": Traits(jointly_homogeneous=True, keeps_sign=True),
        "Maximum": Traits(jointly_homogeneous=True, keeps_sign=True),
        "Minimum": Traits(jointly_homogeneous=True, keeps_sign=True),
        "Multiply": Traits(keeps_sign=True),
        "Subtract": Traits(jointly_homogeneous=True),
        # Layers that act only in training.
        "ActivityRegularization": _TRAINING,
        "AlphaDropout": _TRAINING,
        "AugMix": _TRAINING,
        "CutMix": _TRAINING,
        "Dropout": _TRAINING,
        "GaussianDropout": _TRAINING,
        "GaussianNoise": _TRAINING,
        "Identity": _TRAINING,
        "MixUp": _TRAINING,
        "RandAugment": _TRAINING,
        "RandomBrightness": _TRAINING,
        "RandomColorDegeneration": _TRAINING,
        "RandomColorJitter": _TRAINING,
        "RandomContrast": _TRAINING,
        "RandomElasticTransform": _TRAINING,
        "RandomErasing": _TRAINING,
        "RandomFlip": _TRAINING,
        "RandomGaussianBlur": _TRAINING,
        "RandomGrayscale": _TRAINING,
        "RandomHue": _TRAINING,
        "RandomInvert": _TRAINING,
        "RandomPerspective": _TRAINING,
        "RandomPosterization": _TRAINING,
        "RandomRotation": _TRAINING,
        "RandomSaturation": _TRAINING,
        "RandomSharpness": _TRAINING,
        "RandomShear": _TRAINING,
        "RandomTranslation": _TRAINING,
        "RandomZoom": _TRAINING,
        **_ranks("SpatialDropout", _TRAINING),
        # Operations that are an activation.
        "ops.HardSigmoid": Traits(activation="hard_sigmoid"),
        "ops.HardSilu": Traits(activation="hard_silu"),
        "ops.Relu": Traits(activation="relu"),
        "ops.Relu6": Traits(activation="relu6"),
        "ops.Sigmoid": Traits(activation="sigmoid"),
        "ops.Softmax": Traits(activation="softmax"),
        # Arithmetic, with a constant or of two tensors.
        "ops.Add": Traits(same_as="Add", with_constant=lambda c: (1.0, c)),
        "ops.Divide": Traits(with_constant=lambda c: (1.0 / c, 0.0)),
        "ops.Maximum": Traits(same_as="Maximum"),
        "ops.Minimum": Traits(same_as="Minimum"),
        "ops.Multiply": Traits(same_as="Multiply", with_constant=lambda c: (c, 0.0)),
        "ops.Subtract": Traits(same_as="Subtract", with_constant=lambda c: (1.0, -c)),
        "ops.TrueDivide": Traits(with_constant=lambda c: (1.0 / c, 0.0)),
        # Other operations.
        "ops.AveragePool": Traits(homogeneous=True, keeps_sign=True),
        "ops.ExpandDims": Traits(homogeneous=True, keeps_sign=True),
        "ops.Flip": Traits(homogeneous=True, keeps_sign=True),
        "ops.GetItem": Traits(homogeneous=True, keeps_sign=True),
        "ops.Max": Traits(homogeneous=True, keeps_sign=True),
        "ops.MaxPool": Traits(homogeneous=True, keeps_sign=True),
        "ops.Mean": Traits(homogeneous=True, keeps_sign=True),
        "ops.Moveaxis": Traits(homogeneous=True, keeps_sign=True, transposes=True),
        "ops.Reshape": Traits(homogeneous=True, keeps_sign=True, reshapes=True),
        "ops.Slice": Traits(homogeneous=True, keeps_sign=True),
        "ops.Split": Traits(homogeneous=True, keeps_sign=True),
        "ops.Squeeze": Traits(homogeneous=True, keeps_sign=True),
        "ops.Sum": Traits(homogeneous=True, keeps_sign=True),
        "ops.Swapaxes": Traits(homogeneous=True, keeps_sign=True, transposes=True),
        "ops.Transpose": Traits(homogeneous=True, keeps_sign=True, transposes=True),
        # What passes make that no layer is.
        "ConstantReshape": Traits(homogeneous=True, keeps_sign=True),
        "ResizeNearest": Traits(homogeneous=True, keeps_sign=True),
        "Slice": Traits(homogeneous=True, keeps_sign=True),
        "MultiplyConstant": Traits(homogeneous=True),
    }
)
