"""One HTML page about a run: how it went, what it gets wrong, what was asked for, on which data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from slimnets import charts, report
from tflite.images import Preprocessing


def page(
    result: Mapping[str, Any],
    config: ConfigDict,
    *,
    figure: str,
    about_data: str,
    sections: Sequence[str],
    preprocess: Preprocessing,
) -> str:
    """The page as text, pictures inside.

    Args:
        result: what the run gives, see `slimnets.training.loop.train`.
        config: of the run, complete.
        figure: what the best epoch is the best by, a name in the result's history.
        about_data: a report of the data, as text.
        sections: what the kept model gets wrong.
        preprocess: of the network.
    """
    names, best = result["classes"], result["best_epoch"]
    kept = f"The model of epoch {best} is kept" if best else "The model before epoch 1 is kept"
    name = charts.FIGURES[figure]
    parts = [
        report.section(
            "Training",
            charts.svg(charts.curves(result["history"], best, figure)),
            f"{result['epochs']} epochs, {result['steps']:,} steps, {result['seconds']:.0f} s. "
            f"{kept}: validation {name} {result[f'val_{figure}']:.2%}, loss "
            f"{result['val_loss']:.4f}.",
        ),
        *sections,
        report.section("Data", report.preformatted(about_data), ""),
        report.section(
            "Config", report.preformatted(config.to_json(indent=2)), "config.json, complete."
        ),
    ]
    return report.page(
        title=f"{config.model.name} on {config.data.source}",
        summary=f"{len(names)} classes, {preprocess.size[0]}×{preprocess.size[1]} pixels; "
        f"{result['checkpoint']}.",
        body="\n".join(parts),
    )
