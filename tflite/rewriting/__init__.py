"""From a network as it was trained to the same function in the form devices run fast.

`simplify_for_deployment` reads a functional Keras model into a small graph, rewrites it step by
step (each step exact up to rounding) and builds a new Keras model. See the modules for what each
step does and why.
"""

from collections.abc import Callable, Sequence

import keras

from tflite import targets
from tflite.rewriting import (
    activations,
    concatenations,
    depthwise,
    factors,
    folding,
    groups,
    hard_swish,
    leaky_relu,
    normal_form,
    operations,
    padding,
    pooling,
    shapes,
    shuffles,
    slices,
    upsampling,
)
from tflite.rewriting.from_keras import read_model
from tflite.rewriting.graph import Graph
from tflite.rewriting.passes import Form, PassReport
from tflite.rewriting.to_keras import build_model

Pass = Callable[[Graph, Form], PassReport]
AfterPass = Callable[[PassReport, Graph], None]

# In the one order in which each finds what it looks for.
PASSES: tuple[Pass, ...] = (
    normal_form.run,
    hard_swish.run,
    pooling.run,
    upsampling.run,
    padding.run,
    folding.run,
    factors.run,
    activations.run,
    slices.run,
    depthwise.run,
    shuffles.run,
    groups.run,
    leaky_relu.run,
    concatenations.run,
    shapes.run,
    operations.run,
)


def simplify_for_deployment(
    model: keras.Model,
    target: str,
    precision: str = "int8",
    *,
    batch_size: int | None = 1,
    after_pass: AfterPass | None = None,
) -> keras.Model:
    """Rewrite a Keras model for a device: the same function, in a form that runs there fast.

    Batch normalization, input scaling and padding go into the convolutions where that is exact;
    what acts only in training goes; h-swish and h-sigmoid, in the precisions for which the target
    has no kernel, become additions and multiplications whose 1/6 is carried into later weights;
    grouped convolutions and channel shuffles take the form the target parses. What is not known
    (custom layers too) stays as it is: the new model calls the same layer, with the same weights.

    Args:
        model: a built functional or sequential `keras.Model` with one input and one output;
            nested functional models and layers called several times are allowed. It is not
            modified.
        target: a key of `tflite.targets.TARGETS`.
        precision: what the file will be quantized to; decides how h-swish is written.
        batch_size: images in a batch of the new model; None leaves it open.
        after_pass: called after each pass with its report, which says what it did and what it
            left, and the graph as it is then; `model_of` makes a model of that.

    Returns:
        A model whose outputs agree with those of `model` to 1e-5 relative in float32. Layers that
        remain keep their names; their outputs may differ by a constant factor.

    Raises:
        ValueError: the model's graph cannot be read, or the target or precision is unknown.
    """
    device = targets.lookup(target)
    targets.check_precision(device, precision)
    targets.check_batch_size(batch_size)
    graph = read_model(model)
    rewrite(graph, Form(device, precision, batch_size), after_pass)
    return model_of(graph, batch_size)


def rewrite(
    graph: Graph,
    form: Form,
    after_pass: AfterPass | None = None,
    passes: Sequence[Pass] | None = None,
) -> None:
    """Apply every pass (or these), in place."""
    for one in PASSES if passes is None else passes:
        report = one(graph, form)
        if after_pass is not None:
            after_pass(report, graph)


def model_of(graph: Graph, batch_size: int | None = 1) -> keras.Model:
    """A Keras model of the graph, which may be between two passes; the graph stays as it is."""
    return build_model(graph, batch_size, operations.BUILDERS)
