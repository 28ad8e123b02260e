"""safetensors files read and written: a header of names, types and shapes, then the bytes.

Nothing in such a file can run. The header is checked by the package `safetensors` before anything
is allocated: each tensor's bytes lie in the file, one after the other, as many as its shape needs.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from slimnets.weights.pth import widened_bfloat16
from tflite.files.writing import write_bytes

# The package refuses longer ones as well.
_MOST_HEADER_BYTES = 100_000_000
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


def begins_one(start: bytes) -> bool:
    """Whether a file that starts with these (9 or more) bytes is one: a length, then JSON."""
    return (
        len(start) > 8
        and start[8:9] == b"{"
        and int.from_bytes(start[:8], "little") <= _MOST_HEADER_BYTES
    )


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a file as arrays by name, in the file's order; bfloat16 as float32.

    Takes memory of the order of the file's size, whatever its header claims.

    Raises:
        ValueError: truncated, damaged, no safetensors file, or with tensors of a type that numpy
            has no form for (8-bit floats); the message says which.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    data = path.read_bytes()
    if not begins_one(data):
        raise ValueError(f"{path}: not a safetensors file (it starts with {data[:16]!r}).")
    (length,) = struct.unpack("<Q", data[:8])
    if 8 + length > len(data):
        raise ValueError(
            f"{path}: truncated: its header has {length:,} bytes, and {len(data) - 8:,} are there."
        )
    try:
        table = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise ValueError(
            f"{path}: truncated or damaged: its header does not fit the {len(data) - 8 - length:,} "
            f"bytes behind it ({reason})."
        ) from error
    return {name: _array(path, name, tensor) for name, tensor in table}


def _array(path: Path, name: str, tensor: Mapping) -> np.ndarray:
    dtype, raw = tensor["dtype"], tensor["data"]
    if dtype == "BF16":
        values = widened_bfloat16(raw)
    elif dtype in _DTYPES:
        values = np.frombuffer(raw, _DTYPES[dtype])
    else:
        raise ValueError(
            f"{path}: {name} holds {dtype} values; read are {', '.join((*_DTYPES, 'BF16'))}."
        )
    return values.reshape(tensor["shape"])


def write_safetensors(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, whole or not at all, as PyTorch's `safetensors.torch` reads them."""
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    write_bytes(path, safetensors.numpy.save(arrays, metadata={"format": "pt"}))
