"""What MediaPipe's ImageSegmenter must be told of a file that gives a map of classes.

Source: MediaPipe's `tasks/metadata/image_segmenter_metadata_schema.fbs` (root table
ImageSegmenterOptions, identifier V001), which lies as custom metadata named SEGMENTER_METADATA in
the subgraph's.
"""

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer

NAME = "SEGMENTER_METADATA"
_IDENTIFIER = b"V001"
_NONE, _SOFTMAX = 0, 2


def options_of(model: schema.ModelT) -> bytes | None:
    """The content of the custom metadata; None of files that give no map of classes."""
    graph = model.subgraphs[0]
    shape = [int(size) for size in graph.tensors[int(graph.outputs[0])].shape]
    if len(shape) != 4 or shape[3] < 2 or max(shape[1:3]) < 2 or len(graph.outputs) != 1:
        return None
    # MediaPipe applies it to the scores; what are probabilities stays.
    return _options(_NONE if flatbuffer.ends_in_probabilities(model) else _SOFTMAX)


def _options(activation: int) -> bytes:
    builder = flatbuffers.Builder(64)
    builder.StartObject(2)
    builder.PrependUint8Slot(0, activation, 0)
    builder.Finish(builder.EndObject(), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())
