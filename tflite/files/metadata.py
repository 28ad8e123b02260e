"""TFLite Metadata: what a file says about itself, in the form MediaPipe and Android Studio read.

A flatbuffer of TensorFlow's `metadata_schema.fbs` (version 1.5.0 of the schema, root type
ModelMetadata, identifier M001) lies in the model's buffer named TFLITE_METADATA; the labels file
is appended to the model as a zip archive, whose directory is found from the file's end. Both are
written here, so that converting needs no MediaPipe.

What the schema has no place for (crop, interpolation, whether the file normalizes by itself) goes
as JSON into a second buffer, PREPROCESSING_JSON; other readers pass over it.
"""

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import detection_metadata, flatbuffer, segmentation_metadata
from tflite.files.labels import read_labels
from tflite.files.packed import packed_text
from tflite.files.reading import File, open_file
from tflite.images import INTERPOLATIONS, ImageInput

METADATA_NAME = "TFLITE_METADATA"
PREPROCESSING_NAME = "PREPROCESSING_JSON"
LABELS_FILE = "labels.txt"
IDENTIFIER = b"M001"
# The first parser that knows every field used here (the TFLite Metadata changelog's table:
# normalization, associated files and labels are of version 1.0.0).
MIN_PARSER_VERSION = "1.0.0"
# What is written there takes some 200 bytes.
_MAX_JSON_BYTES = 1 << 14
# A zip entry carries a date; the format's first possible one keeps files reproducible.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Metadata:
    """What a .tflite file says about itself.

    Attributes:
        image: how to prepare images; None if the file does not say.
        labels: a name for each class; empty if the file holds none.
        name, description, version, author, license: free text, "" where absent.
        anchors: (n, 4), of a detector's file that gives codes and scores; written, not read.
    """

    image: ImageInput | None = None
    labels: tuple[str, ...] = ()
    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    anchors: np.ndarray | None = field(default=None, compare=False)


def image_input(preprocessing: Any, shape: tuple[int, int, int]) -> ImageInput:
    """An `ImageInput` from a preprocessing object, in units of pixels.

    Args:
        preprocessing: has `value_range`, `mean` and `std` (one number or one a channel) and may
            have `size`, `crop_fraction`, `interpolation` and `keep_aspect_ratio`: pixels are first
            scaled from 0..255 to `value_range`, then (x - mean) / std.
        shape: the network's (height, width, channels).

    Raises:
        TypeError: it lacks an attribute.
        ValueError: the number of channels or the size disagrees with the network; an impossible
            range, std or interpolation.
    """
    missing = [name for name in ("mean", "std", "value_range") if not hasattr(preprocessing, name)]
    if missing:
        raise TypeError(
            f"preprocessing must have the attributes mean, std and value_range; "
            f"{type(preprocessing).__name__} lacks {', '.join(missing)}."
        )
    height, width, channels = shape
    size = tuple(getattr(preprocessing, "size", (height, width)))
    if size != (height, width):
        raise ValueError(
            f"preprocessing makes images of {size[0]}x{size[1]}, but the model takes "
            f"{height}x{width}."
        )
    low, high = preprocessing.value_range
    mean = _per_channel(preprocessing.mean, channels, "mean")
    std = _per_channel(preprocessing.std, channels, "std")
    if not high > low or min(std) <= 0:
        raise ValueError(
            f"preprocessing needs value_range[0] < value_range[1] and std > 0, got "
            f"{(low, high)} and {std}."
        )
    interpolation = str(getattr(preprocessing, "interpolation", "bilinear"))
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"preprocessing.interpolation must be one of {', '.join(INTERPOLATIONS)}, got "
            f"{interpolation!r}."
        )
    unit = 255 / (high - low)
    return ImageInput(
        size=(height, width),
        mean=tuple((m - low) * unit for m in mean),
        std=tuple(s * unit for s in std),
        crop_fraction=float(getattr(preprocessing, "crop_fraction", 1.0)),
        interpolation=interpolation,
        keep_aspect_ratio=bool(getattr(preprocessing, "keep_aspect_ratio", False)),
    )


def _per_channel(value: Any, channels: int, name: str) -> tuple[float, ...]:
    values = tuple(float(v) for v in np.atleast_1d(value))
    if len(values) == 1:
        return values * channels
    if len(values) != channels:
        raise ValueError(
            f"preprocessing.{name} has {len(values)} values, but the model takes {channels} "
            "channels."
        )
    return values


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


