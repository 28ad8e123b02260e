"""How far a file is from the float file that it came from, in front of a last softmax.

Probabilities in steps of 1/256 say little: those of the sure images are exact, those of all other
classes 0. What the softmax is given tells files apart.
"""

from collections.abc import Callable

import numpy as np

from tflite.files import flatbuffer
from tflite.images import ImageInput
from tflite.runtime import Session

_ENDS = flatbuffer.PROBABILITIES | {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE"}
_RELATIVE_TOLERANCE = 1e-4

# From what the float file gives, (N, numbers of an image), to what the error of each counts.
Weigh = Callable[[np.ndarray], np.ndarray]


class Judge:
    """Files beside one float file, on the same images."""

    def __init__(
        self,
        reference: bytes,
        images: np.ndarray,
        image: ImageInput | None,
        weigh: Weigh | None = None,
    ) -> None:
        self._images, self._image = images, image
        self._expected = self._run(reference)
        self._weights = 1.0 if weigh is None else weigh(self._expected)

    def sqnr_db(self, data: bytes) -> float:
        """10·log10(Σ reference² / Σ error²), of what the last softmax is given, by weight."""
        noise = (np.square(self._run(data) - self._expected) * self._weights).sum()
        signal = (np.square(self._expected) * self._weights).sum()
        return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))

    def is_same(self, data: bytes) -> bool:
        """Whether a float file computes the same, up to rounding."""
        error = np.abs(self._run(data) - self._expected).max()
        return bool(error <= _RELATIVE_TOLERANCE * np.abs(self._expected).max())

    def _run(self, data: bytes) -> np.ndarray:
        outputs = Session(before_probabilities(data), self._image).run(self._images)
        return outputs.reshape(len(outputs), -1).astype(np.float64)


def before_probabilities(data: bytes) -> bytes:
    """The file without a softmax or sigmoid at its end, and without what only follows one."""
    flat = flatbuffer.unpack(data)
    graph = flat.subgraphs[0]
    if len(graph.outputs) != 1 or not flatbuffer.ends_in_probabilities(flat):
        return data
    written_by, index = flatbuffer.producers(graph), int(graph.outputs[0])
    dropped = []
    while flatbuffer.operator_name(flat, written_by[index]) in _ENDS:
        dropped.append(written_by[index])
        index = int(written_by[index].inputs[0])
        if flatbuffer.operator_name(flat, dropped[-1]) in flatbuffer.PROBABILITIES:
            break
    graph.operators = [o for o in graph.operators if all(o is not d for d in dropped)]
    graph.outputs = np.asarray([index], np.int32)
    flat.signatureDefs = []
    return flatbuffer.pack(flat)
