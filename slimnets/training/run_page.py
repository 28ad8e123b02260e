"""One HTML page about a run: how it went, what it gets wrong, what was asked for, on which data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from slimnets import charts, report
from slimnets.data import Split
from tflite.images import Preprocessing

_MISTAKES = 24


def page(
    result: Mapping[str, Any],
    config: ConfigDict,
    *,
    about_data: str,
    probabilities: np.ndarray,
    split: Split,
    preprocess: Preprocessing,
) -> str:
    """The page as text, pictures inside.

    Args:
        result: what the run gives, see `slimnets.training.loop.train`.
        config: of the run, complete.
        about_data: a report of the data, as text.
        probabilities: (N, classes), the kept model's answers to the validation images.
        split: these images.
        preprocess: of the network; mistakes are shown as the network sees them.
    """
    names, best = result["classes"], result["best_epoch"]
    truth, predicted = split.labels, probabilities.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    wrong = np.flatnonzero(truth != predicted)
    worst = sorted(
        wrong, key=lambda i: probabilities[i, truth[i]] - probabilities[i, predicted[i]]
    )[:_MISTAKES]
    kept = f"The model of epoch {best} is kept" if best else "The model before epoch 1 is kept"
    sections = [
        report.section(
            "Training",
            charts.svg(charts.curves(result["history"], best)),
            f"{result['epochs']} epochs, {result['steps']:,} steps, {result['seconds']:.0f} s. "
            f"{kept}: validation accuracy {result['val_accuracy']:.2%}, loss "
            f"{result['val_loss']:.4f}.",
        ),
        report.section(
            "Confusion",
            charts.svg(charts.confusion(confusion, names)),
            f"{len(wrong)} of {len(truth)} validation images wrong.",
        ),
    ]
    if worst:
        shown = [_sample(split, i, predicted[i], probabilities, names, preprocess) for i in worst]
        sections.append(
            report.section(
                "Worst mistakes",
                f'<div class="samples">{"".join(map(report.figure, shown))}</div>',
                "Validation images, as the network sees them, by how sure it is of another class.",
            )
        )
    sections += [
        report.section("Data", report.preformatted(about_data), ""),
        report.section(
            "Config", report.preformatted(config.to_json(indent=2)), "config.json, complete."
        ),
    ]
    return report.page(
        title=f"{config.model.name} on {config.data.source}",
        summary=f"{len(names)} classes, {preprocess.size[0]}×{preprocess.size[1]} pixels; "
        f"{result['checkpoint']}.",
        body="\n".join(sections),
    )


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
