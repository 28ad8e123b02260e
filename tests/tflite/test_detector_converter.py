"""Detectors' files: what they find, how they end, who reads them."""

import keras
import numpy as np
import pytest

import slimnets
import tflite
from slimnets.data.scenes import scenes
from tests.helpers.lively import lively
from tflite.files.records import read_graph

SIZE = 64
pytestmark = pytest.mark.slow  # converts


@pytest.fixture(scope="module")
def pictures():
    return scenes(16, SIZE)


@pytest.fixture(scope="module")
def model():
    made = lively(
        slimnets.ssdlite(
            "mobilenet_v1_025", num_classes=3, input_shape=(SIZE, SIZE, 3), style="tensorflow"
        )
    )
    for layer in made.layers:
        if layer.name.endswith(".predict.conv"):  # boxes of a picture's size, scores of both kinds
            layer.kernel.assign(layer.kernel * 0.2)
    return made


@pytest.fixture(scope="module")
def images(pictures):
    return pictures.images.astype(np.float32) / 127.5 - 1


def convert(model, pictures, images, precision, **kwargs):
    return tflite.convert_detector(
        model,
        slimnets.anchors(model),
        scores="sigmoid",
        precision=precision,
        calibration=images,
        preprocessing=slimnets.preprocessing(model),
        labels=pictures.class_names,
        effort="fast",
        **kwargs,
    )


@pytest.fixture(scope="module")
def float32(model, pictures, images):
    return convert(model, pictures, images, "float32")


@pytest.fixture(scope="module")
def int8(model, pictures, images):
    return convert(model, pictures, images, "int8", target="coral")


def test_a_float_file_finds_what_keras_finds(float32, model, images):
    agreement = float32.agreement
    assert agreement.found == agreement.detections > 50
    assert agreement.invented == 0
    assert agreement.score_error < 1e-4
    # And what slimnets finds, by suppression of its own; which clips boxes first, so that of boxes
    # that leave the picture it may keep others.
    found = slimnets.detect(
        model, images[:1], score_threshold=0.5, iou_threshold=0.6, max_detections=25
    )[0]
    boxes, classes, scores, count = run(float32.bytes, images[:1])
    best = 4
    assert count[0] >= best
    np.testing.assert_allclose(scores[0, :best], found.scores[:best], atol=1e-4)
    np.testing.assert_array_equal(classes[0, :best], found.classes[:best])
    np.testing.assert_allclose(np.clip(boxes[0, :best], 0, 1), found.boxes[:best], atol=1e-3)


def run(data, image):
    from tflite.litert import open_interpreter

    interpreter = open_interpreter(data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def test_an_int8_file_has_a_scale_for_codes_and_one_for_scores(int8):
    *body, codes, scores, last = read_graph(int8.bytes).operations
    assert [op.name for op in (codes, scores)] == ["DEQUANTIZE"] * 2
    assert last.name == "TFLite_Detection_PostProcess"
    assert scores.inputs[0].scale == (1 / 256,)
    assert codes.inputs[0].scale != scores.inputs[0].scale
    assert {tensor.type for op in body for tensor in op.outputs} == {"int8"}


def test_where_no_edge_tpu_runs_it_an_int8_files_scores_are_not_in_steps_of_1_256(
    model, pictures, images
):
    file = convert(model, pictures, images, "int8", postprocess=False)
    *body, logits, sigmoid, objects, codes = read_graph(file.bytes).operations
    assert [op.name for op in (logits, sigmoid)] == ["DEQUANTIZE", "LOGISTIC"]
    assert [op.name for op in (objects, codes)] == ["SLICE", "DEQUANTIZE"]
    assert {tensor.type for op in body for tensor in op.outputs} == {"int8"}
    _, scores = run(file.bytes, (images[:1] * 127.5 + 127.5).astype(np.uint8))
    rounded = scores * 256 % 1
    assert ((rounded > 0.01) & (rounded < 0.99)).mean() > 0.5
    # They are the sigmoids of as many logits as there are steps of 8 bits.
    assert 50 < len(np.unique(scores)) <= 256


def test_a_detectors_file_is_run_by_its_own_class_and_by_no_other(float32, pictures, images):
    with pytest.raises(ValueError, match=r"gives boxes, not probabilities: tflite\.Detector"):
        tflite.Predictor(float32.bytes)
    detector = tflite.Detector(float32.bytes)
    (found,) = detector.detect(pictures.images[0], score_threshold=0.5)
    boxes, classes, scores, _ = run(float32.bytes, images[:1])
    assert found[0].label == pictures.class_names[int(classes[0, 0])]
    assert found[0].score == pytest.approx(scores[0, 0], abs=1e-4)
    np.testing.assert_allclose(found[0].box, np.clip(boxes[0, 0], 0, 1), atol=1e-4)
    assert all(one.score > 0.5 for one in found)


def test_all_but_the_end_of_a_detector_maps_to_an_edge_tpu(int8):
    report = tflite.check_edgetpu(int8.bytes)
    assert report.ok
    assert sum(verdict.boundary for verdict in report.verdicts) == 3


def test_pycoral_finds_the_outputs_by_name(int8):
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_content=int8.bytes).get_signature_runner()
    shapes = {name: tuple(d["shape"]) for name, d in signature.get_output_details().items()}
    # count, scores, class ids, boxes.
    assert shapes == {
        "output_0": (1,), "output_1": (1, 25), "output_2": (1, 25), "output_3": (1, 25, 4)
    }  # fmt: skip


