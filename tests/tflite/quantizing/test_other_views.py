"""Views of calibration images are of the same images."""

import numpy as np

from tflite.quantizing.other_views import with_views


def test_views_are_the_images_their_mirrors_and_parts_of_them():
    images = np.random.default_rng(0).uniform(-1, 1, (5, 9, 12, 3)).astype(np.float32)
    views = with_views(images)
    assert (views.shape, views.dtype) == ((15, 9, 12, 3), np.float32)
    np.testing.assert_array_equal(views[:5], images)
    np.testing.assert_array_equal(views[5:10, :, 0], images[:, :, -1])
    for part, image in zip(views[10:], images, strict=True):
        # Interpolated between the image's own pixels.
        assert image.min() <= part.min() < part.max() <= image.max()
    np.testing.assert_array_equal(with_views(images), views)


def test_the_smallest_image_has_views():
    assert with_views(np.ones((2, 1, 1, 1), np.float32)).tolist() == np.ones((6, 1, 1, 1)).tolist()
