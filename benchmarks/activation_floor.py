"""How near a network comes with only its activations rounded to 8 bits, its weights kept float.

What an int8 file loses beyond that, its weights and biases lose. Better than it a file can only be
by biases and weights that make rounding good again. `fashion_networks.py` puts it beside the files.
"""

from dataclasses import replace
from itertools import product

import numpy as np

EXPONENTS = (0.0, 0.65)


def sqnr_db(model, calibration: np.ndarray, judged: np.ndarray) -> float:
    """Of the logits, in the graph that int8 files hold; of equalized or not, and of ranges that
    hold all values or err least, whichever is best.

    Args:
        model: a Keras model whose last layer is a softmax.
        calibration: float32 (N, height, width, channels), which give the ranges.
        judged: other images.
    """
    import tflite
    from tflite.quantizing.equalization import equalize
    from tflite.quantizing.judging import before_probabilities
    from tflite.quantizing.statistics import measure
    from tflite.rewriting import simplify_for_deployment
    from tflite.runtime import Session

    deployed = simplify_for_deployment(model, "android", "int8")
    file = tflite.convert(deployed, precision="float32", optimize=False).bytes
    file = before_probabilities(file)
    expected = Session(file).run(judged).astype(np.float64)
    statistics = measure(file, calibration)
    wide = {index: replace(each, sample=None) for index, each in statistics.items()}
    found = []
    for exponent, known in product(EXPONENTS, (statistics, wide)):
        changed, ranges = file, known
        if exponent:
            changed, ranges = equalize(file, known, exponent)
        error = _rounded(changed, ranges, judged).reshape(expected.shape) - expected
        found.append(10 * np.log10(np.square(expected).sum() / np.square(error).sum()))
    return float(max(found))


def _rounded(file: bytes, statistics, images: np.ndarray) -> np.ndarray:
    """The float file's outputs, every activation rounded to 255 steps as soon as it is made."""
    from tflite.files import flatbuffer
    from tflite.quantizing.channels import MOVES
    from tflite.quantizing.execution import Step, last_readers

    flat = flatbuffer.unpack(file)
    graph, last = flat.subgraphs[0], last_readers(flat)
    source, target = int(graph.inputs[0]), int(graph.outputs[0])

    def rounded(index: int, values: np.ndarray) -> np.ndarray:
        low, high = statistics[index].range
        step = max(high - low, 1e-9) / 255
        zero = np.rint(-low / step)
        return ((np.rint(values / step) + zero).clip(0, 255) - zero).astype(np.float32) * step

    live = {source: rounded(source, images)}
    for position, operator in enumerate(graph.operators):
        moves = flatbuffer.operator_name(flat, operator) in MOVES
        step = Step(flat, position)
        outputs = step([live[index].astype(np.float32) for index in step.inputs])
        pairs = zip(step.outputs, outputs, strict=True)
        live.update((i, v if moves else rounded(i, v)) for i, v in pairs)
        for index in [i for i in live if i != target and last.get(i, -1) <= position]:
            del live[index]
    return live[target]
