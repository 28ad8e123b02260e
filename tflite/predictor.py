"""Classifying images with nothing but a .tflite file."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tflite.files import flatbuffer
from tflite.files.detection_operator import is_detector
from tflite.files.metadata import read_metadata
from tflite.files.reading import open_file
from tflite.runtime import Session, softmax

# Images that a file with an open batch is given at once.
_OPEN_BATCH = 16


class Predictor:
    """A .tflite file that takes images and gives probabilities.

    How to crop, resize and normalize an image is read from the file's metadata.

    Attributes:
        labels: a name for each class; empty if the file holds none.
        image: what the file says about its input; None if it says nothing.
        input_shape: (height, width, channels) that the network takes.
        gives: what the network ends in: "probabilities", "logits" or "numbers".
    """

    def __init__(
        self,
        path: str | os.PathLike | bytes,
        num_threads: int | None = None,
        *,
        delegate: str | os.PathLike | None = None,
    ) -> None:
        """Loads the file.

        Args:
            path: a .tflite file, or its bytes.
            num_threads: of the CPU kernels; None is LiteRT's default.
            delegate: a library that runs what it can of the file: "libedgetpu.so.1" for one that
                was compiled for a Coral device ("libedgetpu.1.dylib" on macOS, "edgetpu.dll" on
                Windows). None: the CPU.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a .tflite file, it has several inputs, or it was compiled for the
                Edge TPU and there is no delegate.
            OSError: the delegate's library cannot be loaded, or its device does not answer; the
                message says what to install.
        """
        file = open_file(path)
        graph = file.model.subgraphs[0]
        inputs = 0 if graph.inputs is None else len(graph.inputs)
        if inputs != 1:
            raise ValueError(
                f"Predictor runs files with one image input; {file.name} has {inputs}."
            )
        if is_detector(file.model):
            raise ValueError(
                f"{file.name} gives boxes, not probabilities: tflite.Detector runs it."
            )
        metadata = read_metadata(file)
        self._name = file.name
        self.labels = metadata.labels
        self.image = metadata.image
        self._session = Session(
            file, self.image and self.image.of_file, num_threads, delegate=delegate
        )
        self.input_shape = self._session.input_shape
        self.gives = flatbuffer.output_kind(file.model)

    def predict(self, images: Any, preprocessed: bool = False) -> np.ndarray:
        """What the network answers to one image or several: probabilities, of a classifier.

        Args:
            images: a path, a PIL image, a uint8 array (height, width[, channels]) of any size,
                a uint8 batch (N, height, width, channels), or a list of such images.
            preprocessed: `images` is instead a floating-point batch (N, height, width,
                channels) already in the network's input space.

        Returns:
            float32 (N, classes), or (N, height, width, classes) from a dense prediction. A file
            that ends in logits gets the softmax here; one that gives numbers (a single linear
            output, such as an age) is not touched.

        Raises:
            TypeError: floating-point images without `preprocessed=True`, or the reverse.
            ValueError: the file does not say how to prepare images; a wrong shape; an image that
                cannot be read (an OSError as well, and a FileNotFoundError if it is not there).
        """
        if preprocessed:
            batch = self._check_preprocessed(images)
            outputs = self._session.run(batch if self.image is None else self.image.to_file(batch))
        else:
            outputs = np.concatenate([*self._of_pixels(pixels_only(images))])
        return softmax(outputs) if self.gives == "logits" else outputs

    def _of_pixels(self, images: Sequence[Any]) -> Iterator[np.ndarray]:
        """Outputs batch by batch, so that only one batch of prepared images is in memory."""
        if self.image is None:
            raise ValueError(
                f"{self._name} does not say how to prepare images (it has no normalization "
                "metadata); prepare them yourself and pass preprocessed=True."
            )
        how, size = self.image.of_file, self._session.batch or _OPEN_BATCH
        for start in range(0, len(images), size):
            yield self._session.run(how(images[start : start + size]))

    def _check_preprocessed(self, images: Any) -> np.ndarray:
        batch = np.asarray(images)
        if not np.issubdtype(batch.dtype, np.floating):
            raise TypeError(
                f"preprocessed images must be floating-point numbers, got {batch.dtype}; pass "
                "pixels without preprocessed=True."
            )
        shape = self.input_shape
        if batch.ndim != 4 or batch.shape[1:] != shape or not len(batch):
            raise ValueError(
                f"preprocessed images must have the shape (N, {', '.join(map(str, shape))}), got "
                f"{batch.shape}."
            )
        return batch.astype(np.float32)


def pixels_only(images: Any) -> Sequence[Any]:
    """One image or several as a list, none of them an array of floating-point numbers.

    Raises:
        TypeError: one is.
        ValueError: there are none.
    """
    several = isinstance(images, (list, tuple)) or (hasattr(images, "ndim") and images.ndim == 4)
    images = list(images) if several else [images]
    if not images:
        raise ValueError("no images were given.")
    for image in images:
        if hasattr(image, "dtype") and np.issubdtype(image.dtype, np.floating):
            raise TypeError(
                f"images must be uint8 pixels 0..255, got {image.dtype}; pass preprocessed=True "
                "for floating-point images that are already in the network's input space."
            )
    return images
