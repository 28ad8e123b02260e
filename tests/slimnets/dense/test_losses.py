"""Matching and losses are torchvision's."""

import numpy as np
import pytest

import slimnets
from slimnets.dense.losses import focal, pixel_loss
from tests.reference.make_dense_losses import numbers

# What tests/reference/make_dense_losses.py printed (torchvision 0.29.1).
BOXES, CLASSES, MATCHED = 5.0587639808654785, 14.30396842956543, [4, 3, 0]


@pytest.fixture(scope="module")
def model():
    return slimnets.ssdlite("mobilenet_v1_025", num_classes=4, input_shape=(96, 96, 3))


def test_torchvisions_matching_and_losses(model):
    logits, codes, boxes, classes = numbers()
    order = [1, 0, 3, 2]  # torchvision has x first
    objects = [(b[:, order], c - 1) for b, c in zip(boxes, classes, strict=True)]
    targets = slimnets.box_targets(model, objects)
    assert (targets["scores"] > 0).sum(1).tolist() == MATCHED
    losses = slimnets.detection_losses(model)
    found = losses["boxes"](targets["boxes"], codes[..., order].astype("float32"))
    assert np.mean(found) == pytest.approx(BOXES, rel=1e-5)
    found = losses["scores"](targets["scores"], logits.astype("float32"))
    assert np.mean(found) == pytest.approx(CLASSES, rel=1e-5)


def test_focal_loss_by_hand():
    # One anchor of class 1 with logit 0, one of background with logit log 3 (p = 3/4).
    logits = np.array([[[-50, 0.0], [-50, np.log(3)]]], "float32")
    wanted = 0.75 * 0.5**2 * np.log(2) + 0.25 * 0.75**2 * np.log(4)
    assert np.mean(focal(np.array([[1, 0]]), logits)) == pytest.approx(wanted, rel=1e-5)


def test_pixels_of_255_count_for_nothing():
    logits = np.zeros((1, 2, 2, 3), "float32")
    logits[0, 0, 0] = (50, 0, 0)
    classes = np.array([[[1, 255], [255, 255]]])
    assert np.mean(pixel_loss(classes, logits)) == pytest.approx(50, rel=1e-5)
    nothing = np.full((1, 2, 2), 255)
    assert np.mean(pixel_loss(nothing, logits)) == 0


@pytest.mark.parametrize(
    ("box", "kind", "message"),
    [
        ((0.5, 0.1, 0.2, 0.4), 0, "picture 1: the box .* has its corners swapped"),
        ((0.1, 0.1, 0.1, 0.4), 0, "has no area"),
        ((0.1, 0.1, np.nan, 0.4), 0, "is not finite"),
        ((10, 20, 30, 40), 0, "leaves the picture; edges are fractions"),
        ((0.1, 0.1, 0.2, 0.4), 4, "has class 4, and the model 4: 0 to 3, the background not"),
        ((0.1, 0.1, 0.2, 0.4), -1, "integers of at least 0"),
    ],
)
def test_a_bad_box_is_named(model, box, kind, message):
    with pytest.raises(ValueError, match=message):
        slimnets.box_targets(model, [([], []), ([box], [kind])])
