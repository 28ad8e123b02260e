"""What numbers a model's input takes, as its preprocessing tells or its calibration images do."""

from dataclasses import replace
from typing import Any

import numpy as np

from tflite.images import ImageInput, image_input
from tflite.quantizing import calibration

# Precisions whose files have the ranges of calibration images.
CALIBRATED = ("int8", "int16x8")
# Ranges that networks are trained with, as (low, high).
_KNOWN_RANGES = ((-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (0.0, 255.0))


def decide(
    preprocessing: Any, shape: tuple[int, int, int], images: np.ndarray | None
) -> tuple[ImageInput | None, list[str]]:
    """How pixels become the model's input, as told or as images tell, and what was guessed.

    Args:
        preprocessing: as of `tflite.convert`.
        shape: (height, width, channels) of the input.
        images: for calibration, (N, *shape).

    Raises:
        TypeError, ValueError: as `tflite.images.image_input`.
    """
    if preprocessing is not None:
        image = image_input(preprocessing, shape)
        # MediaPipe refuses a mean or std per channel, so the file has to do that by itself.
        return replace(image, in_graph=not image.same_for_all_channels), []
    if images is None:
        return None, []
    low, high = float(images.min()), float(images.max())
    seen = f"no preprocessing was given: calibration images lie in {low:g}..{high:g}"
    found = next((known for known in _KNOWN_RANGES if _fills(known, low, high)), None)
    if found is None:
        return None, [
            f"{seen}, which fills none of the usual ranges: the input is quantized to just that, "
            "and the file does not say how to prepare images. Pass preprocessing=."
        ]
    channels, std = shape[-1], 255 / (found[1] - found[0])
    guess = ImageInput(shape[:2], mean=(-found[0] * std,) * channels, std=(std,) * channels)
    return guess, [
        f"{seen}, so the model is assumed to expect {found[0]:g}..{found[1]:g} for pixels 0..255. "
        "Pass preprocessing= to be sure."
    ]


def _fills(known: tuple[float, float], low: float, high: float) -> bool:
    """Whether images of this range are certain to be made for `known`: they all but reach its ends.

    Images that a network was trained on in [-0.5, 0.5] lie inside [-1, 1] as well.
    """
    slack = 0.1 * (known[1] - known[0])
    reaches = low <= known[0] + slack and high >= known[1] - slack
    return reaches and known[0] <= low and high <= known[1]


def check_images(images: np.ndarray | None, image: ImageInput | None, precision: str) -> list[str]:
    """Doubts about the calibration images; ValueError where they cannot be right."""
    if images is None:
        return []
    if image is not None:
        calibration.check_range(images, *image.range)
    if precision not in CALIBRATED:
        return []
    found = calibration.doubts(images)
    if image is not None and not found:
        found = calibration.range_doubts(images, *image.range)
    return found


def noise(image: ImageInput | None, shape: tuple[int, int, int], count: int) -> np.ndarray:
    """What models are compared on for want of images."""
    low, high = image.range if image is not None else _KNOWN_RANGES[0]
    values = np.random.default_rng(0).uniform(low, high, (count, *shape))
    return values.astype(np.float32)
