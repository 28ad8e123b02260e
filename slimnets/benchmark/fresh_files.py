"""Files of a network by its name, where there are none yet, to time or weigh: random weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slimnets.catalog import create_model, preprocessing

_IMAGES = 8


def fresh_files(
    name: str,
    precisions: Sequence[str],
    folder: Path,
    size: int | None = None,
    target: str = "cpu",
) -> list[Path]:
    """Converts a network of the catalogue, untrained.

    How long an inference takes does not depend on its weights; batch normalization is given the
    statistics of the images, so that int8 has something to quantize in every layer.

    Args:
        name: in the catalogue.
        precisions: of `tflite.PRECISIONS`: a file each.
        folder: where to, as `NAME_PRECISION.tflite`.
        size: height and width; None: the network's own.
        target: of `tflite.TARGETS`: the device.

    Raises:
        ValueError: an unknown name or precision, a size that the network cannot have.
    """
    from tflite.converter import convert

    model = create_model(name, **({} if size is None else {"input_shape": (size, size, 3)}))
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (_IMAGES, *model.input_shape[1:])).astype(np.float32)
    settled(model, images)
    paths = [folder / f"{name}_{precision}.tflite" for precision in precisions]
    # What random weights give is not worth a word.
    logger = logging.getLogger("tflite.converter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        for path, precision in zip(paths, precisions, strict=True):
            convert(
                model,
                path,
                precision=precision,
                target=target,
                calibration=images,
                effort="fast",
                preprocessing=preprocessing(model),
            )
    finally:
        logger.setLevel(level)
    return paths


def settled(model: Any, images: np.ndarray) -> Any:
    """The model with every batch normalization's statistics those of the images."""
    for layer in model.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    model(images, training=True)
    return model
