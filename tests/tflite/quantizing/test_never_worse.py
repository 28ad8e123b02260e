"""keras.applications' networks in int8: what more effort does is never worse than "fast"."""

import keras
import pytest

import tflite
from tests.helpers.lively import lively
from tests.tflite.quantizing.test_effort import pictures

SIZE = 64
# Input shape and classes; V3 takes -1 .. 1, EfficientNet rescales 0 .. 255 by itself.
NETWORKS = {
    "MobileNetV3Small": (
        lambda: keras.applications.MobileNetV3Small(
            (SIZE, SIZE, 3),
            alpha=0.5,
            weights=None,
            classes=10,
            classifier_activation=None,
            include_preprocessing=False,
        ),
        lambda images: images,
    ),
    "EfficientNetB0": (
        lambda: keras.applications.EfficientNetB0(
            input_shape=(SIZE, SIZE, 3), weights=None, classes=10, classifier_activation=None
        ),
        lambda images: (images + 1) * 127.5,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_normal_is_never_worse_than_fast_on_images_not_seen(name):
    build, prepared = NETWORKS[name]
    model = lively(build())
    images, unseen = (prepared(pictures(count, seed, SIZE)) for count, seed in ((24, 1), (32, 99)))
    fast, normal = (
        tflite.compare(
            model,
            tflite.convert(model, calibration=images, effort=effort, output_type="float32").bytes,
            unseen,
        ).sqnr_db
        for effort in ("fast", "normal")
    )
    assert normal >= fast
