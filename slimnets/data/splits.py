"""The words that all sources of labelled images speak: splits, and a source that has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tflite.images import Preprocessing

# Up to here the resized pixels of a split are kept in memory; larger splits are read again every
# epoch.
_MEMORY_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class Split:
    """Labelled images of one split, as they were stored.

    Attributes:
        images: uint8 array (N, H, W) or (N, H, W, C), or N paths.
        labels: int64 (N,), indices into the source's class names.
    """

    images: np.ndarray | tuple[str, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: np.ndarray) -> Split:
        """The images at `indices`, in that order."""
        if isinstance(self.images, np.ndarray):
            return Split(self.images[indices], self.labels[indices])
        return Split(tuple(self.images[i] for i in indices), self.labels[indices])

    def batches(
        self, preprocessing: Preprocessing, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields (pixels uint8 (n, h, w, channels), labels int64 (n,)) in stored order,
        to the last; not normalised, so that integer models take them as they are."""
        for start in range(0, len(self), batch_size):
            chosen = slice(start, start + batch_size)
            # list(): a (N, H, W) array is N grey images here, not one image.
            yield preprocessing.pixels(list(self.images[chosen])), self.labels[chosen]

    def fits_in_memory(self, preprocessing: Preprocessing) -> bool:
        """Whether the resized images are small enough to be kept."""
        height, width = preprocessing.size
        return len(self) * height * width * preprocessing.channels <= _MEMORY_LIMIT_BYTES


@dataclass(frozen=True)
class Source:
    """A data set: its splits ("train", "val", perhaps "test") and class names, in label order.

    `skipped` names the files that could not be read (folders only).
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    skipped: tuple[str, ...] = ()

    def split(self, name: str | None = None) -> tuple[str, Split]:
        """A split by name: "all" joins every one of them, None takes "test", else "val".

        Raises:
            ValueError: there is no such split.
        """
        if name is None:
            name = "test" if "test" in self.splits else "val"
        if name == "all":
            return name, _join(list(self.splits.values()))
        if name not in self.splits:
            raise ValueError(
                f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}, "
                "and 'all' for every image."
            )
        return name, self.splits[name]


def stratified_order(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """A shuffled order of the samples in which every prefix holds all classes in proportion.

    Cutting it anywhere gives a stratified split.

    Args:
        labels: int (N,).
        seed: of the shuffle within each class.

    Returns:
        int64 (N,), a permutation.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind="stable")


def _join(splits: list[Split]) -> Split:
    labels = np.concatenate([split.labels for split in splits])
    if isinstance(splits[0].images, np.ndarray):
        return Split(np.concatenate([split.images for split in splits]), labels)
    return Split(tuple(path for split in splits for path in split.images), labels)
