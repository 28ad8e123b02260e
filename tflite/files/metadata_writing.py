"""TFLite Metadata written, without MediaPipe: the flatbuffer, the JSON beside it, the labels."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import detection_metadata, flatbuffer, segmentation_metadata
from tflite.files.metadata import LABELS_FILE, PREPROCESSING_NAME, Metadata
from tflite.files.metadata_schema import (
    CUSTOM_METADATA_SLOT,
    FEATURE_PROPERTIES,
    GRAYSCALE,
    IDENTIFIER,
    IMAGE_PROPERTIES,
    METADATA_NAME,
    MIN_PARSER_VERSION_SLOT,
    MODEL_SLOTS,
    NORMALIZATION_OPTIONS,
    PROCESS_UNITS_SLOT,
    RGB,
    SUBGRAPHS_SLOT,
    TENSOR_AXIS_LABELS,
    TEXT_SLOTS,
    Writer,
)
from tflite.images import ImageInput

# The first parser that knows every field used here (the TFLite Metadata changelog's table:
# normalization, associated files and labels are of version 1.0.0).
MIN_PARSER_VERSION = "1.0.0"
# A zip entry carries a date; the format's first possible one keeps files reproducible.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def attach(model: schema.ModelT, metadata: Metadata) -> None:
    """Writes `metadata` into the model's buffers; `append_labels` does the rest on its bytes."""
    entries = {METADATA_NAME: _encode(model, metadata)}
    if metadata.image is not None:
        fields = asdict(metadata.image)
        del fields["value_range"]  # of a file it is always 0..255
        entries[PREPROCESSING_NAME] = json.dumps(fields, sort_keys=True).encode()
    flatbuffer.set_metadata_entries(model, entries)


def append_labels(data: bytes, labels: Sequence[str]) -> bytes:
    """The file with the labels as a zip archive behind it; unchanged without labels."""
    if not labels:
        return data
    file = io.BytesIO(data)
    file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file, "a") as archive:
        info = zipfile.ZipInfo(LABELS_FILE, _ZIP_EPOCH)
        info.external_attr = 0o644 << 16
        archive.writestr(info, "".join(f"{label}\n" for label in labels))
    return file.getvalue()


def _encode(model: schema.ModelT, metadata: Metadata) -> bytes:
    writer = Writer()
    graph = model.subgraphs[0]
    subgraph = writer.table(
        10,
        {
            2: writer.tables([_encode_input(writer, graph, metadata)]),
            3: writer.tables(_encode_outputs(writer, model, graph, metadata)),
            **_custom_fields(writer, model, metadata.anchors),
        },
    )
    fields = {
        slot: writer.text(getattr(metadata, name))
        for name, slot in TEXT_SLOTS.items()
        if getattr(metadata, name)
    }
    fields[SUBGRAPHS_SLOT] = writer.tables([subgraph])
    fields[MIN_PARSER_VERSION_SLOT] = writer.text(MIN_PARSER_VERSION)
    writer.builder.Finish(writer.table(MODEL_SLOTS, fields), file_identifier=IDENTIFIER)
    return bytes(writer.builder.Output())


def _custom_fields(
    writer: Writer, model: schema.ModelT, anchors: np.ndarray | None
) -> dict[int, Callable[[int], None]]:
    """What MediaPipe alone asks for."""
    if anchors is None:
        name, content = segmentation_metadata.NAME, segmentation_metadata.options_of(model)
    else:
        graph = model.subgraphs[0]
        classes = int(graph.tensors[int(graph.outputs[1])].shape[-1])
        name = detection_metadata.NAME
        content = detection_metadata.options_of(anchors, classes)
    if content is None:
        return {}
    data = writer.builder.CreateByteVector(content)
    record = writer.table(2, {0: writer.text(name), 1: writer.reference(data)})
    return {CUSTOM_METADATA_SLOT: writer.tables([record])}


