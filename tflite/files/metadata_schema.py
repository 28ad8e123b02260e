"""The flatbuffer that TFLite Metadata are: its tables by the slots of their fields.

Slots are the fields' positions in TensorFlow's `metadata_schema.fbs` (version 1.5.0 of the schema,
root type ModelMetadata, identifier M001).
"""

from collections.abc import Callable, Sequence

import flatbuffers
import numpy as np

METADATA_NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"

TEXT_SLOTS = {"name": 0, "description": 1, "version": 2, "author": 4, "license": 5}
SUBGRAPHS_SLOT, MIN_PARSER_VERSION_SLOT, MODEL_SLOTS = 3, 7, 8
SUBGRAPH_INPUTS_SLOT = 2
CUSTOM_METADATA_SLOT = 9  # of a subgraph
PROCESS_UNITS_SLOT = 4
NORMALIZATION_OPTIONS = 1
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2
TENSOR_AXIS_LABELS = 2
RGB, GRAYSCALE = 1, 2


class Writer:
    """A `flatbuffers.Builder` that writes a table from a mapping of slot to writing function.

    `table` returns the table's offset; all other methods the function that writes a value into the
    slot it is given, which flatbuffers wants done while the table is open.
    """

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


class Table:
    """A table of a flatbuffer, read by slot: 0, "" or nothing where a field is absent."""

    def __init__(self, table: flatbuffers.table.Table) -> None:
        self._table = table

    @classmethod
    def root(cls, data: bytes) -> "Table":
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

    def table(self, slot: int) -> "Table | None":
        at = self._at(slot)
        position = self._table.Indirect(at) if at else 0
        return Table(flatbuffers.table.Table(self._table.Bytes, position)) if at else None

    def tables(self, slot: int) -> list["Table"]:
        start, length = self._vector(slot)
        positions = [self._table.Indirect(start + 4 * i) for i in range(length)]
        return [Table(flatbuffers.table.Table(self._table.Bytes, p)) for p in positions]

    def floats(self, slot: int) -> tuple[float, ...]:
        start, length = self._vector(slot)
        return tuple(np.frombuffer(self._table.Bytes, "<f4", length, start).tolist())

    def _vector(self, slot: int) -> tuple[int, int]:
        offset = self._table.Offset(4 + 2 * slot)
        if not offset:
            return 0, 0
        return self._table.Vector(offset), self._table.VectorLen(offset)
