"""Mean average precision is pycocotools', mean IoU is what it says."""

import numpy as np
import pytest

import slimnets
from tests.reference.make_average_precision import CLASSES, numbers, with_crowds

# What tests/reference/make_average_precision.py printed (pycocotools 2.0.11).
AP = [0.17473857311370597, 0.3738086852163477, 0.13312429418351332]
AP_WITH_CROWDS = [0.1967012575743117, 0.4239864540682448, 0.13338749193133714]


@pytest.mark.parametrize(("made", "wanted"), [(numbers, AP), (with_crowds, AP_WITH_CROWDS)])
def test_the_official_tools_figures(made, wanted):
    found = slimnets.mean_precision(*made(), CLASSES)
    np.testing.assert_allclose([found.mean, found.at_50, found.at_75], wanted, atol=1e-9)


def test_a_class_without_objects_is_in_no_mean():
    box = [[0.1, 0.1, 0.5, 0.5]]
    found = slimnets.mean_precision([(np.array(box), np.array([0]), np.array([0.9]))],
                                    [(box, [0])], 2)  # fmt: skip
    assert found.mean == pytest.approx(1)
    assert np.isnan(found.by_class[1])


def test_mean_iou():
    wanted = np.array([[0, 0, 1, 1], [255, 0, 1, 2]])
    found = np.array([[0, 1, 1, 1], [2, 0, 1, 1]])
    mean, each = slimnets.mean_iou(found, wanted, 4)
    np.testing.assert_allclose(each, [2 / 3, 3 / 5, 0, np.nan])
    assert mean == pytest.approx((2 / 3 + 3 / 5) / 3)
    with pytest.raises(ValueError, match="wanted has classes from 0 to 7"):
        slimnets.mean_iou(found, np.where(wanted == 2, 7, wanted), 4)
