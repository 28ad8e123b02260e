"""TFRecord files as pictures that can be read in any order, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tflite.image_files import EncodedImage

# The length, its checksum; behind the record the checksum of it.
_BEFORE, _AFTER = 12, 4


@dataclass(frozen=True)
class Record:
    """What an example of a TFRecord file says of its picture.

    Attributes:
        picture: where its encoded bytes are.
        label: as stored.
        text: the class's name; "" where there is none.
    """

    picture: EncodedImage
    label: int
    text: str


def read(
    files: Sequence[str | Path], *, image: str, label: str, text: str | None = None
) -> Iterator[Record]:
    """The records of some files, in order; each file is read once, and no picture kept in memory.

    Args:
        files: TFRecord files of `tf.train.Example`, not compressed.
        image: the feature of the encoded picture (one byte string).
        label: that of the class (one integer).
        text: that of the class's name, which may be missing.

    Raises:
        ValueError: a file is no such file or damaged, an example lacks a feature; both are named.
        OSError: a file cannot be read.
    """
    import tensorflow as tf

    for file in map(str, files):
        offset = number = 0
        records = tf.data.TFRecordDataset(file).as_numpy_iterator()
        while True:
            try:
                record = next(records, None)
            except tf.errors.OpError as error:
                _raise(file, number, error)
            if record is None:
                break
            where = f"{file}, record {number}"
            encoded, found, name = _features(record, where, image, label, text)
            place = offset + _BEFORE + record.index(encoded)
            yield Record(EncodedImage(file, place, len(encoded), where), found, name)
            offset += _BEFORE + len(record) + _AFTER
            number += 1


def _features(
    record: bytes, where: str, image: str, label: str, text: str | None
) -> tuple[bytes, int, str]:
    import tensorflow as tf

    try:
        features = tf.train.Example.FromString(record).features.feature
    # protobuf's own DecodeError is not exported by tensorflow.
    except Exception as error:
        raise ValueError(f"{where} is no tf.train.Example: {error}.") from error
    encoded = features[image].bytes_list.value if image in features else ()
    labels = features[label].int64_list.value if label in features else ()
    for name, values, kind in ((image, encoded, "a picture"), (label, labels, "a number")):
        if len(values) != 1:
            raise ValueError(
                f"{where} has no {name} that is {kind}; its features are "
                f"{', '.join(sorted(features))}."
            )
    named = features[text].bytes_list.value if text and text in features else ()
    return encoded[0], int(labels[0]), named[0].decode(errors="replace") if len(named) else ""


def _raise(file: str, number: int, error: Exception) -> None:
    if not Path(file).is_file():
        raise FileNotFoundError(f"no file {file}.") from error
    with open(file, "rb") as opened:
        compressed = opened.read(2) in (b"\x1f\x8b", b"\x78\x9c")
    if compressed:
        raise ValueError(
            f"{file} is compressed, so that its records cannot be read in any order: decompress it."
        ) from error
    raise ValueError(
        f"{file} is no TFRecord file, or damaged: record {number} cannot be read."
    ) from error
