"""PyTorch checkpoints (`torch.save`) read without PyTorch and without running anything in them.

Two formats: the zip archive of PyTorch ≥ 1.6 and the older sequence of pickles and storages
(torch/serialization.py: `_load` and `_legacy_load`). Both hold a pickle whose tensors refer to
storages by key. The pickle goes through `restricted_pickle`; the storages are read as raw bytes.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slimnets.weights import restricted_pickle
from slimnets.weights.wrappers import architecture, find_state_dict

# What reading a damaged file can end in; zipfile raises RuntimeError where it is lost.
_DAMAGE = (OverflowError, EOFError, RuntimeError, LookupError, TypeError, AttributeError)
_DAMAGE += (zipfile.BadZipFile, struct.error, zlib.error)
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_BFLOAT16 = "bfloat16"
_DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": _BFLOAT16,
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "?",
    "complex64": "c8",
    "complex128": "c16",
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_SYMBOLS = (
    {f"torch.{name}": dtype for name, dtype in _STORAGES.items()}
    | {f"torch.cuda.{name}": dtype for name, dtype in _STORAGES.items()}
    | {"torch.storage.UntypedStorage": "uint8"}
    | {f"torch.{dtype}": dtype for dtype in _DTYPES}
)


# Nothing is ever run; but a file that names these was made to harm, and is not worth reading.
_HARMFUL_MODULES = {"os", "posix", "nt", "sys", "subprocess", "runpy", "pty", "socket", "shutil"}
_HARMFUL_MODULES |= {"importlib", "ctypes", "code", "codeop", "pdb", "timeit", "webbrowser"}
_HARMFUL_MODULES |= {
    "multiprocessing",
    "threading",
    "signal",
    "urllib",
    "commands",
    "_posixsubprocess",
}
_HARMFUL_BUILTINS = {"eval", "exec", "execfile", "compile", "__import__", "open", "input"}
_HARMFUL_BUILTINS |= {"breakpoint", "globals", "apply", "delattr", "setattr"}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int
    start: int = 0


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Checkpoint(NamedTuple):
    """A file's tensors; where in it they were, if they are an averaged copy, else ""; what the
    training calls the network, else ""."""

    arrays: dict[str, np.ndarray]
    average: str
    architecture: str


def read_pth(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the tensors of a `.pth`/`.pt` file as arrays by name, in the file's order.

    A state dict inside a training checkpoint (`{"state_dict": …}`, `"model"`, `"net"`) or inside a
    saved model is found, an averaged copy (`"model_ema"`) before another, and the `module.` that
    DataParallel puts before every name is taken off. Other objects beside the weights are passed
    over: nothing of them is imported or run. Arrays have the tensor's shape and type, bfloat16 as
    float32; they are read-only views of what was read, so the memory used is of the order of the
    file's size whatever the file claims. Plain numbers among the tensors become arrays of rank 0.

    Raises:
        ValueError: not a PyTorch file, truncated or damaged, without weights, or its pickle names
          what can do harm (`os.system`): the message says what.
        FileNotFoundError: there is no such file.
    """
    return read_checkpoint(path).arrays


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """`read_pth`, and which of several copies it took; raises what `read_pth` does."""
    path = Path(path)
    data = path.read_bytes()
    try:
        if data[:4] == b"PK\x03\x04":
            checkpoint, storage_bytes, order = _read_zip(data)
        else:
            checkpoint, storage_bytes, order = _read_legacy(data)
        found = find_state_dict(checkpoint, lambda value: isinstance(value, _Tensor))
        entries = _without_module(found.tensors)
        read_tensor = _tensor_reader(storage_bytes, order, len(data))
        arrays = {name: read_tensor(name, value) for name, value in entries.items()}
        return Checkpoint(arrays, found.average, architecture(checkpoint))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except _DAMAGE as error:
        raise ValueError(f"{path}: damaged: {error or type(error).__name__}") from error


