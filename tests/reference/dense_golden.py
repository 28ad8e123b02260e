"""Golden files of detectors and segmenters: numpy only, as `golden`."""

import json
from dataclasses import dataclass

import numpy as np

from .fill import golden_images
from .golden import FOLDER, Tensor, fill_all, write_npz

SAMPLES = 4096


@dataclass(frozen=True)
class Dense:
    """What a reference said about two pictures.

    `stats`: output → its shape, mean and standard deviation; `arrays`: output → SAMPLES of its
    values, and of a detector `anchors` (every seventh) and `boxes_0`, `scores_0`, `labels_0`, ….
    """

    reference: str
    height: int
    width: int
    gain: float
    tensors: tuple[Tensor, ...]
    stats: dict[str, tuple[list[int], float, float]]
    arrays: dict[str, np.ndarray]

    def images(self) -> np.ndarray:
        """float32 (2, height, width, 3) in -1 .. 1."""
        return pictures(self.height, self.width)

    def weights(self) -> dict[str, np.ndarray]:
        """Every tensor by its reference name."""
        return fill_all(self.tensors, self.gain)


def pictures(height: int, width: int) -> np.ndarray:
    """Two golden images cut to height × width."""
    return golden_images(2, max(height, width), seed=3)[:, :height, :width].copy()


def sampled(values: np.ndarray) -> np.ndarray:
    """SAMPLES values spread over the array (Fibonacci hashing, as `fill.sample_positions`)."""
    spots = (np.arange(SAMPLES, dtype=np.uint64) * 2654435769 % 2**32) * values.size >> 32
    return np.asarray(values).reshape(-1)[spots.astype(int)]


def save(name: str, dense: Dense) -> None:
    """Write the file `name`."""
    meta = {
        "reference": dense.reference,
        "height": dense.height,
        "width": dense.width,
        "gain": dense.gain,
        "tensors": [(t.name, t.shape, t.layout) for t in dense.tensors],
        "stats": dense.stats,
    }
    text = json.dumps(meta, separators=(",", ":")).encode()
    small = {k: v.astype(np.float32) for k, v in dense.arrays.items()}
    write_npz(name, meta=np.frombuffer(text, np.uint8), **small)


def load(name: str) -> Dense:
    """The golden file `name`."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(arrays.pop("meta").tobytes())
    tensors = tuple(Tensor(n, tuple(s), layout) for n, s, layout in meta.pop("tensors"))
    return Dense(**meta, tensors=tensors, arrays=arrays)
