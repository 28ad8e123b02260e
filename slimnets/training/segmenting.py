"""What the training of a segmenter differs in from a classifier's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from slimnets import drawings, report
from slimnets.data import Source
from slimnets.dense.losses import IGNORED, pixel_loss
from slimnets.training import cached_heads, scene_sets
from tflite.images import Preprocessing

_SHOWN = 12


def data_sets(
    config: ConfigDict, source: Source, preprocess: Preprocessing, model: keras.Model
) -> tuple[Any, Any]:
    """Pictures and the classes of pixels, of the size that the network answers in."""
    height, width = model.output_shape[1:3]

    def targets(_: Any, mask: np.ndarray) -> Mapping[str, np.ndarray]:
        resized = Image.fromarray(np.ascontiguousarray(mask)).resize(
            (width, height), Image.Resampling.NEAREST
        )
        return {"": np.asarray(resized)}

    return scene_sets.build(config, source, preprocess, targets, masks=True)


def compiled(config: ConfigDict, model: keras.Model) -> dict[str, Any]:
    """Cross entropy of pixels, and the mean intersection over union."""
    figure = keras.metrics.MeanIoU(
        model.output_shape[-1], name="miou", ignore_class=IGNORED, sparse_y_pred=False, axis=-1
    )
    return {"loss": pixel_loss, "metrics": [figure]}


def train_head(
    model: keras.Model, config: ConfigDict, source: Source, preprocess: Preprocessing
) -> None:
    """The head, on the backbone's maps."""
    # Of its own: passes over the training's would change what the epochs after it see.
    train_set, _ = data_sets(config, source, preprocess, model)
    cached_heads.train_heads(model, config, train_set, {"loss": pixel_loss})


def sections(
    best: keras.Model, result: Mapping[str, Any], source: Source, preprocess: Preprocessing
) -> list[str]:
    """What the kept model makes of some validation pictures."""
    images = list(source.splits["val"].images[:_SHOWN])
    maps = np.asarray(best.predict_on_batch(preprocess(images))).argmax(-1)
    shown = [
        drawings.with_classes(drawings.enlarged(image), one)
        for image, one in zip(images, maps, strict=True)
    ]
    return [report.section("Found", report.pictures(shown), "Validation pictures.")]