def _read_zip(data: bytes) -> tuple[Any, Callable[[str], Any], str]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    # PyTorch stores without compression; then no entry can be larger than the file it lies in.
    total = sum(entry.file_size for entry in archive.infolist())
    if total > len(data) or any(e.compress_type != zipfile.ZIP_STORED for e in archive.infolist()):
        raise ValueError("compressed or overlapping entries, which torch.save never writes.")
    names = set(archive.namelist())
    pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError("a zip archive, but not a checkpoint of torch.save: it has no data.pkl.")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
        raise ValueError(
            "a TorchScript archive (a program, not a table of weights). In PyTorch, save the "
            "weights alone: torch.save(torch.jit.load(path).state_dict(), new_path)."
        )

    def storage_bytes(key: str) -> bytes:
        entry = f"{root}data/{key}"
        if entry not in names:
            raise ValueError(f"damaged: the storage {key!r} is missing.")
        return archive.read(entry)

    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
    if order not in (b"little", b"big"):
        raise ValueError(f"damaged: unknown byte order {order[:20]!r}.")
    checkpoint, _ = _unpickle(io.BytesIO(archive.read(pickles[0])))
    return checkpoint, storage_bytes, "<" if order == b"little" else ">"


def _read_legacy(data: bytes) -> tuple[Any, Callable[[str], Any], str]:
    if data[257:262] == b"ustar":
        raise ValueError(
            "written by PyTorch 0.1 (a tar file): load and save it in a newer PyTorch."
        )
    if data[:1] not in (b"\x80", b"(", b"c", b"L"):
        raise ValueError(f"not a PyTorch checkpoint (it starts with {data[:16]!r}).")
    file = io.BytesIO(data)
    if restricted_pickle.load(file, {}) != _LEGACY_MAGIC:
        raise ValueError("a pickle, but not one of torch.save.")
    protocol = restricted_pickle.load(file, {})
    if protocol != _LEGACY_PROTOCOL:
        raise ValueError(f"protocol {protocol!r} of torch.save; only {_LEGACY_PROTOCOL} is known.")
    restricted_pickle.load(file, {})  # the writer's type sizes; storages are little-endian always
    checkpoint, storages = _unpickle(file)
    chunks: dict[str, memoryview] = {}
    keys = restricted_pickle.load(file, {})
    if not isinstance(keys, list):
        raise ValueError("damaged: the list of storages is missing.")
    for key in keys:
        if not isinstance(key, str) or key not in storages:
            raise ValueError(f"damaged: no tensor uses the storage {key!r}.")
        (count,) = struct.unpack("<q", file.read(8))
        size = count * _item_size(storages[key].dtype)
        start = file.tell()
        if count < 0 or start + size > len(data):
            raise ValueError(
                f"truncated: the storage {key!r} needs {size} bytes, {len(data) - start} are left."
            )
        chunks[key] = memoryview(data)[start : start + size]
        file.seek(start + size)

    def storage_bytes(key: str) -> memoryview:
        if key not in chunks:
            raise ValueError(f"damaged: the storage {key!r} is missing.")
        return chunks[key]

    return checkpoint, storage_bytes, "<"


def _unpickle(file: io.BytesIO) -> tuple[Any, dict[str, _Storage]]:
    """The checkpoint with `_Tensor` records for tensors, and its storages by key."""
    storages: dict[str, _Storage] = {}

    def persistent_load(pid: Any) -> _Storage:
        kind, storage_type, key, _location, count, *view = pid
        if kind != "storage" or not isinstance(storage_type, restricted_pickle.Global):
            raise ValueError(f"refused a persistent {str(kind)[:40]!r}: only storages are data.")
        if not (isinstance(key, str) and isinstance(count, int) and count >= 0):
            raise ValueError("damaged: a storage without a proper key or size.")
        root = storages.setdefault(key, _Storage(key, _SYMBOLS[str(storage_type)], count))
        if not view or view[0] is None:
            return root
        _view_key, start, size = view[0]  # PyTorch < 0.4: a storage inside another
        return _Storage(key, root.dtype, int(size), int(start))

    constructors: dict[str, Callable[..., Any]] = {
        "collections.OrderedDict": _ordered_dict,
        "collections.defaultdict": lambda *_: {},
        "collections.Counter": lambda counts=(): dict(counts),
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
        "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
        "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
        "torch.Size": tuple,
    }
    # A subclass of Tensor, or one with attributes: (what rebuilds it, class, arguments, state).
    constructors["torch._tensor._rebuild_from_type_v2"] = lambda rebuild, _, arguments, __: (
        constructors[str(rebuild)](*arguments)
    )
    return restricted_pickle.load(
        file, constructors, _SYMBOLS.__contains__, persistent_load, _check_harmless
    ), storages


