"""Whatever view of a picture: boxes and masks stay with what they are of."""

import numpy as np
import pytest

import slimnets
from slimnets.data.scenes import scenes


@pytest.fixture(scope="module")
def made():
    return scenes(12, 128, most=1)


def test_boxes_stay_around_what_the_mask_shows(made):
    random, sizes, moved = np.random.default_rng(0), set(), 0
    for image, objects, mask in zip(made.images, made.objects, made.masks, strict=True):
        for _ in range(8):
            view, (boxes, classes), seen = slimnets.augment_objects(
                image, objects, mask, random=random
            )
            assert view.dtype == np.uint8
            assert view.shape[:2] == seen.shape
            sizes.add(view.shape)
            moved += not np.array_equal(boxes, objects[0])
            (box,) = boxes * np.tile(seen.shape, 2)
            rows, columns = np.nonzero((seen > 0) & (seen != 255))
            edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            assert np.abs(box - edges).max() <= 4  # letters are cut, and have soft edges
            assert set(np.unique(seen)) <= {0, classes[0] + 1, 255}
    assert len(sizes) > 20
    assert moved > 60


def test_the_same_seed_gives_the_same_view(made):
    views = [
        slimnets.augment_objects(made.images[0], made.objects[0], random=np.random.default_rng(5))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(views[0][0], views[1][0])
    assert views[0][2] is None


def test_a_picture_without_objects_has_views_too(made):
    for seed in range(8):
        _, objects, _ = slimnets.augment_objects(
            made.images[0], ([], []), random=np.random.default_rng(seed)
        )
        assert objects.boxes.shape == (0, 4)


def test_a_mask_of_another_size_is_refused(made):
    with pytest.raises(ValueError, match=r"the mask is of \(64, 64\) pixels, its picture of"):
        slimnets.augment_objects(
            made.images[0], ([], []), np.zeros((64, 64)), random=np.random.default_rng(0)
        )
