"""What kind of file holds weights: told by its content, whatever it is called."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from slimnets.weights.safetensors_files import begins_one

Kind = Literal["torch", "keras", "safetensors"]

_TORCH_SUFFIXES = (".pth", ".pt", ".pth.tar")
_SAFETENSORS_SUFFIX = ".safetensors"
_KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
# A pickle of protocol 2 or above, as torch.save begins its older format with.
_PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_OTHERS = {
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"<!": "a web page: the download failed",
    b"<h": "a web page: the download failed",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself (git lfs pull)",
}


def kind_of(path: Path) -> Kind | None:
    """What to read a file as; None: neither its content nor its name tells."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(_HDF5):
        return "keras"
    # Before pickles: a header of 640 bytes begins as they do.
    if begins_one(start):
        return "safetensors"
    if start.startswith(_ZIP):
        found = _in_zip(path)
    else:
        found = "torch" if start.startswith(_PICKLE) else None
    return found or _by_name(path.name)


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    with path.open("rb") as file:
        return file.read(8) == _HDF5


def describe(path: Path) -> str:
    """What a file of no known kind is, as far as its beginning tells; for a message."""
    if path.is_dir():
        return "a folder without a checkpoint"
    with path.open("rb") as file:
        start = file.read(32)
    known = (text for magic, text in _OTHERS.items() if start.startswith(magic))
    return next(known, f"it begins with {start[:8]!r}" if start else "empty")


def _in_zip(path: Path) -> Kind | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return None
    if "model.weights.h5" in names:
        return "keras"
    return "torch" if any(name.endswith("/data.pkl") for name in names) else None


def _by_name(name: str) -> Kind | None:
    if name.endswith(_KERAS_SUFFIXES):
        return "keras"
    if name.endswith(_SAFETENSORS_SUFFIX):
        return "safetensors"
    return "torch" if name.endswith(_TORCH_SUFFIXES) else None
