"""A Keras detector to a .tflite file that gives boxes, classes, scores and their count."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from tflite import keras_models
from tflite.converter import check_options, make
from tflite.files import detection_operator, flatbuffer, writing
from tflite.files.detection_operator import OUTPUT_NAMES, RAW_NAMES, Choice
from tflite.files.labels import check_labels
from tflite.files.metadata import Metadata
from tflite.files.metadata_writing import append_labels, attach
from tflite.files.signature import set_signature
from tflite.litert import open_interpreter
from tflite.runtime import dequantize

if TYPE_CHECKING:
    import keras

_ACTIVATIONS = ("sigmoid", "softmax")
# What a detection must be for the file to have found "the same": a box that is almost this one.
_SURE, _SAME_BOX = 0.5, 0.9
_COMPARED = 100


@dataclass(frozen=True)
class DetectorAgreement:
    """How far a file's detections are the Keras model's, where Keras is sure (score 0.5 and more).

    Attributes:
        images: compared.
        detections: Keras's above 0.5.
        found: those of them for which the file has a box of the class with IoU of 0.9 and more.
        invented: the file's above 0.5 that are near none of Keras's above 0.25.
        score_error: mean difference of scores of those found.
    """

    images: int
    detections: int
    found: int
    invented: int
    score_error: float

    def __str__(self) -> str:
        return (
            f"{self.found} of {self.detections} detections above {_SURE:g} are in the file too "
            f"(IoU ≥ {_SAME_BOX:g}), {self.invented} are in the file alone; scores differ by "
            f"{self.score_error:.3f} in the mean ({self.images} images)"
        )


@dataclass(frozen=True)
class DetectorConversion:
    """`path` (None: not written), the file's `bytes`, its `agreement`, and `doubts` in words."""

    path: Path | None
    bytes: bytes
    agreement: DetectorAgreement
    doubts: tuple[str, ...]

    def __repr__(self) -> str:
        return f"DetectorConversion(path={str(self.path)!r}, {len(self.bytes)} bytes)"


def convert_detector(
    model_or_path: "keras.Model | str | os.PathLike",
    anchors: np.ndarray,
    out: str | os.PathLike | None = None,
    *,
    scores: str,
    precision: str = "int8",
    target: str = "android",
    calibration: Iterable[np.ndarray] | np.ndarray | None = None,
    input_type: str | None = None,
    preprocessing: Any = None,
    labels: Iterable[str] | str | os.PathLike | None = None,
    max_detections: int = 25,
    score_threshold: float = 0.01,
    iou_threshold: float = 0.6,
    effort: str = "normal",
    postprocess: bool = True,
) -> DetectorConversion:
    """Converts a detector with raw heads into a file that ends in TFLite_Detection_PostProcess.

    The file's outputs, float32: boxes (1, max_detections, 4), ymin, xmin, ymax, xmax in fractions
    of the picture; classes (1, max_detections), 0 for the first that is no background; scores;
    and their count (1,). Unused slots are 0. An int8 body has scales of their own for codes and
    scores. Metadata for MediaPipe's ObjectDetector and the TFLite Task Library, and the signature
    that pycoral reads. The detections are compared with the Keras model's on the calibration
    images (or noise): where less than 98 % of the sure ones are there, a doubt says so.

    Args:
        model_or_path: a model or its `.keras` file, as `slimnets.ssdlite(…)`. Its layer "boxes"
            gives codes (B, n, 4), (dy, dx, dh, dw) times (10, 10, 5, 5), and "scores" logits
            (B, n, 1 + classes), the background first.
        anchors: (n, 4), y, x, height, width in fractions of the picture: `slimnets.anchors(model)`.
        out: where to write the file; a report goes beside it as `<stem>.report.json`.
        scores: "sigmoid" or "softmax": what makes probabilities of the logits. (A softmax over
            anchors does not map to an Edge TPU: detectors for Coral have sigmoids.)
        precision: "int8", "float32", "float16" or "dynamic".
        target, calibration, input_type, preprocessing, effort: as in `tflite.convert`.
        labels: one name a class, or the path of a text file with one a line; no background.
        max_detections, score_threshold, iou_threshold: of the operator.
        postprocess: False leaves the operator out: the outputs are codes (1, n, 4) and scores
            (1, n, classes), float32, without the background, and who reads the file decodes them;
            MediaPipe does, by the anchors in the metadata.

    Raises:
        ValueError, TypeError, OSError: as `tflite.convert`; a model without these heads; anchors
            that are not as many; a threshold out of range.
    """
    if scores not in _ACTIVATIONS:
        raise ValueError(f"scores must be 'sigmoid' or 'softmax', got {scores!r:.80}.")
    model = keras_models.load(model_or_path)
    packed, count, width = _packed(model, scores)
    anchors = np.asarray(anchors, np.float32)
    if anchors.shape != (count, 4) or not (anchors[:, 2:] > 0).all():
        raise ValueError(
            f"anchors must be ({count}, 4) for this model, y, x, height and width above 0; got "
            f"{anchors.shape}."
        )
    choice = _checked(Choice(width - 1, max_detections, score_threshold, iou_threshold))
    if precision == "int16x8":
        raise ValueError("precision of a detector must be int8, float32, float16 or dynamic.")
    inner = "int8" if precision == "int8" else "float32"
    device, form = check_options(precision, target, input_type, inner, 1)
    labels = check_labels(labels, choice.classes)
    if out is not None:
        out = writing.check_writable(out)
    shape = keras_models.check(packed)
    _check_whole(preprocessing)
    made = make(
        packed, shape, device, form, calibration, preprocessing, effort=effort, detects=True
    )

    flat = flatbuffer.unpack(made.lowered.file)
    heads = _heads(flat)
    if not device.runs_on_edgetpu:
        detection_operator.sharpen(flat, heads[1])
    metadata = Metadata(image=made.image, labels=labels, name=model.name)
    if postprocess:
        detection_operator.append(flat, *heads, anchors, choice)
        set_signature(flat, ["image"], OUTPUT_NAMES)
    else:
        detection_operator.leave_raw(flat, *heads)
        set_signature(flat, ["image"], RAW_NAMES)
        metadata = replace(metadata, anchors=anchors)
    flat.description = "Converted from Keras."
    attach(flat, metadata)
    data = append_labels(flatbuffer.pack(flat), labels)

    agreement = _compare(packed, data, made.samples[:_COMPARED], anchors, width, choice, made.image)
    doubts = [*made.doubts, *_doubts(agreement, precision)]
    if device.takes_source:
        doubts.append("no C++ is written beside a detector's file, as beside others for micro.")
    for doubt in doubts:
        logging.warning("%s", doubt)
    if out is not None:
        writing.write_bytes(out, data)
        told = {"agreement": asdict(agreement), "doubts": doubts, "operator": asdict(choice)}
        writing.write_bytes(out.with_suffix(".report.json"), json.dumps(told, indent=2).encode())
    return DetectorConversion(out, data, agreement, tuple(doubts))


