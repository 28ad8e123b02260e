"""A split as a tf.data pipeline for `model.fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from slimnets.data import augmentation, mixing, random_crops
from slimnets.data.splits import Split
from tflite.images import Preprocessing

_CHUNK = 64


def training_dataset(
    split: Split,
    preprocessing: Preprocessing,
    *,
    num_classes: int,
    batch_size: int,
    seed: int,
    flip: bool = False,
    shift: int = 0,
    crop_area: tuple[float, float] | tuple[()] = (),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    color: float = 0.0,
    rand_augment: tuple[int, float] | tuple[()] = (),
    mixup: float = 0.0,
    cutmix: float = 0.0,
    balanced: bool = False,
    class_weights: Sequence[float] | None = None,
) -> tf.data.Dataset:
    """Shuffled, augmented batches of images, float32 (B, h, w, channels), and labels, float32
    (B, num_classes), one-hot or, where images are mixed, in proportion; with class weights also
    what each image counts, float32 (B,).

    The same seed gives the same batches in every epoch of every run; each epoch is shuffled and
    augmented anew. The last batch is dropped if it is not full, unless it is the only one.

    Args:
        split: the images.
        preprocessing: of the network.
        num_classes: width of the labels.
        batch_size: images a step.
        seed: of shuffling and augmentation.
        flip: mirror every other image, left to right.
        shift: move each image by up to this many pixels of the network's input in each direction;
            what comes in is black.
        crop_area: cut a random part out of each original, of a share of its area in this range;
            empty: what evaluation takes.
        crop_ratio: the part's width over height, least and greatest.
        color: see `augmentation.jitter`; 0: none.
        rand_augment: (operations, magnitude), see `augmentation.rand_augment`; empty: none.
        mixup, cutmix: see `mixing.mix`; 0: none.
        balanced: draw as many images of each class, some of them again or not at all, instead of
            each image once.
        class_weights: one a class.
    """
    order = _balanced_order(split.labels, seed) if balanced else _order(len(split), seed)
    labels = tf.constant(split.labels)
    shape = (*preprocessing.size, preprocessing.channels)
    if crop_area:
        read = random_crops.reader(split, preprocessing, crop_area, crop_ratio)
    else:
        stored = _reader(split, preprocessing)
        read = lambda index, _: stored(index)  # noqa: E731
    change = _changes(shape, flip, shift, color, rand_augment)

    def sample(index: tf.Tensor, seeds: tf.Tensor):
        # Other seeds than those of the changes, or they would go together.
        image = change(read(index, seeds + 2), seeds)
        return image, tf.one_hot(labels[index], num_classes)

    samples = tf.data.Dataset.zip(order, _seeds(seed)).map(sample, tf.data.AUTOTUNE)
    batches = samples.batch(batch_size, drop_remainder=len(split) >= batch_size)
    batches = _normalized(batches, preprocessing, tf.float32)
    if mixup or cutmix:
        batches = tf.data.Dataset.zip(batches, _seeds(seed + 1)).map(
            lambda batch, seeds: mixing.mix(*batch, seeds, mixup, cutmix), tf.data.AUTOTUNE
        )
    if class_weights is not None:
        weights = tf.constant(class_weights, tf.float32)[:, None]
        batches = batches.map(lambda x, y: (x, y, tf.matmul(y, weights)[:, 0]), tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_dataset(
    split: Split, preprocessing: Preprocessing, *, num_classes: int, batch_size: int
) -> tf.data.Dataset:
    """Like `training_dataset`, in stored order, plain and complete: to the bit what
    `preprocessing` makes of the images."""
    labels, read = tf.constant(split.labels), _reader(split, preprocessing)
    images = tf.data.Dataset.range(len(split)).map(
        lambda index: (read(index), tf.one_hot(labels[index], num_classes)), tf.data.AUTOTUNE
    )
    # float64 is what `preprocessing` calculates in: not even the last bit differs.
    batches = _normalized(images.batch(batch_size), preprocessing, tf.float64)
    return batches.prefetch(tf.data.AUTOTUNE)


def _order(count: int, seed: int) -> tf.data.Dataset:
    return tf.data.Dataset.range(count).shuffle(count, seed=seed)


def _balanced_order(labels: np.ndarray, seed: int) -> tf.data.Dataset:
    """Indices, as many as there are labels, in which all classes are equally frequent."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    shares = np.diff(np.linspace(0, len(labels), len(members) + 1).round().astype(int))

    def draw(seeds: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(seeds.astype(np.uint64))
        # Whose share is one larger is drawn, too.
        drawn = [
            np.concatenate([rng.permutation(m) for _ in range(-(-share // len(m)))])[:share]
            for m, share in zip(members, rng.permutation(shares), strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))

    def epoch(seeds: tf.Tensor) -> tf.data.Dataset:
        order = tf.numpy_function(draw, [seeds], tf.int64, stateful=False)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, labels.shape))

    order = _seeds(seed).take(1).flat_map(epoch)
    return order.apply(tf.data.experimental.assert_cardinality(len(labels)))


def _seeds(seed: int) -> tf.data.Dataset:
    """Pairs of numbers without end, others each time it is gone through."""
    return tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)


def _reader(split: Split, preprocessing: Preprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
    """index → uint8 pixels (h, w, channels), those of `preprocessing`."""
    shape = (*preprocessing.size, preprocessing.channels)
    if split.fits_in_memory(preprocessing):
        pixels = tf.constant(_all_pixels(split, preprocessing))
        return lambda index: pixels[index]

    def decode(index: np.ndarray) -> np.ndarray:
        return preprocessing.pixels(split.images[index])

    def read(index: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(decode, [index], tf.uint8, stateful=False)
        return tf.ensure_shape(image, shape)

    return read


def _all_pixels(split: Split, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (N, h, w, channels), read by all cores."""
    pixels = np.empty((len(split), *preprocessing.size, preprocessing.channels), np.uint8)

    def fill(start: int) -> None:
        chosen = slice(start, start + _CHUNK)
        pixels[chosen] = preprocessing.pixels(list(split.images[chosen]))

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(0, len(split), _CHUNK)))
    return pixels


def _changes(
    shape: tuple[int, int, int],
    flip: bool,
    shift: int,
    color: float,
    rand_augment: tuple[int, float] | tuple[()],
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """(uint8 image, seeds) → the image changed."""

    def by_pillow(image: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        return augmentation.changed(image, seeds, color, rand_augment)

    def change(image: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        if flip:
            image = tf.image.stateless_random_flip_left_right(image, seeds)
        if shift:
            padded = tf.pad(image, [[shift, shift], [shift, shift], [0, 0]])
            # Another seed than the flip's, or the two would go together.
            image = tf.image.stateless_random_crop(padded, shape, seeds + 1)
        if color or rand_augment:
            image = tf.numpy_function(by_pillow, [image, seeds], tf.uint8, stateful=False)
            image = tf.ensure_shape(image, shape)
        return image

    return change


def _normalized(
    batches: tf.data.Dataset, preprocessing: Preprocessing, kind: tf.DType
) -> tf.data.Dataset:
    """Pixels as the network takes them, in float32 after arithmetic of this kind."""
    (height, width), channels = preprocessing.size, preprocessing.channels
    # A row at a time: TensorFlow takes five times as long where three numbers repeat.
    scale, offset = (tf.constant(np.tile(v, width), kind) for v in preprocessing.affine())

    def normalize(pixels: tf.Tensor, labels: tf.Tensor):
        rows = tf.cast(tf.reshape(pixels, (-1, height, width * channels)), kind)
        rows = tf.cast(rows * scale + offset, tf.float32)
        return tf.reshape(rows, (-1, height, width, channels)), labels

    return batches.map(normalize, tf.data.AUTOTUNE)
