"""`.keras` and `.weights.h5` files of strangers, looked through before Keras or anyone reads them.

A `.keras` file is a zip archive of a configuration (JSON) and weights (HDF5). Each of the three can
claim more than it holds: an entry that unpacks to gigabytes, lists that nest without end, a data
set that is a window on another file of this machine.
"""

import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# The configuration of a network of a thousand layers takes 2 MB and nests 12 deep.
_MAX_CONFIG_BYTES = 1 << 26
_MAX_DEPTH = 200
# Trained weights hardly shrink when they are compressed; constant ones may, a little network's.
_MAX_GROWTH, _FREE_BYTES = 20, 1 << 26
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_ENCRYPTED = 0x1
_WIDTHS = ("filters", "units", "output_dim")

_DAMAGE = (OSError, LookupError, TypeError, AttributeError, ValueError, RuntimeError, EOFError)
_DAMAGE += (zipfile.BadZipFile, zlib.error)


def check_keras_archive(path: str | os.PathLike) -> None:
    """Raises unless a `.keras` file may be given to `keras.models.load_model(safe_mode=True)`.

    Raises:
        ValueError: no zip archive, an entry that is missing, encrypted or unpacks to far more than
            the file holds, a configuration that is no JSON, nests without end or tells of an
            impossible epsilon or of more weights than there are, weights that lie in another file.
    """
    config, weights = open_keras_archive(path)
    with weights:
        _check_sizes(config, Path(path), _file_size(weights))
        check_weights_file(weights, path)


def open_keras_archive(path: str | os.PathLike, *, compressed: bool = True) -> tuple[dict, Any]:
    """The configuration, as plain data, and the weights, as an open `h5py.File`.

    Args:
        path: of the `.keras` file.
        compressed: False refuses compressed entries, which Keras itself never writes.

    Raises:
        ValueError: as `check_keras_archive`; the weights' own content is not looked at yet.
    """
    import io

    import h5py

    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive, path.stat().st_size, compressed)
            config = _read_config(archive)
            weights = h5py.File(io.BytesIO(archive.read(_WEIGHTS)), "r")
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is no Keras model that can be loaded safely, and not a readable weight file "
            f"of Keras 3: {_words(error)}. Save it again with model.save('model.keras'), or get "
            "another copy."
        ) from error
    try:
        check_config(config)
    except ValueError as error:
        weights.close()
        raise ValueError(f"{path} is refused: in its {_CONFIG}, {error}.") from error
    return config, weights


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _check_entries(archive: zipfile.ZipFile, size: int, compressed: bool) -> None:
    entries = {entry.filename: entry for entry in archive.infolist()}
    for name in (_CONFIG, _WEIGHTS):
        if name not in entries:
            raise ValueError(f"the archive holds no {name}")
    if any(entry.flag_bits & _ENCRYPTED for entry in entries.values()):
        raise ValueError("encrypted entries, which Keras never writes")
    if not compressed and any(e.compress_type != zipfile.ZIP_STORED for e in entries.values()):
        raise ValueError("compressed entries, which Keras never writes")
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > _MAX_GROWTH * size + _FREE_BYTES:
        raise ValueError(f"a file of {size} bytes that unpacks to {unpacked}")
    if entries[_CONFIG].file_size > _MAX_CONFIG_BYTES:
        raise ValueError(f"a {_CONFIG} of {entries[_CONFIG].file_size} bytes")


def _read_config(archive: zipfile.ZipFile) -> dict:
    try:
        config = json.loads(archive.read(_CONFIG))
    except RecursionError:
        raise ValueError(f"{_CONFIG} nests without end") from None
    except ValueError as error:
        raise ValueError(f"{_CONFIG} is no JSON: {_words(error)}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{_CONFIG} is no table of fields")
    return config


# --- The configuration. ------------------------------------------------------------------------


