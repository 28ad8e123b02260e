"""The one door by which a .tflite file comes in: read, unpacked and checked once."""

import os
from dataclasses import dataclass, field
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer, validation


@dataclass(frozen=True)
class File:
    """A file that `validation.check` has found to be what it says.

    Attributes:
        name: its path, for messages.
        model: the tree of objects, for reading; its weights are views into `data`.
    """

    name: str
    data: bytes = field(repr=False)
    model: schema.ModelT = field(repr=False)


def open_file(source: "str | os.PathLike | bytes | File") -> File:
    """The file at a path, or whose bytes these are; a `File` is passed on as it is.

    Raises:
        TypeError, FileNotFoundError: as `flatbuffer.read_bytes`.
        ValueError: it is no .tflite file, it is damaged, or it could do harm; the message says
            what is wrong and where.
    """
    if isinstance(source, File):
        return source
    data = flatbuffer.read_bytes(source)
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else "the given .tflite bytes"
    with flatbuffer.damage_explained(f"{name}: the .tflite file"):
        _check_size(data)
        model = flatbuffer.unpack(data)
    validation.check(model, len(data), name)
    return File(name, data, model)


def _check_size(data: bytes) -> None:
    """Refuses a file whose tables lie over each other, which would unpack without end."""
    model = schema.Model.GetRootAs(data, 0)
    # Every table takes 4 bytes at least, those of its place in a list.
    left = len(data) // 4 - model.OperatorCodesLength() - model.BuffersLength()
    left -= model.MetadataLength() + model.SignatureDefsLength()
    names = len(data)
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        left -= 1 + graph.TensorsLength() + graph.OperatorsLength()
        if left < 0:
            break
        names -= sum(_name_length(graph.Tensors(i)._tab) for i in range(graph.TensorsLength()))
    if left < 0 or names < 0:
        raise ValueError("its tables overlap")


def _name_length(table: Any) -> int:
    offset = table.Offset(10)  # `name` is Tensor's fourth field in schema.fbs
    return table.VectorLen(offset) if offset else 0
