"""TFLite_Detection_PostProcess: decoding and suppression as the last operator of a detector's file.

Source: TensorFlow `lite/kernels/detection_postprocess.cc`, which LiteRT, Coral's and MediaPipe's
runtimes have built in. It is appended to the flatbuffer here: no TensorFlow is needed, and order,
names and shapes of its ends are what readers expect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from tflite.files.flatbuffer import PROBABILITIES, operator_code, operator_name, producers

NAME = "TFLite_Detection_PostProcess"
# Of boxes, classes, scores and count: what pycoral's `detect` calls them in a file's signature.
OUTPUT_NAMES = ("output_3", "output_2", "output_1", "output_0")
RAW_NAMES = ("location", "score")
# The version of DEQUANTIZE and SLICE that knows int8.
_OF_INT8 = 2
SCALES = {"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}


@dataclass(frozen=True)
class Choice:
    """Which boxes a file gives.

    Attributes:
        max_detections: how many slots there are; unused ones are zero.
        score_threshold: 0 to 1.
        iou_threshold: above 0, at most 1.
        classes: without the background.

    Suppression is class by class: the operator's faster way leaves the previous picture's boxes in
    unused slots.
    """

    classes: int
    max_detections: int = 25
    score_threshold: float = 0.01
    iou_threshold: float = 0.6


def is_detector(model: schema.ModelT) -> bool:
    """Whether a file ends in the operator."""
    operators = model.subgraphs[0].operators or []
    return any(operator_name(model, operator) == NAME for operator in operators[-1:])


def append(
    model: schema.ModelT, codes: int, scores: int, anchors: np.ndarray, choice: Choice
) -> None:
    """Let the file end in the operator.

    Args:
        model: its tensors `codes` (1, n, 4; y, x, height, width) and `scores` (1, n, K), int8,
            uint8 or float32, by index; K is the classes, or one more with the background first.
        anchors: float32 (n, 4); y, x, height, width, fractions of the picture.
    """
    graph = model.subgraphs[0]
    inputs = [_real(model, index) for index in (codes, scores)]
    inputs.append(_constant(model, np.ascontiguousarray(anchors, np.float32), "anchors"))
    slots = choice.max_detections
    shapes = ([1, slots, 4], [1, slots], [1, slots], [1])
    outputs = [
        _tensor(model, shape, name) for shape, name in zip(shapes, OUTPUT_NAMES, strict=True)
    ]
    custom = schema.BuiltinOperator.CUSTOM
    model.operatorCodes.append(
        schema.OperatorCodeT(
            builtinCode=custom, deprecatedBuiltinCode=custom, customCode=NAME, version=1
        )
    )
    operator = schema.OperatorT(
        opcodeIndex=len(model.operatorCodes) - 1,
        inputs=np.asarray(inputs, np.int32),
        outputs=np.asarray(outputs, np.int32),
        customOptions=np.frombuffer(_options(choice), np.uint8),
        customOptionsFormat=schema.CustomOptionsFormat.FLEXBUFFERS,
    )
    graph.operators.append(operator)
    graph.outputs = np.asarray(outputs, np.int32)


def sharpen(model: schema.ModelT, scores: int) -> None:
    """Let an int8 file compute its scores in float32, from the logits.

    An int8 probability has steps of 1/256. A detector's sure anchors are many on one object, and
    nearly all have the last step or the one before; which of their boxes suppresses the others is
    chance then. Logits still tell them apart (SSDLite on builtin:scenes, of 181 sure boxes of the
    Keras model's: 180 in MediaPipe, 177 without, all else being equal).

    Args:
        model: its tensor `scores` is what a SOFTMAX or LOGISTIC gives, by index.
    """
    graph = model.subgraphs[0]
    written_by = producers(graph)[scores]
    if operator_name(model, written_by) not in PROBABILITIES:
        return
    at = next(i for i, operator in enumerate(graph.operators) if operator is written_by)
    after, graph.operators = graph.operators[at:], graph.operators[:at]
    written_by.inputs = np.asarray([_real(model, int(written_by.inputs[0]))], np.int32)
    graph.operators += after
    graph.tensors[scores].type = schema.TensorType.FLOAT32
    graph.tensors[scores].quantization = None


def leave_raw(model: schema.ModelT, codes: int, scores: int) -> None:
    """Let the file end in codes and scores, (1, n, 4) and (1, n, classes), float32.

    Args:
        model: its tensors `codes` and `scores` as for `append`, with a background.
    """
    graph = model.subgraphs[0]
    tensor = graph.tensors[scores]
    shape = [int(size) for size in tensor.shape]
    begin, size = [0] * (len(shape) - 1) + [1], [*shape[:-1], shape[-1] - 1]
    objects = _tensor(model, size, "scores_of_classes")
    graph.tensors[objects].type = tensor.type
    graph.tensors[objects].quantization = tensor.quantization
    ends = [
        _constant(model, np.array(v, np.int32), n) for v, n in ((begin, "begin"), (size, "size"))
    ]
    graph.operators.append(
        schema.OperatorT(
            opcodeIndex=operator_code(model, schema.BuiltinOperator.SLICE, _OF_INT8),
            inputs=np.asarray([scores, *ends], np.int32),
            outputs=np.asarray([objects], np.int32),
            builtinOptionsType=schema.BuiltinOptions.SliceOptions,
            builtinOptions=schema.SliceOptionsT(),
        )
    )
    graph.outputs = np.asarray([_real(model, index) for index in (codes, objects)], np.int32)


def _options(choice: Choice) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("max_detections", choice.max_detections)
        builder.Int("max_classes_per_detection", 1)
        builder.Int("detections_per_class", choice.max_detections)
        builder.Bool("use_regular_nms", True)
        builder.Float("nms_score_threshold", choice.score_threshold)
        builder.Float("nms_iou_threshold", choice.iou_threshold)
        builder.Int("num_classes", choice.classes)
        for key, value in SCALES.items():
            builder.Float(key, value)
    return bytes(builder.Finish())


def _real(model: schema.ModelT, index: int) -> int:
    """The tensor in float32, by a DEQUANTIZE where it is not: the operator takes no int8."""
    graph = model.subgraphs[0]
    tensor = graph.tensors[index]
    if tensor.type == schema.TensorType.FLOAT32:
        return index
    real = _tensor(model, [int(n) for n in tensor.shape], f"real_{index}")
    graph.operators.append(
        schema.OperatorT(
            opcodeIndex=operator_code(model, schema.BuiltinOperator.DEQUANTIZE, _OF_INT8),
            inputs=np.asarray([index], np.int32),
            outputs=np.asarray([real], np.int32),
        )
    )
    return real


def _constant(model: schema.ModelT, values: np.ndarray, name: str) -> int:
    model.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
    index = _tensor(model, list(values.shape), name)
    tensor = model.subgraphs[0].tensors[index]
    tensor.buffer = len(model.buffers) - 1
    if values.dtype == np.int32:
        tensor.type = schema.TensorType.INT32
    return index


def _tensor(model: schema.ModelT, shape: list[int], name: str) -> int:
    graph = model.subgraphs[0]
    made = schema.TensorT(shape=np.asarray(shape, np.int32), type=schema.TensorType.FLOAT32)
    made.name, made.buffer = name, 0
    graph.tensors.append(made)
    return len(graph.tensors) - 1


def alone(anchors: np.ndarray, width: int, choice: Choice) -> schema.ModelT:
    """A file of nothing but the operator, on float codes and scores (1, n, `width`).

    What it says to a network's heads is what the whole file should.
    """
    graph = schema.SubGraphT(tensors=[], operators=[], name="main")
    model = schema.ModelT(
        version=3, operatorCodes=[], subgraphs=[graph], buffers=[schema.BufferT()], description=""
    )
    codes = _tensor(model, [1, len(anchors), 4], "codes")
    scores = _tensor(model, [1, len(anchors), width], "scores")
    graph.inputs = np.asarray([codes, scores], np.int32)
    append(model, codes, scores, anchors, choice)
    return model