def check_labels(labels: Any, classes: int | None) -> tuple[str, ...]:
    """Labels as a tuple, read from a text file (`read_labels`) where a path is given.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not as many as classes; a label with a line break; what `read_labels` raises.
        TypeError: not text.
    """
    if labels is None:
        return ()
    place = ""
    if isinstance(labels, (str, os.PathLike)):
        place = f" in {os.fspath(labels)}"
        labels = read_labels(labels)
    if isinstance(labels, bytes) or not isinstance(labels, Iterable):
        raise TypeError(f"labels must be a list of names or the path of one, got {labels!r:.80}.")
    labels = tuple(labels)
    wrong = [label for label in labels if not isinstance(label, str)]
    if wrong:
        raise TypeError(f"labels must be text, got {wrong[0]!r:.80}.")
    broken = next((label for label in labels if len(label.splitlines()) != 1), None)
    if broken is not None:
        raise ValueError(f"a label must be one line of text, got {broken!r:.80}.")
    if classes == 1 and len(labels) == 2:
        raise ValueError(
            f"the model has one output, but 2 labels were given ({', '.join(labels)}). Its number "
            f"is that of one class: give just the name of the class that 1 means, as {labels[1]!r}."
        )
    if classes is not None and len(labels) != classes:
        raise ValueError(
            f"the model has {classes} classes, but {len(labels)} labels were given{place}."
        )
    return labels


def read_metadata(source: str | os.PathLike | bytes | File) -> Metadata:
    """What a .tflite file says about itself; also of files that other tools wrote.

    Raises:
        FileNotFoundError, ValueError, TypeError: as `reading.open_file`; ValueError also where
            what the file says of its images is impossible, or where its labels cannot be read.
    """
    file = open_file(source)
    with flatbuffer.damage_explained(f"{file.name}: its metadata"):
        content = flatbuffer.metadata_entry(file.model, METADATA_NAME)
        table = None if content is None else _Table.root(content)
        return Metadata(
            image=_read_image_input(file.model, table),
            labels=_read_labels(file.data),
            **{name: table.text(slot) if table else "" for name, slot in _TEXT_SLOTS.items()},
        )


def _read_image_input(model: schema.ModelT, table: "_Table | None") -> ImageInput | None:
    graph = model.subgraphs[0]
    shape = _open_shape(graph.tensors[graph.inputs[0]]) if len(_list(graph.inputs)) else ()
    content = flatbuffer.metadata_entry(model, PREPROCESSING_NAME)
    if content is not None:
        return _checked_image(_image_of_json(content), shape)
    found = _first_normalization(table) if table is not None and len(shape) == 4 else None
    if found is None:
        return None
    _, height, width, channels = (max(n, 1) for n in shape)
    mean, std = (_per_channel(values, channels, "mean") for values in found)
    return _checked_image(ImageInput((height, width), mean=mean, std=std), shape)


def _open_shape(tensor: schema.TensorT) -> tuple[int, ...]:
    """A shape with −1 where the size is only known at run time."""
    signature = tuple(map(int, _list(tensor.shapeSignature)))
    return signature or tuple(map(int, _list(tensor.shape)))


def _image_of_json(content: bytes) -> ImageInput:
    if len(content) > _MAX_JSON_BYTES:
        raise ValueError(f"{PREPROCESSING_NAME} has {len(content)} bytes, more than it could need")
    try:
        fields = json.loads(content)
    except RecursionError:
        raise ValueError(f"{PREPROCESSING_NAME} nests without end") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{PREPROCESSING_NAME} is no table of fields")
    return ImageInput(**{name: _tuples(value) for name, value in fields.items()})


def _checked_image(image: ImageInput, shape: Sequence[int]) -> ImageInput:
    """`image`, once it is sure that pictures can be prepared so for an input of this shape."""
    for name, (check, allowed) in _IMAGE_LIMITS.items():
        if not check(getattr(image, name)):
            raise ValueError(f"{name} must be {allowed}, not {str(getattr(image, name))[:60]}")
    if len(image.mean) != len(image.std):
        raise ValueError(f"mean has {len(image.mean)} values, but std {len(image.std)}")
    described = (*image.size, len(image.mean))
    taken = tuple(n if n > 0 else m for n, m in zip(shape[1:], described, strict=False))
    if shape and (len(shape) != 4 or taken != described):
        raise ValueError(
            f"it tells of images of {'×'.join(map(str, described))}, but the input takes "
            f"{'×'.join(map(str, shape[1:]))}"
        )
    return image


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) < _MAX_NUMBER