def in_mediapipe(data, picture):
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks import python as tasks

    options = tasks.vision.ObjectDetectorOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=data), score_threshold=0.51
    )
    with tasks.vision.ObjectDetector.create_from_options(options) as detector:
        found = detector.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, picture)).detections
    return sorted(found, key=lambda one: -one.categories[0].score)


def check_box(found, wanted):
    """MediaPipe's, in whole pixels, is that of ymin, xmin, ymax, xmax."""
    box, wanted = found.bounding_box, np.array(wanted) * SIZE
    np.testing.assert_allclose([box.origin_y, box.origin_x], wanted[:2], atol=1)
    np.testing.assert_allclose([box.height, box.width], wanted[2:] - wanted[:2], atol=1.5)


def test_mediapipe_finds_the_same_objects(model, pictures, images):
    file = convert(model, pictures, images, "int8", target="android")
    boxes, classes, scores, _ = run(file.bytes, pictures.images[:1])
    found = in_mediapipe(file.bytes, pictures.images[0])
    sure = int((scores[0] > 0.51).sum())
    # A box that is narrower than a pixel inside of the picture is none to MediaPipe.
    assert sure - 2 <= len(found) <= sure
    assert sure > 10
    ours = {(pictures.class_names[int(k)], s) for k, s in zip(classes[0], scores[0], strict=True)}
    theirs = {(one.categories[0].category_name, one.categories[0].score) for one in found}
    assert theirs <= ours
    check_box(found[0], boxes[0, 0])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_mediapipe_decodes_what_a_file_leaves_raw(model, pictures, images, precision):
    file = convert(model, pictures, images, precision, target="android", postprocess=False)
    assert file.agreement.found >= 0.9 * file.agreement.detections > 50
    picture = (pictures.images if precision == "int8" else images)[:1]
    codes, scores = run(file.bytes, picture)
    assert codes.shape[2] == 4
    assert scores.shape == (1, codes.shape[1], 3)  # without the background
    found = in_mediapipe(file.bytes, pictures.images[0])
    # Its suppression is another, but what is surest is the same.
    (whole,) = tflite.Detector(
        convert(model, pictures, images, precision, target="android").bytes
    ).detect(pictures.images[:1], 0.51)
    assert found[0].categories[0].category_name == whole[0].label
    assert found[0].categories[0].score == pytest.approx(whole[0].score, abs=1e-3)
    check_box(found[0], whole[0].box)


def test_a_raw_file_maps_whole_to_an_edge_tpu(model, pictures, images):
    file = convert(model, pictures, images, "int8", target="coral", postprocess=False)
    report = tflite.check_edgetpu(file.bytes)
    assert report.ok
    assert sum(verdict.boundary for verdict in report.verdicts) == 2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scores": "relu"}, "scores must be 'sigmoid' or 'softmax'"),
        ({"anchors": np.ones((3, 4))}, r"anchors must be \(\d+, 4\) for this model"),
        (
            {"preprocessing": slimnets.preprocessing("mobilenet_v1")},
            "must squeeze the whole picture",
        ),
        ({"iou_threshold": 0}, "iou_threshold must be a number from 0 to 1"),
        ({"labels": ["background", "0", "1", "7"]}, "3 classes, but 4 labels"),
    ],
)
def test_what_does_not_fit_is_said(model, kwargs, message):
    options = {"anchors": slimnets.anchors(model), "scores": "sigmoid", "precision": "float32"}
    with pytest.raises(ValueError, match=message):
        tflite.convert_detector(model, **{**options, **kwargs})


def test_a_classifier_is_no_detector():
    image = keras.Input((8, 8, 3))
    classifier = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    with pytest.raises(ValueError, match="no detector with outputs 'boxes'"):
        tflite.convert_detector(classifier, np.ones((3, 4)), scores="sigmoid")
