"""Segmenters' files: their class maps are Keras's, and MediaPipe's are theirs."""

import dataclasses

import numpy as np
import pytest

import slimnets
import tflite
from slimnets.data.scenes import scenes
from tests.helpers.lively import lively

SIZE, NAMES = 64, ("background", "0", "1", "7")
pytestmark = pytest.mark.slow  # converts


@pytest.fixture(scope="module")
def pictures():
    return scenes(16, SIZE).images


@pytest.fixture(scope="module")
def model():
    return lively(
        slimnets.lraspp(
            "mobilenet_v1_025",
            style="paper",
            num_classes=4,
            input_shape=(SIZE, SIZE, 3),
            resize=False,
        )
    )


def convert(model, pictures, **kwargs):
    how = dataclasses.replace(slimnets.preprocessing("ssdlite"), size=(SIZE, SIZE))
    return tflite.convert(
        model,
        calibration=how(pictures),
        preprocessing=how,
        labels=NAMES,
        effort="fast",
        **kwargs,
    )


def test_all_of_a_segmenter_maps_to_an_edge_tpu(model, pictures):
    file = convert(model, pictures, target="coral")
    report = tflite.check_edgetpu(file.bytes)
    assert report.ok, str(report)
    assert file.report.agreement.top1_agreement > 0.9


def test_mediapipe_gives_the_files_own_class_map(model, pictures):
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    file = convert(model, pictures, precision="float32")
    maps = tflite.Predictor(file.bytes).predict(pictures).argmax(-1)
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_buffer=file.bytes),
        output_category_mask=True,
        output_confidence_masks=True,
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        assert tuple(segmenter.labels) == NAMES
        agreeing = []
        for picture, wanted in zip(pictures, maps, strict=True):
            image = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture)
            )
            found = segmenter.segment(image)
            mask = np.squeeze(found.category_mask.numpy_view())
            # MediaPipe enlarges the scores of 1/8 to the picture: compare at the cells' middles.
            middles = mask[4::8, 4::8]
            agreeing.append((middles == wanted).mean())
            sums = sum(one.numpy_view() for one in found.confidence_masks)
            np.testing.assert_allclose(sums, 1, atol=0.01)
    assert np.mean(agreeing) >= 0.9