def _numbers(value: Any) -> bool:
    return isinstance(value, tuple) and 0 < len(value) <= 4096 and all(map(_is_number, value))


def _is_size(value: Any) -> bool:
    sides = isinstance(value, tuple) and len(value) == 2 and all(type(n) is int for n in value)
    return sides and all(0 < n <= _MAX_SIDE for n in value)


# Much larger than anything of pixels 0..255; NaN is not below it either.
_MAX_NUMBER = 1e9
_MAX_SIDE = 1 << 14
# A crop enlarges the picture before it cuts: by less than this, no memory would hold it.
_MIN_CROP = 0.1
_IMAGE_LIMITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "size": (_is_size, f"(height, width), each from 1 to {_MAX_SIDE}"),
    "mean": (_numbers, "numbers, one a channel"),
    "std": (lambda v: _numbers(v) and min(v) > 0, "numbers above 0, one a channel"),
    "crop_fraction": (lambda v: _is_number(v) and _MIN_CROP <= v <= 1, f"in [{_MIN_CROP}, 1]"),
    "interpolation": (INTERPOLATIONS.__contains__, f"one of {', '.join(INTERPOLATIONS)}"),
    "keep_aspect_ratio": (lambda v: isinstance(v, bool), "true or false"),
    "in_graph": (lambda v: isinstance(v, bool), "true or false"),
}


def _list(vector: Any) -> Any:
    return () if vector is None else vector


def _read_labels(data: bytes) -> tuple[str, ...]:
    packed = packed_text(data, LABELS_FILE)
    return () if packed is None else tuple(packed.splitlines())


# --- The flatbuffer. Slots are the fields' positions in metadata_schema.fbs. -------------------

_TEXT_SLOTS = {"name": 0, "description": 1, "version": 2, "author": 4, "license": 5}
_SUBGRAPHS_SLOT, _MIN_PARSER_VERSION_SLOT, _MODEL_SLOTS = 3, 7, 8
_SUBGRAPH_INPUTS_SLOT = 2
_CUSTOM_METADATA_SLOT = 9  # of a subgraph
_PROCESS_UNITS_SLOT = 4
_NORMALIZATION_OPTIONS = 1
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_TENSOR_AXIS_LABELS = 2
_RGB, _GRAYSCALE = 1, 2


