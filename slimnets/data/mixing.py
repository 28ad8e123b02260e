"""Mixed batches: two images in one, their labels in proportion.

Keras has layers of these names, but they draw from a counter of their own, which neither starts
again with the seed nor goes on after a kill; Keras 3.8, our oldest, has no CutMix.
"""

from __future__ import annotations

import tensorflow as tf


def mix(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, mixup: float, cutmix: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """A batch in which each image is mixed with the one before it: in a shuffled batch, any other.

    With both kinds asked for, a batch gets one of them, drawn evenly.

    Args:
        images: float32 (B, h, w, c).
        labels: float32 (B, classes).
        seed: int64 (2,); the same gives the same.
        mixup: alpha of mixup (Zhang et al., arXiv:1710.09412), whose share of the first image is
            drawn from Beta(alpha, alpha); 0: none.
        cutmix: that of CutMix (Yun et al., arXiv:1905.04899), which pastes a rectangle; 0: none.
    """
    if mixup and cutmix:
        return tf.cond(
            tf.random.stateless_uniform((), seed) < 0.5,
            lambda: _mixup(images, labels, seed + 1, mixup),
            lambda: _cutmix(images, labels, seed + 1, cutmix),
        )
    if mixup:
        return _mixup(images, labels, seed + 1, mixup)
    return _cutmix(images, labels, seed + 1, cutmix)


def _mixup(images, labels, seed, alpha):
    share = _beta(tf.shape(images)[0], alpha, seed)
    return _blend(images, share[:, None, None, None]), _blend(labels, share[:, None])


def _cutmix(images, labels, seed, alpha):
    count, height, width = tf.unstack(tf.shape(images)[:3])
    side = tf.sqrt(1 - _beta(count, alpha, seed))
    middle = tf.random.stateless_uniform((2, count), seed + 2)
    # A rectangle of the image's form around any pixel, as far as it lies inside.
    down = _inside(height, middle[0], side)
    across = _inside(width, middle[1], side)
    pasted = down[:, :, None] & across[:, None, :]
    share = 1 - tf.reduce_mean(tf.cast(pasted, tf.float32), axis=(1, 2))
    mixed = tf.where(pasted[..., None], tf.roll(images, 1, axis=0), images)
    return mixed, _blend(labels, share[:, None])


def _inside(size, middle, side):
    """bool (B, size): which pixels of one direction lie in the rectangle."""
    first = tf.round((middle - side / 2) * tf.cast(size, tf.float32))
    last = tf.round((middle + side / 2) * tf.cast(size, tf.float32))
    places = tf.range(size, dtype=tf.float32)
    return (places >= first[:, None]) & (places < last[:, None])


def _blend(values, share):
    return share * values + (1 - share) * tf.roll(values, 1, axis=0)


def _beta(count, alpha, seed):
    draws = tf.random.stateless_gamma((2, count), seed, alpha)
    # Of a small alpha both may come out as zero.
    draws = tf.maximum(draws, 1e-30)
    return draws[0] / (draws[0] + draws[1])
