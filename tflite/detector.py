"""Finding objects with nothing but a .tflite file."""

import os
from typing import Any, NamedTuple

import numpy as np

from tflite.files.detection_operator import is_detector
from tflite.files.metadata import read_metadata
from tflite.files.reading import open_file
from tflite.predictor import pixels_only
from tflite.runtime import Session


class Detection(NamedTuple):
    """An object: its class's name (its number, where the file has no labels), how sure it is (0 to
    1), and (ymin, xmin, ymax, xmax) in fractions of the picture.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]


class Detector:
    """A .tflite file that ends in TFLite_Detection_PostProcess.

    How to resize and normalize an image is read from the file's metadata.

    Attributes:
        labels: a name for each class; empty if the file holds none.
        image: what the file says about its input.
        input_shape: (height, width, channels) that the network takes.
    """

    def __init__(
        self,
        path: str | os.PathLike | bytes,
        num_threads: int | None = None,
        *,
        delegate: str | os.PathLike | None = None,
    ) -> None:
        """Loads the file; arguments and errors as `tflite.Predictor`.

        Raises:
            ValueError: also where it does not end in that operator, or says nothing of how to
                prepare images.
        """
        file = open_file(path)
        if not is_detector(file.model):
            raise ValueError(
                f"{file.name} does not end in TFLite_Detection_PostProcess, as files that "
                "tflite.convert_detector makes: tflite.Predictor runs others."
            )
        metadata = read_metadata(file)
        if metadata.image is None:
            raise ValueError(
                f"{file.name} does not say how to prepare images (it has no normalization "
                "metadata): convert it with preprocessing=."
            )
        self.labels, self.image = metadata.labels, metadata.image
        self._session = Session(file, self.image.of_file, num_threads, delegate=delegate)
        self.input_shape = self._session.input_shape

    def detect(self, images: Any, score_threshold: float = 0.3) -> list[list[Detection]]:
        """What is in one image or several, the surest first.

        Args:
            images: as `tflite.Predictor.predict` takes them: paths, PIL images, uint8 arrays.
            score_threshold: only what is surer, 0 to 1.

        Raises:
            TypeError, ValueError: as there.
        """
        if not isinstance(score_threshold, int | float) or not 0 <= score_threshold <= 1:
            raise ValueError(
                f"score_threshold must be a number from 0 to 1, got {score_threshold!r:.80}."
            )
        how = self.image.of_file
        return [self._of(how(image), score_threshold) for image in pixels_only(images)]

    def _of(self, image: np.ndarray, score_threshold: float) -> list[Detection]:
        boxes, classes, scores, count = self._session.run_all(image)
        found = []
        for index in range(int(count[0])):
            score, kind = float(scores[0, index]), int(classes[0, index])
            if score > score_threshold:
                label = self.labels[kind] if kind < len(self.labels) else str(kind)
                box = np.clip(boxes[0, index], 0, 1)
                found.append(Detection(label, score, tuple(float(edge) for edge in box)))
        return found