class _Writer:
    """A `flatbuffers.Builder` that writes a table from a mapping of slot to writing function."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)

    def table(self, slots: int, fields: dict[int, Callable[[int], None]]) -> int:
        self.builder.StartObject(slots)
        for slot, write in fields.items():
            write(slot)
        return self.builder.EndObject()

    def reference(self, offset: int) -> Callable[[int], None]:
        return lambda slot: self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)

    def text(self, value: str) -> Callable[[int], None]:
        return self.reference(self.builder.CreateString(value))

    def byte(self, value: int) -> Callable[[int], None]:
        return lambda slot: self.builder.PrependUint8Slot(slot, value, 0)

    def signed_byte(self, value: int) -> Callable[[int], None]:
        return lambda slot: self.builder.PrependInt8Slot(slot, value, 0)

    def unsigned(self, value: int) -> Callable[[int], None]:
        return lambda slot: self.builder.PrependUint32Slot(slot, value, 0)

    def floats(self, values: Sequence[float]) -> Callable[[int], None]:
        return self.reference(self.builder.CreateNumpyVector(np.asarray(values, np.float32)))

    def tables(self, offsets: Sequence[int]) -> Callable[[int], None]:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.reference(self.builder.EndVector())


def _encode(model: schema.ModelT, metadata: Metadata) -> bytes:
    writer = _Writer()
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
        for name, slot in _TEXT_SLOTS.items()
        if getattr(metadata, name)
    }
    fields[_SUBGRAPHS_SLOT] = writer.tables([subgraph])
    fields[_MIN_PARSER_VERSION_SLOT] = writer.text(MIN_PARSER_VERSION)
    writer.builder.Finish(writer.table(_MODEL_SLOTS, fields), file_identifier=IDENTIFIER)
    return bytes(writer.builder.Output())


def _custom_fields(
    writer: _Writer, model: schema.ModelT, anchors: np.ndarray | None
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
    return {_CUSTOM_METADATA_SLOT: writer.tables([record])}


def _encode_input(writer: _Writer, graph: schema.SubGraphT, metadata: Metadata) -> int:
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
            2, {0: writer.byte(_NORMALIZATION_OPTIONS), 1: writer.reference(options)}
        )
        fields[_PROCESS_UNITS_SLOT] = writer.tables([unit])
        fields[5] = writer.reference(_pixel_stats(writer, tensor, image))
    return writer.table(7, fields)


def _pixel_stats(writer: _Writer, tensor: schema.TensorT, image: ImageInput) -> int:
    whole_numbers = flatbuffer.type_name(tensor) != "float32"
    low, high = (0.0, 255.0) if whole_numbers else image.range
    return writer.table(2, {0: writer.floats([high]), 1: writer.floats([low])})


def _image_content(writer: _Writer, height: int, width: int, channels: int) -> int:
    color = {1: _GRAYSCALE, 3: _RGB}.get(channels)
    if color is None:
        properties, kind = writer.table(0, {}), _FEATURE_PROPERTIES
    else:
        size = writer.table(2, {0: writer.unsigned(width), 1: writer.unsigned(height)})
        properties = writer.table(2, {0: writer.signed_byte(color), 1: writer.reference(size)})
        kind = _IMAGE_PROPERTIES
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
    writer: _Writer, model: schema.ModelT, graph: schema.SubGraphT, metadata: Metadata
) -> list[int]:
    if metadata.anchors is not None:
        return detection_metadata.encode_raw_outputs(writer, metadata.labels, LABELS_FILE)
    if len(graph.outputs) == 4:  # only a detector's
        return detection_metadata.encode_outputs(writer, metadata.labels, LABELS_FILE)
    return [_encode_output(writer, model, graph, metadata)]


def _encode_output(
    writer: _Writer, model: schema.ModelT, graph: schema.SubGraphT, metadata: Metadata
) -> int:
    tensor = graph.tensors[graph.outputs[0]]
    name = flatbuffer.text(tensor.name)
    probabilities = flatbuffer.ends_in_probabilities(model)
    content = writer.table(
        3, {0: writer.byte(_FEATURE_PROPERTIES), 1: writer.reference(writer.table(0, {}))}
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
                2: writer.signed_byte(_TENSOR_AXIS_LABELS),
            },
        )
        fields[6] = writer.tables([file])
    return writer.table(7, fields)


class _Table:
    """A table of a flatbuffer, read by slot."""

    def __init__(self, table: flatbuffers.table.Table) -> None:
        self._table = table

    @classmethod
    def root(cls, data: bytes) -> "_Table":
        if data[4:8] != IDENTIFIER:
            raise ValueError(f"{METADATA_NAME} is not TFLite Metadata: {data[4:8]!r}.")
        position = flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0)
        return cls(flatbuffers.table.Table(data, position))

    def _at(self, slot: int) -> int:
        offset = self._table.Offset(4 + 2 * slot)
        return self._table.Pos + offset if offset else 0

    def text(self, slot: int) -> str:
        at = self._at(slot)
        return self._table.String(at).decode("utf-8") if at else ""

    def byte(self, slot: int) -> int:
        at = self._at(slot)
        return self._table.Get(flatbuffers.number_types.Uint8Flags, at) if at else 0

    def table(self, slot: int) -> "_Table | None":
        at = self._at(slot)
        position = self._table.Indirect(at) if at else 0
        return _Table(flatbuffers.table.Table(self._table.Bytes, position)) if at else None

    def tables(self, slot: int) -> list["_Table"]:
        start, length = self._vector(slot)
        positions = [self._table.Indirect(start + 4 * i) for i in range(length)]
        return [_Table(flatbuffers.table.Table(self._table.Bytes, p)) for p in positions]

    def floats(self, slot: int) -> tuple[float, ...]:
        start, length = self._vector(slot)
        return tuple(np.frombuffer(self._table.Bytes, "<f4", length, start).tolist())

    def _vector(self, slot: int) -> tuple[int, int]:
        offset = self._table.Offset(4 + 2 * slot)
        if not offset:
            return 0, 0
        return self._table.Vector(offset), self._table.VectorLen(offset)


def _first_normalization(model: _Table) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """mean and std of the first input's normalization unit."""
    for subgraph in model.tables(_SUBGRAPHS_SLOT)[:1]:
        for tensor in subgraph.tables(_SUBGRAPH_INPUTS_SLOT)[:1]:
            for unit in tensor.tables(_PROCESS_UNITS_SLOT):
                options = unit.table(1)
                if unit.byte(0) == _NORMALIZATION_OPTIONS and options is not None:
                    return options.floats(0), options.floats(1)
    return None
