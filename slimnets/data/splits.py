"""The words that all sources of labelled images speak: splits, and a source that has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite.image_files import EncodedImage
from tflite.images import Preprocessing

# Up to here the resized pixels of a split are kept in memory; larger splits are read again every
# epoch.
_MEMORY_LIMIT_BYTES = 1 << 30

# What is known of a picture file once it was looked at: its shown size in pixels, what tells its
# bytes from others, and whether it is a JPEG that needs nothing but decoding.
LOOKS = np.dtype(
    [("height", np.int32), ("width", np.int32), ("digest", np.uint64), ("plain", np.bool_)]
)


@dataclass(frozen=True)
class Split:
    """Labelled images of one split, as they were stored.

    Attributes:
        images: uint8 array (N, H, W) or (N, H, W, C), or N paths or pictures inside files.
        labels: int64 (N,), indices into the source's class names.
        looks: `LOOKS` (N,), of pictures in files; None of arrays.
    """

    images: np.ndarray | tuple[str | EncodedImage, ...]
    labels: np.ndarray
    looks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: np.ndarray) -> Split:
        """The images at `indices`, in that order."""
        looks = None if self.looks is None else self.looks[indices]
        if isinstance(self.images, np.ndarray):
            return Split(self.images[indices], self.labels[indices], looks)
        return Split(tuple(self.images[i] for i in indices), self.labels[indices], looks)

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
class Annotated:
    """Pictures of one split with what is where in them, as they were stored.

    Attributes:
        images: uint8 array (N, H, W, C), or N paths.
        objects: of each picture (boxes, classes): float32 (n, 4) of ymin, xmin, ymax, xmax in
            fractions of the picture, and integers; None: no boxes are known.
        masks: the class of each pixel, uint8 (N, H, W), or N paths of PNG files; 255 counts for
            nothing. None: none are known. Where there are boxes too, 0 is the background and class
            k of the boxes is k + 1.
        judged: what detections are judged by where that is not `objects`: of each picture (boxes,
            classes, ignored), as `slimnets.mean_precision` takes them.
    """

    images: np.ndarray | tuple[str, ...]
    objects: tuple[tuple[np.ndarray, np.ndarray], ...] | None = None
    masks: np.ndarray | tuple[str, ...] | None = None
    judged: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: np.ndarray) -> Annotated:
        """The pictures at `indices`, in that order."""

        def chosen(values: Any) -> Any:
            if values is None:
                return None
            if isinstance(values, np.ndarray):
                return values[indices]
            return tuple(values[i] for i in indices)

        parts = self.images, self.objects, self.masks, self.judged
        return Annotated(*map(chosen, parts))


@dataclass(frozen=True)
class Source:
    """A data set: its splits ("train", "val", perhaps "test") and class names, in label order.

    `skipped` tells what could not be used, a line each: pictures, or boxes (of files only). The
    splits of a source for detectors and segmenters are `Annotated`; its class names are those of
    the boxes, or, where there are masks alone, of their values.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Any]
    skipped: tuple[str, ...] = ()

    @property
    def mask_names(self) -> tuple[str, ...]:
        """Of the masks' values: where there are boxes too, their background is the first."""
        has_boxes = next(iter(self.splits.values())).objects is not None
        return ("background", *self.class_names) if has_boxes else self.class_names

    def split(self, name: str | None = None) -> tuple[str, Any]:
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


def _join(splits: list[Any]) -> Any:
    if isinstance(splits[0], Annotated):
        images, objects, masks = (
            _concatenated([getattr(split, name) for split in splits])
            for name in ("images", "objects", "masks")
        )
        judged = None
        if any(split.judged for split in splits):
            judged = _concatenated([split.judged or split.objects for split in splits])
        return Annotated(images, objects, masks, judged)
    labels = np.concatenate([split.labels for split in splits])
    if isinstance(splits[0].images, np.ndarray):
        return Split(np.concatenate([split.images for split in splits]), labels)
    images = tuple(image for split in splits for image in split.images)
    return Split(images, labels, np.concatenate([split.looks for split in splits]))


def _concatenated(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return tuple(one for part in parts for one in part)