def _checked(choice: Choice) -> Choice:
    if not isinstance(choice.max_detections, int) or not 0 < choice.max_detections <= 10_000:
        raise ValueError(
            f"max_detections must be an integer of at least 1, got {choice.max_detections!r:.80}."
        )
    for name, low in (("score_threshold", 0), ("iou_threshold", 1e-6)):
        value = getattr(choice, name)
        if not isinstance(value, int | float) or not low <= value <= 1:
            raise ValueError(f"{name} must be a number from 0 to 1, got {value!r:.80}.")
    return choice


def _check_whole(preprocessing: Any) -> None:
    crop = getattr(preprocessing, "crop_fraction", 1)
    if crop != 1 or getattr(preprocessing, "keep_aspect_ratio", False):
        raise ValueError(
            "preprocessing of a detector must squeeze the whole picture to the model's size "
            "(crop_fraction=1, keep_aspect_ratio=False), for boxes are fractions of what the model "
            f"sees; got crop_fraction={crop}, "
            f"keep_aspect_ratio={getattr(preprocessing, 'keep_aspect_ratio', False)}."
        )


def _packed(model: "keras.Model", scores: str) -> tuple["keras.Model", int, int]:
    """The heads side by side as one output, (B, n, 4 + K); n and K.

    The conversion knows networks with one output. The operator that joins them is taken out of the
    file again, and with it the scale that they would share.
    """
    import keras

    heads = dict(zip(getattr(model, "output_names", ()), model.outputs, strict=False))
    codes, logits = heads.get("boxes"), heads.get("scores")
    if codes is None or logits is None or codes.shape[1:] != (logits.shape[1], 4):
        raise ValueError(
            f"model {model.name!r} is no detector with outputs 'boxes' (batch, n, 4) and 'scores' "
            "(batch, n, 1 + classes), such as slimnets.ssdlite(…)."
        )
    probabilities = keras.layers.Activation(scores, name="probabilities")(logits)
    joined = keras.layers.Concatenate(axis=-1, name="heads")([codes, probabilities])
    packed = keras.Model(model.inputs[0], joined, name=model.name)
    return packed, int(codes.shape[1]), int(logits.shape[-1])


