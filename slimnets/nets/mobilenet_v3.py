"""MobileNetV3 Large and Small, and MobilenetEdgeTPU: searched tables of inverted residuals.

Howard et al. 2019, "Searching for MobileNetV3" (arXiv 1905.02244). Facts of the construction:
TF-Slim `nets/mobilenet/mobilenet_v3.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras

from slimnets import layers
from slimnets.arg_scope import Scope
from slimnets.builder import EndPoints, build_body, check_multiplier
from slimnets.conv_defs import Conv, Factor, FusedInvertedResidual, InvertedResidual, make_divisible
from slimnets.nets.mobilenet_v2 import training_scope
from slimnets.network import classifier, scopes, takes_weights

# Table 1 of the paper.
MOBILENET_V3_LARGE_DEFS = (
    Conv(kernel=3, stride=2, depth=16, activation="hard_swish"),
    #                kernel expand depth se     activation    stride
    InvertedResidual(3,     16,    16,   False, "relu",       1),
    InvertedResidual(3,     64,    24,   False, "relu",       2),
    InvertedResidual(3,     72,    24,   False, "relu",       1),
    InvertedResidual(5,     72,    40,   True,  "relu",       2),
    InvertedResidual(5,     120,   40,   True,  "relu",       1),
    InvertedResidual(5,     120,   40,   True,  "relu",       1),
    InvertedResidual(3,     240,   80,   False, "hard_swish", 2),
    InvertedResidual(3,     200,   80,   False, "hard_swish", 1),
    InvertedResidual(3,     184,   80,   False, "hard_swish", 1),
    InvertedResidual(3,     184,   80,   False, "hard_swish", 1),
    InvertedResidual(3,     480,   112,  True,  "hard_swish", 1),
    InvertedResidual(3,     672,   112,  True,  "hard_swish", 1),
    InvertedResidual(5,     672,   160,  True,  "hard_swish", 2),
    InvertedResidual(5,     960,   160,  True,  "hard_swish", 1),
    InvertedResidual(5,     960,   160,  True,  "hard_swish", 1),
    Conv(kernel=1, stride=1, depth=960, activation="hard_swish"),
)  # fmt: skip

# Table 2 of the paper.
MOBILENET_V3_SMALL_DEFS = (
    Conv(kernel=3, stride=2, depth=16, activation="hard_swish"),
    #                kernel expand depth se     activation    stride
    InvertedResidual(3,     16,    16,   True,  "relu",       2),
    InvertedResidual(3,     72,    24,   False, "relu",       2),
    InvertedResidual(3,     88,    24,   False, "relu",       1),
    InvertedResidual(5,     96,    40,   True,  "hard_swish", 2),
    InvertedResidual(5,     240,   40,   True,  "hard_swish", 1),
    InvertedResidual(5,     240,   40,   True,  "hard_swish", 1),
    InvertedResidual(5,     120,   48,   True,  "hard_swish", 1),
    InvertedResidual(5,     144,   48,   True,  "hard_swish", 1),
    InvertedResidual(5,     288,   96,   True,  "hard_swish", 2),
    InvertedResidual(5,     576,   96,   True,  "hard_swish", 1),
    InvertedResidual(5,     576,   96,   True,  "hard_swish", 1),
    Conv(kernel=1, stride=1, depth=576, activation="hard_swish"),
)  # fmt: skip

# TF-Slim's V3_EDGETPU: full convolutions where they run faster than depthwise ones.
MOBILENET_EDGETPU_DEFS = (
    Conv(3, 2, 32),
    #                     kernel expand     depth stride
    FusedInvertedResidual(3,     Factor(1), 16,   1),
    FusedInvertedResidual(3,     Factor(8), 32,   2),
    FusedInvertedResidual(3,     Factor(4), 32,   1),
    FusedInvertedResidual(3,     Factor(4), 32,   1),
    FusedInvertedResidual(3,     Factor(4), 32,   1),
    FusedInvertedResidual(3,     Factor(8), 48,   2),
    FusedInvertedResidual(3,     Factor(4), 48,   1),
    FusedInvertedResidual(3,     Factor(4), 48,   1),
    FusedInvertedResidual(3,     Factor(4), 48,   1),
    #                kernel expand     depth se     activation stride
    InvertedResidual(3,     Factor(8), 96,   False, "relu",    2),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(8), 96,   False, "relu",    1, residual=False),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(3,     Factor(4), 96,   False, "relu",    1),
    InvertedResidual(5,     Factor(8), 160,  False, "relu",    2),
    InvertedResidual(5,     Factor(4), 160,  False, "relu",    1),
    InvertedResidual(5,     Factor(4), 160,  False, "relu",    1),
    InvertedResidual(5,     Factor(4), 160,  False, "relu",    1),
    InvertedResidual(3,     Factor(8), 192,  False, "relu",    1),
    Conv(1, 1, 1280, shrink=False),
)  # fmt: skip


def reduced_tail(conv_defs: Sequence[Any]) -> tuple[Any, ...]:
    """The table with every feature width between C4 and C5 halved (the paper's section 6.3).

    From the last stride-2 record on: its output, then expansions and outputs. For detection and
    segmentation.
    """
    last = max(i for i, record in enumerate(conv_defs) if record.stride == 2)
    first = replace(conv_defs[last], depth=conv_defs[last].depth // 2)
    tail = (
        replace(record, depth=record.depth // 2)
        if isinstance(record, Conv)
        else replace(record, expand=record.expand // 2, depth=record.depth // 2)
        for record in conv_defs[last + 1 :]
    )
    return (*conv_defs[:last], first, *tail)


def minimalistic(conv_defs: Sequence[Any]) -> tuple[Any, ...]:
    """The table without squeeze-excite, h-swish and 5×5 kernels, for devices that lack them."""
    return tuple(
        replace(record, activation="relu")
        if isinstance(record, Conv)
        else replace(record, kernel=3, se=False, activation="relu")
        for record in conv_defs
    )


MOBILENET_V3_LARGE_DETECTION_DEFS = reduced_tail(MOBILENET_V3_LARGE_DEFS)
MOBILENET_V3_SMALL_DETECTION_DEFS = reduced_tail(MOBILENET_V3_SMALL_DEFS)


def _scope() -> Scope:
    # The paper's section 6.1: decay 1e-5, dropout 0.8, batch-norm momentum 0.99.
    return training_scope(weight_decay=1e-5, bn_decay=0.99, activation="relu")


def mobilenet_v3_large_base(
    inputs: Any,
    final_endpoint: str | None = None,
    min_depth: int = 8,
    depth_multiplier: float = 1.0,
    conv_defs: Sequence[Any] | None = None,
    output_stride: int | None = None,
    use_explicit_padding: bool = False,
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV3-Large up to `final_endpoint` (`layer_1` … `layer_17`).

    Arguments, result and errors as `mobilenet_v2_base`; an expansion keeps the table's ratio to
    the block's input, rounded to a multiple of 8.
    """
    check_multiplier(depth_multiplier, min_depth)
    with scopes(_scope(), None):
        return build_body(
            inputs,
            MOBILENET_V3_LARGE_DEFS if conv_defs is None else conv_defs,
            width=lambda depth: make_divisible(depth * depth_multiplier, min_value=min_depth),
            output_stride=output_stride,
            use_explicit_padding=use_explicit_padding,
            final_endpoint=final_endpoint,
        )


def mobilenet_v3_small_base(
    inputs: Any, *args: Any, conv_defs: Sequence[Any] | None = None, **kwargs: Any
) -> tuple[Any, EndPoints]:
    """The body of MobileNetV3-Small up to `final_endpoint` (`layer_1` … `layer_13`).

    Arguments as `mobilenet_v3_large_base`.
    """
    table = MOBILENET_V3_SMALL_DEFS if conv_defs is None else conv_defs
    return mobilenet_v3_large_base(inputs, *args, conv_defs=table, **kwargs)


def mobilenet_edgetpu_base(
    inputs: Any, *args: Any, conv_defs: Sequence[Any] | None = None, **kwargs: Any
) -> tuple[Any, EndPoints]:
    """The body of MobilenetEdgeTPU up to `final_endpoint` (`layer_1` … `layer_23`).

    Arguments as `mobilenet_v3_large_base`.
    """
    table = MOBILENET_EDGETPU_DEFS if conv_defs is None else conv_defs
    return mobilenet_v3_large_base(inputs, *args, conv_defs=table, **kwargs)


def _mobilenet_v3(
    input_shape: Sequence[int | None],
    conv_defs: Sequence[Any],
    last: Conv | None,
    *,
    depth_multiplier: float = 1.0,
    min_depth: int = 8,
    output_stride: int | None = None,
    use_explicit_padding: bool = False,
    **kwargs: Any,
) -> keras.Model:
    def last_layer(net: Any) -> Any:
        return layers.conv(
            net,
            max(last.depth, make_divisible(last.depth * depth_multiplier)),
            activation=last.activation,
            normalizer=False,
            use_bias=True,
            name="Conv_2",
            end_point="Conv_2",
        )

    return classifier(
        input_shape,
        partial(
            mobilenet_v3_large_base,
            min_depth=min_depth,
            depth_multiplier=depth_multiplier,
            conv_defs=conv_defs,
            output_stride=output_stride,
            use_explicit_padding=use_explicit_padding,
        ),
        _scope(),
        before_logits=last_layer if last else None,
        **kwargs,
    )


def _variant(
    conv_defs: Sequence[Any], last_depth: int, use_reduced_tail: bool, use_minimalistic: bool
) -> tuple[Sequence[Any], Conv]:
    """The table and the layer after the pool, in the form that is asked for."""
    last = Conv(1, 1, last_depth // 2 if use_reduced_tail else last_depth, "hard_swish")
    if use_reduced_tail:
        conv_defs = reduced_tail(conv_defs)
    if use_minimalistic:
        conv_defs, last = minimalistic(conv_defs), replace(last, activation="relu")
    return conv_defs, last


@takes_weights
def mobilenet_v3_large(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    conv_defs: Sequence[Any] | None = None,
    reduced_tail: bool = False,
    minimalistic: bool = False,
    name: str = "MobilenetV3",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV3-Large, (B, H, W, C) → (B, num_classes).

    The layer after the pool (1280) is not narrowed by a depth_multiplier below 1.

    Args:
        input_shape: (height, width, channels); height and width may be None.
        conv_defs: the table; default `MOBILENET_V3_LARGE_DEFS`.
        reduced_tail: halve the widths of the last stage and of the layer after the pool.
        minimalistic: no squeeze-excite, no h-swish, no 5×5 kernels.
        name: of the model; the default is TF-Slim's variable scope.
        **kwargs: `inputs`, `num_classes`, `depth_multiplier`, `min_depth`, `dropout_keep_prob`,
            `output_stride`, `use_explicit_padding`, `spatial_squeeze`, `global_pool`,
            `prediction_fn`, `weights`, `arg_scope` as in `mobilenet_v2`.

    Raises:
        ValueError, TypeError: an argument out of range; the message says what is allowed.
    """
    table = MOBILENET_V3_LARGE_DEFS if conv_defs is None else conv_defs
    return _mobilenet_v3(
        input_shape, *_variant(table, 1280, reduced_tail, minimalistic), name=name, **kwargs
    )


@takes_weights
def mobilenet_v3_small(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    conv_defs: Sequence[Any] | None = None,
    reduced_tail: bool = False,
    minimalistic: bool = False,
    name: str = "MobilenetV3",
    **kwargs: Any,
) -> keras.Model:
    """MobileNetV3-Small, (B, H, W, C) → (B, num_classes). Arguments as `mobilenet_v3_large`.

    The layer after the pool (1024) is not narrowed by a depth_multiplier below 1.
    """
    table = MOBILENET_V3_SMALL_DEFS if conv_defs is None else conv_defs
    return _mobilenet_v3(
        input_shape, *_variant(table, 1024, reduced_tail, minimalistic), name=name, **kwargs
    )


@takes_weights
def mobilenet_edgetpu(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    conv_defs: Sequence[Any] | None = None,
    name: str = "MobilenetEdgeTPU",
    **kwargs: Any,
) -> keras.Model:
    """MobilenetEdgeTPU, (B, H, W, C) → (B, num_classes). Keywords as `mobilenet_v3_large`.

    Published: 990 M multiply-adds, 4.0 M parameters, 75.6 % top-1.
    """
    table = MOBILENET_EDGETPU_DEFS if conv_defs is None else conv_defs
    return _mobilenet_v3(input_shape, table, None, name=name, **kwargs)
