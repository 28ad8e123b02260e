"""What a detector's file says about its four outputs, for MediaPipe and the TFLite Task Library.

Source: TensorFlow's `metadata_schema.fbs`; MediaPipe's
`tasks/metadata/object_detector_metadata_schema.fbs`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

_FEATURE, _BOUNDING_BOX = 1, 3
_BOUNDARIES, _RATIO = 1, 0
_TENSOR_VALUE_LABELS = 3
# Where left, top, right and bottom are in ymin, xmin, ymax, xmax.
_ORDER = (1, 0, 3, 2)


def encode_outputs(writer: Any, labels: Sequence[str], labels_file: str) -> list[int]:
    """The records of boxes, classes, scores and count, by `tflite.files.metadata`'s writer."""
    rows = (
        ("location", "The boxes: ymin, xmin, ymax, xmax, fractions of the picture."),
        ("category", "The class of each box."),
        ("score", "How sure each box is, 0 to 1."),
        ("number of detections", "How many of them count."),
    )
    return [_tensor(writer, *row, labels, labels_file) for row in rows]


def _tensor(
    writer: Any, name: str, description: str, labels: Sequence[str], labels_file: str
) -> int:
    fields = {0: writer.text(name), 1: writer.text(description)}
    kind, properties = _FEATURE, writer.table(0, {})
    if name == "location":
        index = writer.reference(writer.builder.CreateNumpyVector(np.array(_ORDER, np.uint32)))
        kind = _BOUNDING_BOX
        properties = writer.table(
            3, {0: index, 1: writer.signed_byte(_BOUNDARIES), 2: writer.signed_byte(_RATIO)}
        )
    content = writer.table(3, {0: writer.byte(kind), 1: writer.reference(properties)})
    fields[3] = writer.reference(content)
    if name == "category" and labels:
        file = writer.table(
            5,
            {
                0: writer.text(labels_file),
                1: writer.text("The class names, one a line; the background is none of them."),
                2: writer.signed_byte(_TENSOR_VALUE_LABELS),
            },
        )
        fields[6] = writer.tables([file])
    return writer.table(7, fields)