def _heads(flat: Any) -> tuple[int, int]:
    """The tensors of codes and scores, once what joins them is taken off the file's end."""
    graph = flat.subgraphs[0]
    written_by = flatbuffer.producers(graph)
    join = written_by[int(graph.outputs[0])]
    if flatbuffer.operator_name(flat, join) != "CONCATENATION" or len(join.inputs) != 2:
        raise RuntimeError(
            "the converter made something else of a detector's heads than was expected "
            f"({flatbuffer.operator_name(flat, join)}); please report the model."
        )
    dead, heads = [join], []
    for index in map(int, join.inputs):
        # A head whose range is another's is requantized before it is joined.
        producer = written_by[index]
        while flatbuffer.operator_name(flat, producer) == "QUANTIZE":
            dead.append(producer)
            index = int(producer.inputs[0])
            producer = written_by[index]
        heads.append(index)
    graph.operators = [
        operator for operator in graph.operators if not any(operator is d for d in dead)
    ]
    return heads[0], heads[1]


# --- The check ---------------------------------------------------------------------------------


def _compare(
    packed: "keras.Model",
    data: bytes,
    images: np.ndarray,
    anchors: np.ndarray,
    width: int,
    choice: Choice,
    image: Any,
) -> DetectorAgreement:
    """The file's detections beside those that the operator finds in the Keras model's heads."""
    reference = _opened(flatbuffer.pack(detection_operator.alone(anchors, width, choice)))
    file = _opened(data)
    wanted = found = invented = 0
    errors = []
    for one in images:
        heads = np.asarray(packed(one[np.newaxis], training=False), np.float32)
        ours = _kept(_outputs(reference, heads[..., :4], heads[..., 4:]))
        theirs = _outputs(file, _entering(file, one, image))
        if len(theirs) == 2:  # codes and scores, without the background
            theirs = _outputs(reference, theirs[0], np.pad(theirs[1], ((0, 0), (0, 0), (1, 0))))
        theirs = _kept(theirs)
        sure = ours[2] >= _SURE
        near = _near(ours, theirs)
        wanted += int(sure.sum())
        hit = near.max(1, initial=0) >= _SAME_BOX
        found += int((sure & hit).sum())
        errors += np.abs(ours[2] - theirs[2][near.argmax(1)])[sure & hit].tolist()
        known = near[ours[2] >= _SURE / 2].max(0, initial=0) >= _SURE
        invented += int(((theirs[2] >= _SURE) & ~known).sum())
    error = float(np.mean(errors)) if errors else 0.0
    return DetectorAgreement(len(images), wanted, found, invented, error)


def _opened(data: bytes) -> Any:
    interpreter = open_interpreter(data)
    interpreter.allocate_tensors()
    return interpreter


def _entering(interpreter: Any, image: np.ndarray, how: Any) -> np.ndarray:
    """A float image of the network's input space as the file takes it."""
    details = interpreter.get_input_details()[0]
    values = image[np.newaxis] if how is None else how.to_file(image[np.newaxis])
    if details["dtype"] == np.float32:
        return values.astype(np.float32)
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.rint(values / scale + zero), limits.min, limits.max).astype(details["dtype"])


def _outputs(interpreter: Any, *inputs: np.ndarray) -> list[np.ndarray]:
    for details, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    return [
        dequantize(interpreter.get_tensor(details["index"]), details)
        for details in interpreter.get_output_details()
    ]


def _kept(outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, classes and scores that the operator counts."""
    boxes, classes, scores, count = outputs
    kept = int(count[0])
    return boxes[0, :kept], classes[0, :kept], scores[0, :kept]


def _near(ours: tuple, theirs: tuple) -> np.ndarray:
    """Intersection over union of each box with each, 0 where the classes differ."""
    a, b = ours[0][:, None], theirs[0][None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), -1)
    areas = [np.prod(np.maximum(x[..., 2:] - x[..., :2], 0), -1) for x in (a, b)]
    iou = shared / np.maximum(areas[0] + areas[1] - shared, 1e-12)
    if not iou.size:
        return np.zeros((len(ours[0]), max(len(theirs[0]), 1)))
    return np.where(ours[1][:, None] == theirs[1][None], iou, 0)


def _doubts(agreement: DetectorAgreement, precision: str) -> list[str]:
    if not agreement.detections:
        return [
            "the model is sure of nothing in the images that it was compared on, so it is not "
            "known whether the file finds what Keras finds: calibrate with images of objects."
        ]
    if agreement.found >= 0.98 * agreement.detections:
        return []
    return [
        f"the {precision} file does not find all that Keras finds: {agreement}. Try effort='high', "
        "or more calibration images like those of its use."
    ]
