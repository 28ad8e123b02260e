"""`tfds:NAME`: the image sets of TensorFlow Datasets, downloaded and prepared by it."""

from __future__ import annotations

from typing import Any

from slimnets.data import examples, pictures
from slimnets.data.splits import Source
from slimnets.dense.split_names import SPLITS, split_name
from tflite.hints import did_you_mean


def load(name: str) -> Source:
    """A set of TensorFlow Datasets (package tensorflow-datasets, which is not installed with us).

    Its files are read as they are stored, a picture at a time, so that a set may be of any size.
    Its splits are taken as far as their names say which they are; without a validation split, a
    stratified fifth of the training images is "val".

    Args:
        name: as of `tfds.builder`: "oxford_flowers102", "imagenette/160px-v2", "tf_flowers:3.0.1".

    Raises:
        ModuleNotFoundError: the package is not installed.
        ValueError: it knows no such set, or the set is none of images with one label each; and as
            `slimnets.data.pictures.build`.
        ConnectionError: the set could not be downloaded or prepared.
    """
    builder = _prepared(name)
    image, label = _features(name, builder.info)
    names = tuple(builder.info.features[label].names)
    parts: dict[str, list] = {}
    for stored, info in builder.info.splits.items():
        split = split_name(stored)
        if split is None:
            continue
        if split in parts:
            raise ValueError(f"tfds:{name} has two splits that may be {split}: {stored} is one.")
        found = examples.read(info.filepaths, image=image, label=label)
        parts[split] = [(record.picture, record.label) for record in found if record.label >= 0]
        if not parts[split]:
            # Some sets publish their test images without labels, as -1.
            del parts[split]
    if "train" not in parts:
        raise ValueError(
            f"tfds:{name} has no labelled train split; its splits are "
            f"{', '.join(builder.info.splits)}."
        )
    found = {split: {names[label] for _, label in part} for split, part in parts.items()}
    pictures.check_same_classes(f"tfds:{name}", found)
    ordered = {split: parts[split] for split in SPLITS if split in parts}
    return pictures.build(f"tfds:{name}", names, ordered)


def _prepared(name: str) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"tfds:{name} needs a package that is not installed ({error.name}): "
            "pip install tensorflow-datasets."
        ) from error
    try:
        builder = tfds.builder(name)
    except ValueError as error:
        hint = did_you_mean(name, tfds.list_builders())
        raise ValueError(f"TensorFlow Datasets knows no {name!r:.80}.{hint}") from error
    try:
        builder.download_and_prepare()
    # What fails there is of many kinds: the network, a checksum, a manual download, the disk.
    except Exception as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ConnectionError(
            f"TensorFlow Datasets could not prepare {name}: {told[0]:.300}"
        ) from error
    form = str(getattr(builder.info.file_format, "value", builder.info.file_format))
    if form != "tfrecord":
        raise ValueError(
            f"tfds:{name} is stored as {form}; prepare it with "
            "download_and_prepare(file_format='tfrecord')."
        )
    return builder


def _features(name: str, info: Any) -> tuple[str, str]:
    """The names of the picture's and the label's features."""
    keys = info.supervised_keys or ("image", "label")
    features = info.features
    kinds = [type(features[key]).__name__ if key in features else "" for key in keys[:2]]
    if len(keys) != 2 or kinds != ["Image", "ClassLabel"]:
        told = ", ".join(f"{key}: {type(features[key]).__name__}" for key in features)
        raise ValueError(
            f"tfds:{name} is no set of images with one label each; its features are {told}."
        )
    return keys[0], keys[1]
