"""Pictures with boxes or masks as tf.data sets for `fit`, other views of them in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict
from PIL import Image

from slimnets.data import Annotated, Source
from slimnets.dense.losses import IGNORED
from slimnets.dense.masks import read_mask
from slimnets.dense.views import augment_objects
from tflite.image_files import in_channels, read_image
from tflite.images import Preprocessing

# (boxes, classes) of a picture, and its mask → name of an output → what it should be.
Targets = Callable[[tuple[np.ndarray, np.ndarray], np.ndarray | None], Mapping[str, np.ndarray]]

# Larger pictures are first made this many times the network's input: no view needs more.
_DETAIL = 2
_MEMORY_LIMIT_BYTES = 1 << 30


def build(
    config: ConfigDict, source: Source, preprocess: Preprocessing, targets: Targets, masks: bool
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """The training and the validation pictures, (images, what `targets` makes of them).

    The same seed gives the same batches in every epoch of every run.

    Args:
        targets: of one picture; where it gives one output, the name "" stands for it.
        masks: whether masks are read.
    """
    options = config.data
    views = {"crops": options.object_crops, "flip": options.flip, "colour": options.color > 0}
    parts = source.splits
    train = _Pictures(parts["train"], preprocess, targets, masks)
    val = _Pictures(parts["val"], preprocess, targets, masks)
    count = len(parts["train"])
    order = tf.data.Dataset.range(count).shuffle(count, seed=config.seed)
    seeds = tf.data.Dataset.random(seed=config.seed, rerandomize_each_iteration=True).batch(2)
    drawn = tf.data.Dataset.zip(order, seeds).batch(
        config.batch_size, drop_remainder=count >= config.batch_size
    )
    stored = tf.data.Dataset.range(len(parts["val"])).batch(config.batch_size)
    plain = tf.zeros((0, 2), tf.int64)
    return (
        drawn.map(train.reader(views), tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE),
        stored.map(lambda i: val.reader(None)(i, plain), tf.data.AUTOTUNE).prefetch(1),
    )


class _Pictures:
    """A split's pictures, small enough to be kept if all of them fit."""

    def __init__(
        self, split: Annotated, preprocess: Preprocessing, targets: Targets, masks: bool
    ) -> None:
        self._split, self._preprocess = split, preprocess
        self._targets, self._masks = targets, masks
        height, width = preprocess.size
        size = len(split) * _DETAIL**2 * height * width * 4
        self._kept: dict[int, Any] | None = {} if size <= _MEMORY_LIMIT_BYTES else None
        _, example = self.made([0], np.zeros((0, 2)), None)
        self._names = list(example)
        self._kinds = [tf.as_dtype(value.dtype) for value in example.values()]
        self._shapes = [(None, *value.shape[1:]) for value in example.values()]

    def reader(self, views: Mapping[str, bool] | None) -> Callable[[tf.Tensor, tf.Tensor], Any]:
        """(indices, seeds) → a batch; `views`: keywords of `augment_objects`, None: as stored."""

        def arrays(indices: np.ndarray, seeds: np.ndarray) -> list[np.ndarray]:
            images, wanted = self.made(indices, seeds, views)
            return [images, *wanted.values()]

        def read(indices: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, Any]:
            made = tf.numpy_function(
                arrays, [indices, seeds], [tf.float32, *self._kinds], stateful=False
            )
            how = self._preprocess
            image = tf.ensure_shape(made[0], (None, *how.size, how.channels))
            wanted = {
                name: tf.ensure_shape(value, shape)
                for name, value, shape in zip(self._names, made[1:], self._shapes, strict=True)
            }
            return image, wanted.get("", wanted)

        return read

    def made(
        self, indices: Sequence[int], seeds: np.ndarray, views: Mapping[str, bool] | None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """A batch: float32 (B, h, w, channels), and what is wanted of each output."""
        images, wanted = [], []
        for place, index in enumerate(indices):
            image, objects, mask = self._stored(int(index))
            if views is not None:
                random = np.random.default_rng(seeds[place].astype(np.uint64))
                image, objects, mask = augment_objects(image, objects, mask, random=random, **views)
            images.append(np.ascontiguousarray(image))
            wanted.append(self._targets(objects, mask))
        stacked = {name: np.stack([one[name] for one in wanted]) for name in wanted[0]}
        return self._preprocess(images), stacked

    def _stored(self, index: int) -> tuple[np.ndarray, Any, np.ndarray | None]:
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        height, width = (side * _DETAIL for side in self._preprocess.size)
        channels = max(3, self._preprocess.channels)
        picture = in_channels(read_image(self._split.images[index]), channels)
        scale = min(1.0, max(height / picture.height, width / picture.width))
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        if size != picture.size:
            picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        mask = None
        if self._masks:
            mask = read_mask(self._split.masks[index])
            mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        objects = self._split.objects[index] if self._split.objects is not None else boxes_of(mask)
        found = np.asarray(picture), objects, mask
        if self._kept is not None:
            self._kept[index] = found
        return found


def boxes_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Around all pixels of each class but the first: what a crop should hold some of."""
    kinds = [k for k in np.unique(mask) if k not in (0, IGNORED)]
    boxes = np.zeros((len(kinds), 4), np.float32)
    for box, kind in zip(boxes, kinds, strict=True):
        rows, columns = (np.flatnonzero((mask == kind).any(axis)) for axis in (1, 0))
        box[:] = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    return boxes / np.array([*mask.shape, *mask.shape], np.float32), np.array(kinds, np.int64)


def describe(source: Source) -> str:
    """How many pictures and boxes of each class, and what was left out."""
    counts = ", ".join(f"{len(part)} {name}" for name, part in source.splits.items())
    lines = [f"{source.name}: {counts} pictures, {len(source.class_names)} classes"]
    for name, part in source.splits.items():
        if part.objects is None:
            continue
        kinds = [k for _, classes in part.objects for k in classes]
        each = np.bincount(np.array(kinds, int), minlength=len(source.class_names))
        said = ", ".join(f"{n} {k}" for n, k in zip(each, source.class_names, strict=True))
        empty = sum(not len(classes) for _, classes in part.objects)
        lines.append(f"  {name}: {len(kinds)} boxes ({said}), {empty} pictures without any")
    lines += [f"  left out: {line}" for line in source.skipped[:10]]
    if len(source.skipped) > 10:
        lines.append(f"  … and {len(source.skipped) - 10} more")
    return "\n".join(lines)
