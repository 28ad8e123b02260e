"""Golden files: what a reference network answered, and all that is needed to ask again.

A file holds `logits` float32 (n, classes), `end_points` float32 (k, 64) and a JSON record, `meta`.
Weights and images are not in it: `Golden.weights` and `Golden.images` make them by rule. Needs
numpy only.
"""

import io
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .fill import Layout, fill, golden_images, sample, spread

FOLDER = Path(__file__).parent / "golden"
GAINS = (0.8, 0.85, 0.95, 1.05, 1.2)
SEEDS = range(6)
NOISE_LIMIT = 2e-5


@dataclass(frozen=True)
class Tensor:
    """A weight of the reference: its name, shape and the `layout` that `fill` wants."""

    name: str
    shape: tuple[int, ...]
    layout: Layout


@dataclass(frozen=True)
class EndPoint:
    """Statistics of one intermediate NHWC activation of the whole batch.

    `module` is the reference's name of what computed it, `end_point` TF-Slim's (None if it has
    none).
    """

    module: str
    end_point: str | None
    shape: tuple[int, ...]
    mean: float
    std: float


@dataclass(frozen=True)
class Answer:
    """What a network said to a batch: logits (n, classes), NHWC activations by module name."""

    logits: np.ndarray
    activations: dict[str, np.ndarray]


@dataclass(frozen=True)
class Golden:
    """One golden file. `spread` and `noise` are explained in README.md."""

    reference: str
    image_size: int
    image_seed: int
    gain: float
    spread: float
    noise: float
    tensors: tuple[Tensor, ...]
    end_points: tuple[EndPoint, ...]
    logits: np.ndarray
    samples: np.ndarray

    def images(self) -> np.ndarray:
        """float32 (n, image_size, image_size, 3) in -1 .. 1."""
        return golden_images(len(self.logits), self.image_size, self.image_seed)

    def weights(self) -> dict[str, np.ndarray]:
        """Every tensor by its reference name, in the reference's order and layout."""
        return fill_all(self.tensors, self.gain)


def fill_all(tensors: Iterable[Tensor], gain: float) -> dict[str, np.ndarray]:
    """Values of the tensors by name."""
    return {t.name: fill(t.name, t.shape, t.layout, gain) for t in tensors}


def load(name: str) -> Golden:
    """The golden file `name` (without folder and extension)."""
    with np.load(FOLDER / f"{name}.npz") as file:
        meta = json.loads(file["meta"].tobytes())
        logits, samples = file["logits"], file["end_points"]
    tensors = tuple(Tensor(n, tuple(s), layout) for n, s, layout in meta.pop("tensors"))
    points = tuple(EndPoint(**p | {"shape": tuple(p["shape"])}) for p in meta.pop("end_points"))
    return Golden(**meta, tensors=tensors, end_points=points, logits=logits, samples=samples)


def make(
    reference: str,
    tensors: tuple[Tensor, ...],
    image_size: int,
    single: Callable[[dict[str, np.ndarray], np.ndarray], Answer],
    double: Callable[[dict[str, np.ndarray], np.ndarray], Answer],
    end_points: dict[str, str | None],
) -> Golden:
    """Ask a reference network in float32 (`single`) and float64 (`double`), and keep the latter.

    Of GAINS and SEEDS it takes the pair with the widest spread among those where both images'
    logits are of like size (within a factor of 2) and float32 rounding stays below NOISE_LIMIT.
    """
    batch = np.concatenate([golden_images(2, image_size, seed) for seed in SEEDS])
    best: tuple[float, float, float, int] | None = None
    for gain in GAINS:
        weights = fill_all(tensors, gain)
        rounded, exact = single(weights, batch).logits, double(weights, batch).logits
        for index, seed in enumerate(SEEDS):
            pair = slice(2 * index, 2 * index + 2)
            deviation = exact[pair].std(1)
            noise = float((np.abs(rounded[pair] - exact[pair]).max(1) / deviation).max())
            if noise > NOISE_LIMIT or deviation.max() > 2 * deviation.min():
                continue
            candidate = (spread(exact[pair]), noise, gain, seed)
            best = candidate if best is None else max(best, candidate)
    if best is None:
        raise RuntimeError(f"{reference}: no gain and seed give logits that prove anything.")
    width, noise, gain, seed = best
    answer = double(fill_all(tensors, gain), golden_images(2, image_size, seed))
    points = tuple(
        EndPoint(module, end_points[module], value.shape, float(value.mean()), float(value.std()))
        for module, value in answer.activations.items()
    )
    samples = np.stack([sample(value) for value in answer.activations.values()])
    return Golden(
        reference, image_size, seed, gain, width, noise, tensors, points,
        answer.logits.astype(np.float32), samples.astype(np.float32),
    )  # fmt: skip


def save(name: str, golden: Golden) -> None:
    """Write `golden` as the file `name`, in one step."""
    meta = asdict(golden)
    logits, samples = meta.pop("logits"), meta.pop("samples")
    meta["tensors"] = [(t.name, t.shape, t.layout) for t in golden.tensors]
    text = json.dumps(meta, separators=(",", ":")).encode()
    write_npz(name, logits=logits, end_points=samples, meta=np.frombuffer(text, np.uint8))


def write_npz(name: str, **arrays: np.ndarray) -> None:
    """Write arrays to FOLDER/name.npz, in one step."""
    FOLDER.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    temporary = FOLDER / f"{name}.npz.part"
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, FOLDER / f"{name}.npz")


def table_row(name: str, golden: Golden) -> str:
    """The file's row in README.md."""
    return (
        f"| {name} | {golden.image_size} | {len(golden.tensors)} | {golden.gain} "
        f"| {golden.spread:.2f} | {golden.noise:.0e} |"
    )


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.npz")):
        if path.stem != "photos" and not path.stem.startswith("dense_"):
            print(table_row(path.stem, load(path.stem)))
