"""Other views of calibration images, for what is fitted to few of them."""

import numpy as np

# The sides of what is cut out, as shares of the image's.
_LEAST, _MOST = 0.5, 0.9


def with_views(images: np.ndarray) -> np.ndarray:
    """The images, then all of them mirrored, then a part of each enlarged to its size.

    The same images give the same parts.

    Args:
        images: float32 (N, height, width, channels).

    Returns:
        float32 (3·N, height, width, channels).
    """
    import tensorflow as tf

    height, width = images.shape[1:3]
    random = np.random.default_rng(0)
    parts = []
    for image in images:
        share = random.uniform(_LEAST, _MOST)
        tall, wide = max(1, round(share * height)), max(1, round(share * width))
        top, left = random.integers(height - tall + 1), random.integers(width - wide + 1)
        part = image[top : top + tall, left : left + wide]
        parts.append(tf.image.resize(part, (height, width)).numpy())
    return np.concatenate([images, images[:, :, ::-1], np.stack(parts)])
