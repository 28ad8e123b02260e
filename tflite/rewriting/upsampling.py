"""Upsampling by whole factors, as each target's kernels take it.

Keras's nearest upsampling is converted to RESHAPE and TILE of five dimensions, which no delegate
takes and after which the Edge TPU stops; its resizing to RESIZE_… version 3, which the Edge TPU's
compiler does not read. For whole factors f there are exact forms of older operators:

    nearest    RESIZE_NEAREST_NEIGHBOR without half-pixel centres: ⌊(i + ½)/f⌋ = ⌊i/f⌋; or, since
               XNNPACK has no such kernel, every pixel beside itself by CONCATENATION, then rows
    bilinear   nearest, the border repeated, and a depthwise convolution: a mean over f pixels, for
               an even f its mean with itself moved on by one
"""

import keras
import numpy as np

from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.passes import Form, Notes, PassReport

# XNNPACK concatenates so many at once.
_MOST_PARTS = 5


def run(graph: Graph, form: Form) -> PassReport:
    """Write nearest and bilinear upsampling by whole factors with operators that the target has."""
    notes = Notes()
    for node in graph.nodes():
        if _changes_no_size(node):
            notes.change(node, "resizing", "dropped: to the size that it has")
            graph.replace(node.out, node.inputs[0])
            continue
        interpolation = _interpolation(node)
        if interpolation is None:
            continue
        what = f"{interpolation} upsampling"
        factors = _factors(node)
        if factors is None:
            notes.leave(node, what, "not by whole factors of a known size")
        elif interpolation == "bilinear" and form.device.reads_half_pixels:
            notes.leave(node, what, "native kernel")
        elif interpolation == "bilinear":
            notes.change(node, what, "written as nearest and a convolution")
            _become_bilinear(node, factors)
        elif form.device.delegates_nearest or max(map(_largest_step, factors)) > _MOST_PARTS:
            notes.change(node, what, "written without half pixels")
            node.become("ResizeNearest", factors=factors)
        else:
            notes.change(node, what, "written as concatenations")
            _become_concatenations(graph, node, factors)
    return notes.report("upsampling")


def _changes_no_size(node: Node) -> bool:
    resizes = node.kind in ("UpSampling2D", "Resizing", "ops.Resize")
    return resizes and None not in node.shape[1:] and node.shape[1:] == node.inputs[0].shape[1:]


def _interpolation(node: Node) -> str | None:
    """ "nearest" or "bilinear", if it is a layer or operation that does just that."""
    if node.kind == "UpSampling2D":
        options = node.config
    elif node.kind == "Resizing":
        if node.config["crop_to_aspect_ratio"] or node.config["pad_to_aspect_ratio"]:
            return None
        options = node.config
    elif node.kind == "ops.Resize":
        options = vars(node.source)
        if options["crop_to_aspect_ratio"] or options["pad_to_aspect_ratio"]:
            return None
    else:
        return None
    if options.get("antialias") or options.get("data_format") == "channels_first":
        return None
    found = options["interpolation"]
    return found if found in ("nearest", "bilinear") else None


def _factors(node: Node) -> tuple[int, int] | None:
    """How many times as high and as wide the output is, if these are whole numbers."""
    before, after = node.inputs[0].shape, node.shape
    if len(before) != 4 or len(after) != 4 or None in (*before[1:], *after[1:]):
        return None
    if any(new % old for old, new in zip(before[1:3], after[1:3], strict=True)):
        return None
    return after[1] // before[1], after[2] // before[2]


def _largest_step(factor: int) -> int:
    return max(_steps(factor), default=1)


def _steps(factor: int) -> list[int]:
    """Factors of at most five where there are such: 12 is 4 times 3."""
    steps = []
    for step in range(_MOST_PARTS, 1, -1):
        while factor % step == 0:
            steps.append(step)
            factor //= step
    return [*steps, factor] if factor > 1 else steps


def _become_concatenations(graph: Graph, node: Node, factors: tuple[int, int]) -> None:
    value = node.inputs[0]
    _, height, width, channels = value.shape
    rows, columns = factors
    for step in _steps(columns):
        value = _repeat(node, value, (height * width, 1, channels), step)
        width *= step
    for step in _steps(rows):
        value = _repeat(node, value, (height, 1, width * channels), step)
        height *= step
    node.become("ConstantReshape", sizes=(height, width, channels))
    node.inputs = [value]


def _repeat(node: Node, value: Value, sizes: tuple[int, int, int], times: int) -> Value:
    """`value` in this shape, with its middle axis `times` as long."""
    batch = value.shape[0]
    one = Node(f"{node.name}.flat", "ConstantReshape", [value], [(batch, *sizes)])
    one.config = {"sizes": sizes}
    shape = (batch, sizes[0], times, sizes[2])
    config = {"axis": 2}
    return Node(f"{node.name}.repeat", "Concatenate", [one.out] * times, [shape], config=config).out


def _become_bilinear(node: Node, factors: tuple[int, int]) -> None:
    name, channels = node.name, node.shape[-1]
    nearest = Node(f"{name}.nearest", "ResizeNearest", node.inputs, [node.shape])
    nearest.config = {"factors": factors}
    value = nearest.out
    for axis, factor in zip((1, 2), factors, strict=True):
        value = _with_borders(name, value, axis, factor // 2)
    kernels = [_mean_kernel(factor) for factor in factors]
    node.become(
        "DepthwiseConv2D",
        kernel_size=tuple(map(len, kernels)),
        strides=(1, 1),
        padding="valid",
        use_bias=False,
        activation="linear",
        dilation_rate=(1, 1),
    )
    kernel = np.outer(*kernels)[:, :, None, None]
    node.weights = [np.broadcast_to(kernel, (*kernel.shape[:2], channels, 1)).copy()]
    node.inputs = [value]


def _mean_kernel(factor: int) -> np.ndarray:
    mean = np.full(factor, 1 / factor)
    return mean if factor % 2 else np.convolve(mean, (0.5, 0.5))


def _with_borders(name: str, value: Value, axis: int, width: int) -> Value:
    """Rows (columns) repeated at both ends; upsampled, the first `width` of them are the same."""
    if not width:
        return value
    size = value.shape[axis]
    shape = [*value.shape]
    shape[axis] = width
    ends = [
        Node(f"{name}.border", "Slice", [value], [tuple(shape)], config=cut)
        for cut in (
            {"axis": axis, "start": 0, "stop": width},
            {"axis": axis, "start": size - width, "stop": size},
        )
    ]
    shape[axis] = size + 2 * width
    parts = [ends[0].out, value, ends[1].out]
    return Node(f"{name}.padded", "Concatenate", parts, [tuple(shape)], config={"axis": axis}).out


class ResizeNearest(keras.Operation):
    """(B, H, W, C) → (B, H·rows, W·columns, C), every pixel repeated, as one old operator."""

    def __init__(self, factors: tuple[int, int]):
        super().__init__()
        self.factors = factors

    def call(self, x):
        import tensorflow as tf

        size = [side * factor for side, factor in zip(x.shape[1:3], self.factors, strict=True)]
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, half_pixel_centers=False)

    def compute_output_spec(self, x):
        rows, columns = self.factors
        batch, height, width, channels = x.shape
        return keras.KerasTensor((batch, height * rows, width * columns, channels), x.dtype)
