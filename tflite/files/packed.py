"""The zip archive that TFLite Metadata appends to a model (labels.txt …), read with care.

A few kilobytes of a zip archive can unpack to gigabytes, and its entries may be encrypted, damaged
or packed in ways that need as much memory to read.
"""

import io
import zipfile
import zlib

# The labels of ImageNet-21k, with all their synonyms, take less than 2 MB.
_MAX_TEXT_BYTES = 1 << 24
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


def packed_files(data: bytes) -> tuple[str, ...]:
    """The names in the archive behind a model; none without an archive, or with a broken one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return tuple(archive.namelist())
    # Of a damaged directory, zipfile raises whatever it stumbles on.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, LookupError):
        return ()


def packed_text(data: bytes, name: str) -> str | None:
    """The text file of this name behind a model, or else the first one; None where there is none.

    Raises:
        ValueError: it cannot be read, or is too large to be a list of labels.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            texts = [entry for entry in archive.infolist() if entry.filename.endswith(".txt")]
            texts.sort(key=lambda entry: entry.filename != name)
            return _text(archive, texts[0]) if texts else None
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, LookupError) as error:
        raise ValueError(f"the archive behind the model is broken: {error}") from error
    except zlib.error as error:
        raise ValueError(f"the packed {name} is broken: {error}") from error


def _text(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & _ENCRYPTED:
        raise ValueError(f"the packed {entry.filename} is encrypted")
    if entry.compress_type not in _METHODS:
        raise ValueError(f"the packed {entry.filename} is compressed by another method than zip's")
    with archive.open(entry) as file:
        # What the archive says of its size may be a lie.
        content = file.read(_MAX_TEXT_BYTES + 1)
    if len(content) > _MAX_TEXT_BYTES:
        raise ValueError(
            f"the packed {entry.filename} unpacks to more than {_MAX_TEXT_BYTES >> 20} MiB, which "
            "no list of labels takes"
        )
    return content.decode("utf-8")
