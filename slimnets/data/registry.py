"""`load("builtin:digits")`, `load("folder:PATH")`, …: sources of labelled images by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np

from slimnets.data import annotated, arrays, folder, scenes, table, tfds, tfrecord
from slimnets.data.splits import Annotated, Source
from tflite.hints import did_you_mean
from tflite.image_files import choose_files, in_turns, readable
from tflite.images import Preprocessing

# What stands before the colon → what opens a source, given what stands behind it.
SOURCES: Mapping[str, Callable[[str], Source]] = MappingProxyType(
    {
        "builtin:digits": lambda _: arrays.digits(),
        "builtin:scenes": lambda _: scenes.load(),
        "mnist": partial(arrays.keras_dataset, "mnist"),
        "fashion_mnist": partial(arrays.keras_dataset, "fashion_mnist"),
        "cifar10": partial(arrays.keras_dataset, "cifar10"),
        "cifar100": partial(arrays.keras_dataset, "cifar100"),
        "folder": folder.load,
        "csv": lambda path: (
            annotated.load("csv", path) if annotated.has_boxes(path) else table.load(path)
        ),
        "tfrecord": tfrecord.load,
        "tfds": tfds.load,
        **{kind: partial(annotated.load, kind) for kind in ("voc", "coco", "yolo", "masks")},
    }
)

# Sources that are nothing without an argument, and what that may look like.
_OF_FILES = {
    "folder": "photos",
    "csv": "labels.csv",
    "tfrecord": "data/*",
    "tfds": "tf_flowers",
    "voc": "photos",
    "coco": "boxes.json",
    "yolo": "photos",
    "masks": "photos",
}
_NO_NAME = "a data source is told by a name, such as 'folder:PATH', got {!r:.80}."


def load(source: str) -> Source:
    """Opens a source of labelled images; nothing random, the same splits every time.

    Args:
        source: "builtin:digits"; "mnist", "fashion_mnist", "cifar10" or "cifar100" (downloaded by
            Keras; the first two also "fashion_mnist:PATH" from a folder of IDX files);
            "folder:PATH" with one sub-folder per class, or with train/, val/ and perhaps test/ of
            such; "csv:FILE" with the columns path, label and perhaps split; "tfrecord:PATTERN", of
            files as TF-Slim writes them; "tfds:NAME", of TensorFlow Datasets. For detectors
            and segmenters: "builtin:scenes", and "voc:", "coco:", "yolo:", "csv:" and "masks:" with
            a folder or file. What each of them takes and refuses: `load` of `slimnets.data`'s
            folder, table, tfrecord, tfds and annotated.

    Raises:
        ValueError: unknown source, or data that is wrong.
        FileNotFoundError: a file or folder is not there.
        ModuleNotFoundError: tfds needs a package that is not installed.
    """
    if not isinstance(source, str):
        raise TypeError(_NO_NAME.format(source))
    kind, _, argument = source.partition(":")
    name = source if source in SOURCES else kind
    if name not in SOURCES:
        hint = did_you_mean(source, SOURCES)
        raise ValueError(f"unknown data source {source!r}; known are {', '.join(SOURCES)}.{hint}")
    if name in _OF_FILES and not argument:
        raise ValueError(f"{name} needs to know which, such as '{name}:{_OF_FILES[name]}'.")
    return SOURCES[name]("" if name == source else argument)


def calibration_images(source: str, preprocessing: Preprocessing, count: int = 100) -> np.ndarray:
    """Training images to calibrate a quantization with, the classes taking turns.

    The choice is that of `tflite.representative_dataset`: shuffled, the same every time, and files
    that cannot be read are skipped, named in the log and replaced by later ones.

    Args:
        source: as of `load`; a plain path to a folder of images, sorted into classes or not, is
          allowed too.
        preprocessing: of the network.
        count: at most so many images.

    Returns:
        float32 (n, h, w, channels), in the network's input space.

    Raises:
        ValueError, FileNotFoundError: as `load`; a folder without readable images.
    """
    if not isinstance(source, str):
        raise TypeError(_NO_NAME.format(source))
    path = Path(source.removeprefix("folder:")).expanduser()
    if source.startswith("folder:") or path.is_dir():
        # The training images, where they are told from others.
        folders = folder.folders_of_classes(path)
        candidates = choose_files(folders[0] if folders else path)
    else:
        train = load(source).splits["train"]
        if isinstance(train, Annotated):
            order = np.random.default_rng(0).permutation(len(train))
        else:
            order = np.array(in_turns(train.labels.tolist()))
        candidates = train.select(order).images
    # One by one: a hundred photographs need not be in memory at once.
    images = [preprocessing(image) for image in islice(readable(candidates), count)]
    if not images:
        raise ValueError(f"no image of {source} can be read.")
    return np.stack(images)
