"""TFLite Metadata: what a file says about itself, in the form MediaPipe and Android Studio read.

A flatbuffer (`metadata_schema`) lies in the model's buffer named TFLITE_METADATA; the labels file
is appended to the model as a zip archive, whose directory is found from the file's end. What the
schema has no place for (crop, interpolation, whether the file normalizes by itself) goes as JSON
into a second buffer, PREPROCESSING_JSON; other readers pass over it. `metadata_writing` writes all
of it.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.files.metadata_schema import (
    METADATA_NAME,
    NORMALIZATION_OPTIONS,
    PROCESS_UNITS_SLOT,
    SUBGRAPH_INPUTS_SLOT,
    SUBGRAPHS_SLOT,
    TEXT_SLOTS,
    Table,
)
from tflite.files.packed import packed_text
from tflite.files.reading import File, open_file
from tflite.images import INTERPOLATIONS, ImageInput, per_channel

PREPROCESSING_NAME = "PREPROCESSING_JSON"
LABELS_FILE = "labels.txt"
# What is written there takes some 200 bytes.
_MAX_JSON_BYTES = 1 << 14


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


def read_metadata(source: str | os.PathLike | bytes | File) -> Metadata:
    """What a .tflite file says about itself; also of files that other tools wrote.

    Raises:
        FileNotFoundError, ValueError, TypeError: as `reading.open_file`; ValueError also where
            what the file says of its images is impossible, or where its labels cannot be read.
    """
    file = open_file(source)
    with flatbuffer.damage_explained(f"{file.name}: its metadata"):
        content = flatbuffer.metadata_entry(file.model, METADATA_NAME)
        table = None if content is None else Table.root(content)
        return Metadata(
            image=_read_image_input(file.model, table),
            labels=_read_labels(file.data),
            **{name: table.text(slot) if table else "" for name, slot in TEXT_SLOTS.items()},
        )


def _read_image_input(model: schema.ModelT, table: Table | None) -> ImageInput | None:
    graph = model.subgraphs[0]
    shape = _open_shape(graph.tensors[graph.inputs[0]]) if len(_list(graph.inputs)) else ()
    content = flatbuffer.metadata_entry(model, PREPROCESSING_NAME)
    if content is not None:
        return _checked_image(_image_of_json(content), shape)
    found = _first_normalization(table) if table is not None and len(shape) == 4 else None
    if found is None:
        return None
    _, height, width, channels = (max(n, 1) for n in shape)
    mean, std = (per_channel(values, channels, "mean") for values in found)
    return _checked_image(ImageInput((height, width), mean=mean, std=std), shape)


def _first_normalization(model: Table) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """mean and std of the first input's normalization unit."""
    for subgraph in model.tables(SUBGRAPHS_SLOT)[:1]:
        for tensor in subgraph.tables(SUBGRAPH_INPUTS_SLOT)[:1]:
            for unit in tensor.tables(PROCESS_UNITS_SLOT):
                options = unit.table(1)
                if unit.byte(0) == NORMALIZATION_OPTIONS and options is not None:
                    return options.floats(0), options.floats(1)
    return None


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