def check_config(config: Any) -> None:
    """Raises for nesting that would exhaust who walks it, and for an impossible epsilon.

    Raises:
        ValueError: says which field.
    """
    for node, depth in _walk(config):
        if depth > _MAX_DEPTH:
            raise ValueError(f"fields nest more than {_MAX_DEPTH} deep")
        if isinstance(node, Mapping) and "epsilon" in node:
            check_epsilon(node["epsilon"], f"of layer {str(node.get('name', '?'))[:80]!r}")


def check_epsilon(epsilon: Any, where: str) -> None:
    """Raises unless this can be added to a variance: a finite number, 0 or more (or None)."""
    number = isinstance(epsilon, int | float) and not isinstance(epsilon, bool)
    if epsilon is not None and not (number and 0 <= epsilon <= 1):
        raise ValueError(f"the epsilon {where} must be a number in [0, 1], got {epsilon!r:.40}")


def _walk(config: Any) -> Iterator[tuple[Any, int]]:
    """Every table and list of the model, with its depth; without recursion: it may be deep."""
    waiting = [(config, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        if isinstance(node, Mapping):
            fields = (value for key, value in node.items() if key != "compile_config")
            waiting += [(value, depth + 1) for value in fields if _holds(value)]
        elif isinstance(node, list):
            waiting += [(value, depth + 1) for value in node if _holds(value)]


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)


def _check_sizes(config: Any, path: Path, weight_bytes: int) -> None:
    """Keras makes a layer's variables, from its config, before it opens the file with them."""
    for node, _ in _walk(config):
        fields = node.get("config") if isinstance(node, Mapping) else None
        if not isinstance(fields, Mapping):
            continue
        wanted = _wanted_values(fields, node.get("build_config"))
        if wanted > weight_bytes:
            name = str(fields.get("name", "?"))[:80]
            raise ValueError(
                f"{path} is refused: its layer {name!r} needs {wanted:,} weights, but the file "
                f"holds {weight_bytes:,} bytes of weights."
            )


def _wanted_values(fields: Mapping[str, Any], build: Any) -> int:
    width = max((n for n in map(fields.get, _WIDTHS) if _is_whole(n)), default=0)
    if not width:
        return 0
    kernel = fields.get("kernel_size")
    window = [n for n in kernel if _is_whole(n)] if isinstance(kernel, list) else []
    shape = build.get("input_shape") if isinstance(build, Mapping) else None
    depth = shape[-1] if isinstance(shape, list) and shape and _is_whole(shape[-1]) else 1
    groups = fields.get("groups", 1)
    return width * math.prod(window) * depth // (groups if _is_whole(groups) and groups else 1)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# --- The weights. ------------------------------------------------------------------------------


def check_weights_file(file: Any, path: str | os.PathLike) -> None:
    """Raises unless all data sets of an open `h5py.File` lie in it, and are as large as it says.

    Raises:
        ValueError: a link, a virtual data set or external storage; more values than bytes.
    """
    try:
        _check_groups(file, path)
    # Our own refusals are ValueErrors, and pass; h5py has this kind of it for names.
    except (UnicodeError, OSError, LookupError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is not a readable weight file: {_words(error)}.") from error


def _check_groups(file: Any, path: str | os.PathLike) -> None:
    import h5py

    left = 2 * _file_size(file) + _FREE_BYTES // 64
    waiting, seen = [file], set()
    while waiting:
        group = waiting.pop()
        for key in group:
            item = plain_item(group, key, path)
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            else:
                left -= item.nbytes
            if left < 0:
                raise ValueError(
                    f"{path}: damaged: the data set {item.name} of shape {item.shape} is larger "
                    "than the file that holds it."
                )


def plain_item(group: Any, key: str, path: str | os.PathLike) -> Any:
    """The group or data set of this name, once it is sure that it lies in this very file.

    Raises:
        ValueError: a link, a virtual data set or external storage would read whatever file it
            names.
    """
    import h5py

    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise ValueError(f"{path}: refused the link {key!r} to elsewhere.")
    item = group[key]
    if isinstance(item, h5py.Group):
        return item
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise ValueError(f"{path}: refused {item.name}, which is not plain data of this file.")
    return item


def _file_size(file: Any) -> int:
    return int(file.id.get_filesize())
