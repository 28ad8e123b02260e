"""What a detector's file says about its outputs, for MediaPipe and the TFLite Task Library.

Form A gives boxes, classes, scores and count; form B codes and scores of all anchors, which the
reader decodes by anchors that lie as custom metadata named DETECTOR_METADATA in the subgraph's.
Source: TensorFlow's `metadata_schema.fbs`; MediaPipe's
`tasks/metadata/object_detector_metadata_schema.fbs` (root table ObjectDetectorOptions, identifier
V001).
"""

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np

from tflite.files.detection_operator import SCALES
from tflite.files.metadata_schema import Writer

NAME = "DETECTOR_METADATA"
_IDENTIFIER = b"V001"
_FEATURE, _BOUNDING_BOX = 1, 3
_BOUNDARIES, _RATIO = 1, 0
_TENSOR_AXIS_LABELS, _TENSOR_VALUE_LABELS = 2, 3
# Where left, top, right and bottom are in ymin, xmin, ymax, xmax.
_ORDER = (1, 0, 3, 2)
_COORDINATES = 4
# MediaPipe divides by it, whether there are key points or not.
_VALUES_PER_KEYPOINT = 2


def encode_outputs(writer: Writer, labels: Sequence[str], labels_file: str) -> list[int]:
    """The records of boxes, classes, scores and count, in their order."""
    named = _labels(writer, labels, labels_file, _TENSOR_VALUE_LABELS)
    return [
        _tensor(
            writer,
            "location",
            "The boxes: ymin, xmin, ymax, xmax, fractions of the picture.",
            content=_corners(writer),
        ),
        _tensor(writer, "category", "The class of each box.", named),
        _tensor(writer, "score", "How sure each box is, 0 to 1."),
        _tensor(writer, "number of detections", "How many of them count."),
    ]


def encode_raw_outputs(writer: Writer, labels: Sequence[str], labels_file: str) -> list[int]:
    """The same of codes and scores."""
    named = _labels(writer, labels, labels_file, _TENSOR_AXIS_LABELS)
    codes = "Of each anchor: dy, dx, dh, dw, times 10, 10, 5, 5."
    scores = "How sure each anchor is of each class, 0 to 1. The background is no class."
    return [
        # MediaPipe wants these properties here as well, and ignores what they say.
        _tensor(writer, "location", codes, content=_corners(writer)),
        _tensor(writer, "score", scores, named),
    ]


def _corners(writer: Writer) -> tuple[int, int]:
    index = writer.reference(writer.builder.CreateNumpyVector(np.array(_ORDER, np.uint32)))
    return _BOUNDING_BOX, writer.table(
        3, {0: index, 1: writer.signed_byte(_BOUNDARIES), 2: writer.signed_byte(_RATIO)}
    )


def _labels(writer: Writer, labels: Sequence[str], file: str, kind: int) -> dict[int, Callable]:
    if not labels:
        return {}
    about = "The class names, one a line; the background is none of them."
    named = {0: writer.text(file), 1: writer.text(about), 2: writer.signed_byte(kind)}
    return {6: writer.tables([writer.table(5, named)])}


def _tensor(
    writer: Writer,
    name: str,
    description: str,
    labels: dict[int, Callable] | None = None,
    content: tuple[int, int] | None = None,
) -> int:
    kind, properties = content or (_FEATURE, writer.table(0, {}))
    whole = writer.table(3, {0: writer.byte(kind), 1: writer.reference(properties)})
    fields = {0: writer.text(name), 1: writer.text(description), 3: writer.reference(whole)}
    return writer.table(7, {**fields, **(labels or {})})


def options_of(anchors: np.ndarray, classes: int) -> bytes:
    """The content of the custom metadata: what decodes form B.

    Args:
        anchors: (n, 4); y, x, height, width of centres, fractions of the picture.
        classes: without the background.
    """
    builder = flatbuffers.Builder(1 << 16)

    def table(slots: int, prepend: Callable, values: dict[int, Any]) -> int:
        builder.StartObject(slots)
        for slot, value in values.items():
            prepend(slot, value, 0)
        return builder.EndObject()

    def reference(slots: int, offsets: dict[int, int]) -> int:
        return table(slots, builder.PrependUOffsetTRelativeSlot, offsets)

    fixed = [
        table(4, builder.PrependFloat32Slot, {0: x, 1: y, 2: width, 3: height})
        for y, x, height, width in np.asarray(anchors, float).tolist()
    ]
    builder.StartVector(4, len(fixed), 4)
    for offset in reversed(fixed):
        builder.PrependUOffsetTRelative(offset)
    all_anchors = reference(1, {0: reference(1, {0: builder.EndVector()})})
    builder.StartObject(12)
    numbers = {0: classes, 1: len(anchors), 2: _COORDINATES, 5: _VALUES_PER_KEYPOINT}
    for slot, value in numbers.items():
        builder.PrependInt32Slot(slot, value, 0)
    for slot, side in enumerate(("x_scale", "y_scale", "w_scale", "h_scale"), 6):
        builder.PrependFloat32Slot(slot, SCALES[side], 0.0)
    builder.PrependBoolSlot(10, True, False)  # sizes are exponentials; scores are no logits
    decoding = builder.EndObject()
    builder.Finish(reference(3, {1: all_anchors, 2: decoding}), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())
