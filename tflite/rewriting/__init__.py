"""From a network as it was trained to the same function in the form devices run fast.

`simplify_for_deployment` reads a functional Keras model into a small graph, rewrites it step by
step (each step exact up to rounding) and builds a new Keras model. See the modules for what each
step does and why.
"""

import keras

from tflite import targets
from tflite.rewriting import (
    activations,
    factors,
    folding,
    groups,
    hard_swish,
    normal_form,
    pooling,
    shapes,
    slices,
)
from tflite.rewriting.graph import Graph, build_model, read_model
from tflite.rewriting.operations import BUILDERS, spell_out


def simplify_for_deployment(
    model: keras.Model,
    target: str,
    precision: str = "int8",
    *,
    batch_size: int | None = 1,
) -> keras.Model:
    """Rewrite a Keras model for a device: the same function, in a form that runs there fast.

    Batch normalization, input scaling and padding go into the convolutions where that is exact;
    what acts only in training goes; h-swish and h-sigmoid, in the precisions for which the target
    has no kernel, become additions and multiplications whose 1/6 is carried into later weights;
    grouped convolutions and channel shuffles take the form the target parses. What is not known
    (custom layers too) stays as it is.

    Args:
        model: a built functional or sequential `keras.Model` with one input and one output;
            nested functional models and layers called several times are allowed. It is not
            modified.
        target: a key of `tflite.targets.TARGETS`.
        precision: what the file will be quantized to; decides how h-swish is written.
        batch_size: images in a batch of the new model; None leaves it open.

    Returns:
        A model whose outputs agree with those of `model` to 1e-5 relative in float32. Layers that
        remain keep their names; their outputs may differ by a constant factor.

    Raises:
        ValueError: the model's graph cannot be read, or the target or precision is unknown.
    """
    device = targets.lookup(target)
    targets.check_precision(device, precision)
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be a positive number or None, got {batch_size}.")
    graph = read_model(model)
    rewrite(graph, device, precision, batch_size)
    return build_model(graph, batch_size, BUILDERS)


def rewrite(graph: Graph, device: targets.Target, precision: str, batch_size: int | None) -> None:
    """Apply every step, in place, in the one order in which each finds what it looks for."""
    normal_form.normalize(graph)
    if precision not in device.native_hard_swish:
        hard_swish.lower(graph)
    pooling.rewrite_average_pools(graph, native=precision in device.native_average_pool)
    folding.fold_padding(graph)
    folding.fold_into_producers(graph)
    folding.fold_into_consumers(graph)
    factors.carry(graph)
    activations.fuse_relus(graph)
    if precision not in targets.FLOAT_PRECISIONS:
        slices.cut_weights(graph)
    groups.make_depthwise(graph)
    groups.rewrite_shuffles(graph, densify=device.densifies_shuffles)
    if device.splits_groups:
        groups.split_groups(graph)
    shapes.fix_shapes(graph, batch_size)
    spell_out(graph)