def _check_harmless(name: str) -> None:
    module, _, function = name.rpartition(".")
    if module in ("builtins", "__builtin__"):
        harmful = function in _HARMFUL_BUILTINS
    else:
        harmful = name.partition(".")[0] in _HARMFUL_MODULES
    if harmful:
        raise ValueError(f"refused {name[:200]}: it runs code. Do not use this file elsewhere.")


def _ordered_dict(pairs: Any = ()) -> dict:
    result = {}
    for key, value in pairs:
        if not isinstance(key, str | int):
            raise TypeError(f"a dict key of type {type(key).__name__}")
        result[key] = value
    return result


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(isinstance(n, int) for n in numbers):
        raise TypeError("a tensor without a storage, offset, shape and strides")
    return _Tensor(storage, storage.dtype, offset, tuple(shape), tuple(strides))


def _rebuild_tensor_v2(
    storage, offset, shape, strides, _requires_grad, _hooks, metadata=None
) -> _Tensor:
    if metadata:
        raise ValueError("refused a conjugated or negated tensor view: save .resolve_conj() of it.")
    return _rebuild_tensor(storage, offset, shape, strides)


def _rebuild_tensor_v3(
    storage, offset, shape, strides, _requires_grad, _hooks, dtype, metadata=None
) -> _Tensor:
    tensor = _rebuild_tensor_v2(storage, offset, shape, strides, None, None, metadata)
    return _Tensor(storage, _SYMBOLS[str(dtype)], offset, tensor.shape, tensor.strides)


def _without_module(tensors: dict[str, Any]) -> dict[str, Any]:
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _item_size(dtype: str) -> int:
    return 2 if dtype == _BFLOAT16 else np.dtype(_DTYPES[dtype]).itemsize


def _tensor_reader(
    storage_bytes: Callable[[str], Any], order: str, file_size: int
) -> Callable[[str, Any], np.ndarray]:
    """Turns `_Tensor` records into arrays, each storage read and converted once."""
    flat_arrays: dict[tuple[str, str], np.ndarray] = {}

    def flat(storage: _Storage, dtype: str) -> np.ndarray:
        if (storage.key, dtype) not in flat_arrays:
            flat_arrays[storage.key, dtype] = _decode(storage_bytes(storage.key), dtype, order)
        whole = flat_arrays[storage.key, dtype]
        if storage.start == 0:
            return whole
        if not 0 <= storage.start <= storage.start + storage.count <= whole.size:
            raise ValueError(f"damaged: a view outside the storage {storage.key!r}.")
        return whole[storage.start : storage.start + storage.count]

    def read(name: str, value: Any) -> np.ndarray:
        if not isinstance(value, _Tensor):
            return np.asarray(value)
        values = flat(value.storage, value.dtype)
        count = math.prod(value.shape)
        bounds = (value.offset, *value.shape, *value.strides)
        if len(value.shape) != len(value.strides) or min(bounds) < 0 or len(value.shape) > 32:
            raise ValueError(f"damaged: {name} has shape {value.shape}, strides {value.strides}.")
        last = value.offset + sum(
            (n - 1) * s for n, s in zip(value.shape, value.strides, strict=True)
        )
        # The second test stops a stride of 0 from making a small file into a huge array.
        if count and (last >= values.size or count * values.itemsize > 2 * file_size):
            raise ValueError(
                f"damaged: {name} of shape {value.shape} does not fit in its storage of "
                f"{values.size} values."
            )
        if not count:
            return np.zeros(value.shape, values.dtype)
        strides = [s * values.itemsize for s in value.strides]
        return np.lib.stride_tricks.as_strided(
            values[value.offset :], value.shape, strides, writeable=False
        )

    return read


def _decode(raw: Any, dtype: str, order: str) -> np.ndarray:
    if len(raw) % _item_size(dtype):
        raise ValueError(f"damaged: a storage of {len(raw)} bytes cannot hold {dtype} values.")
    if dtype == _BFLOAT16:
        return widened_bfloat16(raw, order)
    values = np.frombuffer(raw, np.dtype(_DTYPES[dtype]).newbyteorder(order))
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def widened_bfloat16(raw: Any, order: str = "<") -> np.ndarray:
    """bfloat16 values, which numpy does not have, as float32: they are the upper half of one."""
    return (np.frombuffer(raw, order + "u2").astype(np.uint32) << 16).view(np.float32)