def _encode_input(writer: Writer, graph: schema.SubGraphT, metadata: Metadata) -> int:
    tensor = graph.tensors[graph.inputs[0]]
    _, height, width, channels = (int(n) for n in tensor.shape)
    fields = {
        0: writer.text(flatbuffer.text(tensor.name)),
        1: writer.text(_describe_input(tensor, metadata.image)),
        3: writer.reference(_image_content(writer, height, width, channels)),
    }
    if metadata.image is not None:
        image = metadata.image.of_file
        # MediaPipe: "Per-channel image normalization is not available", so one value each.
        mean, std = (image.mean[:1], image.std[:1])
        options = writer.table(2, {0: writer.floats(mean), 1: writer.floats(std)})
        unit = writer.table(
            2, {0: writer.byte(NORMALIZATION_OPTIONS), 1: writer.reference(options)}
        )
        fields[PROCESS_UNITS_SLOT] = writer.tables([unit])
        fields[5] = writer.reference(_pixel_stats(writer, tensor, image))
    return writer.table(7, fields)


def _pixel_stats(writer: Writer, tensor: schema.TensorT, image: ImageInput) -> int:
    whole_numbers = flatbuffer.type_name(tensor) != "float32"
    low, high = (0.0, 255.0) if whole_numbers else image.range
    return writer.table(2, {0: writer.floats([high]), 1: writer.floats([low])})


def _image_content(writer: Writer, height: int, width: int, channels: int) -> int:
    color = {1: GRAYSCALE, 3: RGB}.get(channels)
    if color is None:
        properties, kind = writer.table(0, {}), FEATURE_PROPERTIES
    else:
        size = writer.table(2, {0: writer.unsigned(width), 1: writer.unsigned(height)})
        properties = writer.table(2, {0: writer.signed_byte(color), 1: writer.reference(size)})
        kind = IMAGE_PROPERTIES
    return writer.table(3, {0: writer.byte(kind), 1: writer.reference(properties)})


def _describe_input(tensor: schema.TensorT, image: ImageInput | None) -> str:
    _, height, width, channels = (int(n) for n in tensor.shape)
    kind = flatbuffer.type_name(tensor)
    what = f"Image, {height}x{width}, {channels} channels{' (RGB)' * (channels == 3)}, {kind}."
    if image is None:
        return what
    if kind == "uint8":
        return f"{what} Pixels 0..255 as the camera gives them: no arithmetic is needed."
    if kind == "int8":
        return f"{what} Pixels 0..255 minus 128: no other arithmetic is needed."
    mean, std = image.of_file.mean[0], image.of_file.std[0]
    return f"{what} (pixel - {mean:g}) / {std:g} for pixels 0..255."


def _encode_outputs(
    writer: Writer, model: schema.ModelT, graph: schema.SubGraphT, metadata: Metadata
) -> list[int]:
    if metadata.anchors is not None:
        return detection_metadata.encode_raw_outputs(writer, metadata.labels, LABELS_FILE)
    if len(graph.outputs) == 4:  # only a detector's
        return detection_metadata.encode_outputs(writer, metadata.labels, LABELS_FILE)
    return [_encode_output(writer, model, graph, metadata)]


def _encode_output(
    writer: Writer, model: schema.ModelT, graph: schema.SubGraphT, metadata: Metadata
) -> int:
    tensor = graph.tensors[graph.outputs[0]]
    name = flatbuffer.text(tensor.name)
    probabilities = flatbuffer.ends_in_probabilities(model)
    content = writer.table(
        3, {0: writer.byte(FEATURE_PROPERTIES), 1: writer.reference(writer.table(0, {}))}
    )
    fields = {
        0: writer.text(name),
        1: writer.text("Probability of each class." if probabilities else "Score of each class."),
        3: writer.reference(content),
    }
    if probabilities:
        fields[5] = writer.reference(
            writer.table(2, {0: writer.floats([1.0]), 1: writer.floats([0.0])})
        )
    if metadata.labels:
        file = writer.table(
            5,
            {
                0: writer.text(LABELS_FILE),
                1: writer.text("The class names, one a line, in the order of the output."),
                2: writer.signed_byte(TENSOR_AXIS_LABELS),
            },
        )
        fields[6] = writer.tables([file])
    return writer.table(7, fields)
