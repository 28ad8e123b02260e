"""A split as a tf.data pipeline for `model.fit`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from slimnets.data.splits import Split
from tflite.images import Preprocessing


def training_dataset(
    split: Split,
    preprocessing: Preprocessing,
    *,
    num_classes: int,
    batch_size: int,
    seed: int,
    flip: bool = False,
    shift: int = 0,
) -> tf.data.Dataset:
    """Shuffled, augmented batches of images, float32 (B, h, w, channels), and one-hot labels,
    float32 (B, num_classes).

    The same seed gives the same batches in every epoch of every run; each epoch is shuffled and
    augmented anew. The last batch is dropped if it is not full, unless it is the only one.

    Args:
        split: the images.
        preprocessing: of the network.
        num_classes: width of the one-hot labels.
        batch_size: images a step.
        seed: of shuffling and augmentation.
        flip: mirror every other image, left to right.
        shift: move each image by up to this many pixels of the network's input in each direction;
            what comes in is black.
    """
    order = tf.data.Dataset.range(len(split)).shuffle(len(split), seed=seed)
    images = order.map(_reader(split, preprocessing, num_classes), tf.data.AUTOTUNE)
    if flip or shift:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        shape = (*preprocessing.size, preprocessing.channels)
        augment = _augmenter(shape, flip, shift)
        images = tf.data.Dataset.zip(images, seeds).map(augment, tf.data.AUTOTUNE)
    batches = images.batch(batch_size, drop_remainder=len(split) >= batch_size)
    return _finish(batches, preprocessing)


def evaluation_dataset(
    split: Split, preprocessing: Preprocessing, *, num_classes: int, batch_size: int
) -> tf.data.Dataset:
    """Like `training_dataset`, in stored order, plain and complete."""
    order = tf.data.Dataset.range(len(split))
    images = order.map(_reader(split, preprocessing, num_classes), tf.data.AUTOTUNE)
    return _finish(images.batch(batch_size), preprocessing)


def _reader(split: Split, preprocessing: Preprocessing, num_classes: int):
    """index → (uint8 pixels (h, w, channels), one-hot label)."""
    shape = (*preprocessing.size, preprocessing.channels)
    labels = tf.constant(split.labels)
    if split.fits_in_memory(preprocessing):
        whole = np.concatenate([pixels for pixels, _ in split.batches(preprocessing, 256)])
        pixels = tf.constant(whole)
        return lambda i: (pixels[i], tf.one_hot(labels[i], num_classes))

    def decode(index: np.ndarray) -> np.ndarray:
        return preprocessing.pixels(split.images[index])

    def read(index: tf.Tensor):
        image = tf.numpy_function(decode, [index], tf.uint8, stateful=False)
        return tf.ensure_shape(image, shape), tf.one_hot(labels[index], num_classes)

    return read


def _augmenter(shape: tuple[int, int, int], flip: bool, shift: int):
    def augment(sample, seed: tf.Tensor):
        image, label = sample
        if flip:
            image = tf.image.stateless_random_flip_left_right(image, seed)
        if shift:
            padded = tf.pad(image, [[shift, shift], [shift, shift], [0, 0]])
            # Another seed than the flip's, or the two would go together.
            image = tf.image.stateless_random_crop(padded, shape, seed + 1)
        return image, label

    return augment


def _finish(batches: tf.data.Dataset, preprocessing: Preprocessing) -> tf.data.Dataset:
    scale, offset = (tf.constant(v, tf.float32) for v in preprocessing.affine())
    return batches.map(
        lambda pixels, labels: (tf.cast(pixels, tf.float32) * scale + offset, labels),
        tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)
