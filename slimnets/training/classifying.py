"""What a classifier's run shows of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from slimnets import charts, report
from slimnets.data import Source, Split, pipeline
from tflite.images import Preprocessing

_MISTAKES, _BATCH = 24, 64


def sections(
    best: keras.Model, result: Mapping[str, Any], source: Source, preprocess: Preprocessing
) -> list[str]:
    """Confusion and the worst mistakes of the kept model, on the validation images as it sees
    them.
    """
    split, names = source.splits["val"], result["classes"]
    images = pipeline.evaluation_dataset(
        split, preprocess, num_classes=len(names), batch_size=_BATCH
    )
    probabilities = best.predict(images, verbose=0)
    truth, predicted = split.labels, probabilities.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    wrong = np.flatnonzero(truth != predicted)
    worst = sorted(
        wrong, key=lambda i: probabilities[i, truth[i]] - probabilities[i, predicted[i]]
    )[:_MISTAKES]
    found = [
        report.section(
            "Confusion",
            charts.svg(charts.confusion(confusion, names)),
            f"{len(wrong)} of {len(truth)} validation images wrong.",
        )
    ]
    if worst:
        shown = [_sample(split, i, predicted[i], probabilities, names, preprocess) for i in worst]
        found.append(
            report.section(
                "Worst mistakes",
                f'<div class="samples">{"".join(map(report.figure, shown))}</div>',
                "Validation images, as the network sees them, by how sure it is of another class.",
            )
        )
    return found


def _sample(
    split: Split,
    index: int,
    predicted: int,
    probabilities: np.ndarray,
    names: list[str],
    preprocess: Preprocessing,
) -> report.Sample:
    pixels = preprocess.pixels([split.images[index]])[0]
    return report.Sample(
        pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
        names[split.labels[index]],
        names[predicted],
        float(probabilities[index, predicted]),
    )
