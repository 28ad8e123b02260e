"""Random parts of pictures, cut out of the originals; of a JPEG no more is decoded than needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from slimnets.data.splits import Split
from tflite.image_files import EncodedImage, in_channels, read_image
from tflite.images import Preprocessing

_ATTEMPTS = 100
# libjpeg decodes at a half, a quarter or an eighth of the size for less work.
_RATIOS = (1, 2, 4, 8)


def reader(
    split: Split,
    preprocessing: Preprocessing,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """(index, seed) → uint8 (h, w, channels), a random part of that image resized to the input.

    The part is drawn as TF-Slim's inception preprocessing does
    (`sample_distorted_bounding_box`); it is resized bilinearly and not as in evaluation, where each
    pixel counts: a JPEG is decoded at the size next above, and only where the part is.

    Args:
        split: the images, in their original size.
        preprocessing: of the network, for its size and channels.
        area: least and greatest share of the picture's area.
        ratio: least and greatest width over height.
    """
    shape = (*preprocessing.size, preprocessing.channels)
    sizes = tf.constant(_sizes(split))
    plain = np.zeros(len(split), bool)
    if split.looks is not None and preprocessing.channels == 3:
        plain = split.looks["plain"]
    decode_jpeg = _jpeg_decoder(split, preprocessing.size) if plain.any() else None
    is_plain = tf.constant(plain)

    def decode(index: np.ndarray, begin: np.ndarray, extent: np.ndarray) -> np.ndarray:
        picture = in_channels(read_image(split.images[index]), preprocessing.channels)
        (top, left), (height, width) = begin, extent
        part = picture.crop((left, top, left + width, top + height))
        pixels = part.resize(preprocessing.size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(pixels).reshape(shape)

    def decode_any(index, begin, extent):
        pixels = tf.numpy_function(decode, [index, begin, extent], tf.uint8, stateful=False)
        return tf.ensure_shape(pixels, shape)

    def read(index: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.concat([sizes[index], [3]], 0),
            tf.zeros((1, 0, 4)),
            seed,
            min_object_covered=0.0,
            aspect_ratio_range=ratio,
            area_range=area,
            max_attempts=_ATTEMPTS,
            use_image_if_no_bounding_boxes=True,
        )
        begin, extent = begin[:2], extent[:2]
        if decode_jpeg is None:
            return decode_any(index, begin, extent)
        if plain.all():
            return decode_jpeg(index, begin, extent)
        return tf.cond(
            is_plain[index],
            lambda: decode_jpeg(index, begin, extent),
            lambda: decode_any(index, begin, extent),
        )

    return read


def _sizes(split: Split) -> np.ndarray:
    """int32 (N, 2): heights and widths."""
    if split.looks is None:
        return np.tile(np.array(split.images.shape[1:3], np.int32), (len(split), 1))
    return np.stack([split.looks["height"], split.looks["width"]], axis=1)


def _jpeg_decoder(split: Split, size: tuple[int, int]):
    content = _bytes_reader(split)

    def decoder(encoded, begin, extent, ratio):
        window = tf.concat([begin // ratio, tf.maximum(extent // ratio, 1)], 0)
        return lambda: tf.io.decode_and_crop_jpeg(
            encoded, window, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )

    def decode(index, begin, extent):
        encoded = content(index)
        # How many times the part is larger than what becomes of it.
        times = tf.reduce_min(extent // tf.constant(size, tf.int32))
        chosen = sum(tf.cast(times >= ratio, tf.int32) for ratio in _RATIOS[1:])
        branches = [decoder(encoded, begin, extent, ratio) for ratio in _RATIOS]
        part = tf.switch_case(chosen, branches)
        pixels = tf.image.resize(part, size)
        return tf.ensure_shape(tf.cast(tf.round(pixels), tf.uint8), (*size, 3))

    return decode


def _bytes_reader(split: Split):
    """index → the encoded bytes of that picture."""
    if not isinstance(split.images[0], EncodedImage):
        paths = tf.constant(list(map(str, split.images)))
        return lambda index: tf.io.read_file(paths[index])

    def read(index: np.ndarray) -> bytes:
        return split.images[index].read()

    def content(index):
        encoded = tf.numpy_function(read, [index], tf.string, stateful=False)
        return tf.ensure_shape(encoded, ())

    return content
