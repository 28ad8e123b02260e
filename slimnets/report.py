"""A one-page report on a training and the files made from it: one HTML file, pictures inside."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from slimnets import charts
from slimnets.evaluation import Evaluation
from tflite.files.writing import write_bytes


@dataclass(frozen=True)
class FileResult:
    """One model file, measured.

    Attributes:
        name: how the page calls it.
        path: the file.
        size_bytes: of the file.
        evaluation: over the test images.
        latency_ms: median for one image; None if it was not measured.
        note: what else is worth knowing, such as the types of its ends.
        latency_range_ms: the 10th and the 90th percentile.
    """

    name: str
    path: str
    size_bytes: int
    evaluation: Evaluation
    latency_ms: float | None
    note: str = ""
    latency_range_ms: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.name,
            "path": self.path,
            "size_bytes": self.size_bytes,
            "latency_ms": self.latency_ms and round(self.latency_ms, 4),
            "latency_range_ms": [round(ms, 4) for ms in self.latency_range_ms or ()] or None,
            "note": self.note,
            **self.evaluation.to_dict(),
        }


@dataclass(frozen=True)
class Sample:
    """One classified image: uint8 (H, W) or (H, W, 3), and what the model said."""

    pixels: np.ndarray
    truth: str
    predicted: str
    probability: float


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    summary: str,
    class_names: Sequence[str],
    training: Mapping[str, Any],
    reference: FileResult,
    files: Sequence[FileResult],
    confusion_of: FileResult,
    samples: Sequence[Sample],
) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: the HTML file.
        title, summary: heading and the sentence below it.
        class_names: in label order.
        training: what `slimnets.training.loop.train` returned.
        reference: the trained Keras model.
        files: the files made from it.
        confusion_of: the file whose confusion matrix is shown.
        samples: images to show with their predictions.
    """
    result = confusion_of.evaluation
    timed = [file for file in files if file.latency_ms is not None]
    wrong = result.count - int(np.trace(result.confusion))
    sections = [
        _cards(reference, files),
        section(
            "Training",
            charts.svg(charts.curves(training["history"], training["best_epoch"])),
            f"{training['epochs']} epochs, {training['steps']:,} steps, "
            f"{training['seconds']:.0f} s. The model of epoch {training['best_epoch']} is kept: "
            f"validation accuracy {training['val_accuracy']:.1%}.",
        ),
        section(
            "Files",
            _file_table(reference, files),
            f"All measured on the same {reference.evaluation.count} test images, the .tflite "
            "files through LiteRT. Latency: median for one image and where 8 of 10 lie, .tflite "
            "by turns on one CPU thread; –: made for another processor.",
        ),
        '<div class="columns">',
        section(
            "Accuracy, latency, size",
            charts.svg(charts.tradeoff([_chart_row(file) for file in timed])),
            "The area of a circle is the size of the file.",
        ),
        section(
            f"Confusion, {confusion_of.name}",
            charts.svg(charts.confusion(result.confusion, class_names)),
            f"{wrong} of {result.count} test images wrong.",
        ),
        "</div>",
        section(
            "Predictions",
            f'<div class="samples">{"".join(map(figure, samples))}</div>',
            f"By {confusion_of.name}. Mistakes first, if there are any.",
        ),
    ]
    write_bytes(path, page(title, summary, "\n".join(sections)).encode())


def page(title: str, summary: str, body: str) -> str:
    """A whole page around HTML sections."""
    return _PAGE.format(title=escape(title), summary=escape(summary), style=_STYLE, body=body)


def preformatted(text: str) -> str:
    """Text as it stands, wide lines to be scrolled."""
    return f"<pre>{escape(text)}</pre>"


def _cards(reference: FileResult, files: Sequence[FileResult]) -> str:
    smallest = min(files, key=lambda file: file.size_bytes)
    timed = [file for file in files if file.latency_ms is not None]
    fastest = min(timed, key=lambda file: file.latency_ms)
    worst = max(100 * (reference.evaluation.top1 - file.evaluation.top1) for file in files)
    cards = (
        (f"{reference.evaluation.top1:.2%}", "test accuracy, Keras"),
        (f"{max(worst, 0):.2f} points", "most that a conversion loses"),
        (f"{smallest.size_bytes / 1024:,.0f} KiB", f"smallest file, {escape(smallest.name)}"),
        (f"{fastest.latency_ms:.3f} ms", f"fastest file, {escape(fastest.name)}"),
    )
    items = "".join(
        f"<div><strong>{value}</strong><span>{what}</span></div>" for value, what in cards
    )
    return f'<div class="cards">{items}</div>'


def section(title: str, content: str, caption: str) -> str:
    """A part of a page: heading, HTML, a sentence about it."""
    return (
        f"<section><h2>{escape(title)}</h2>{content}"
        f'<p class="caption">{escape(caption)}</p></section>'
    )


def _file_table(reference: FileResult, files: Sequence[FileResult]) -> str:
    header = "<tr><th>file<th>what<th>top-1<th>top-5<th>size<th>latency</tr>"
    rows = []
    for file in (reference, *files):
        # Adding 0.0 turns a negative zero into a plain one.
        gain = round(100 * (file.evaluation.top1 - reference.evaluation.top1), 2) + 0.0
        change = "" if file is reference else f' <span class="change">{gain:+.2f}</span>'
        share = file.size_bytes / reference.size_bytes
        rows.append(
            f"<tr><td><code>{escape(os.path.basename(file.path))}</code>"
            f"<td>{escape(file.name)}<br><small>{escape(file.note)}</small>"
            f"<td>{file.evaluation.top1:.2%}{change}<td>{file.evaluation.top5:.2%}"
            f"<td>{file.size_bytes / 1024:,.0f} KiB"
            f'<div class="bar"><i style="width:{100 * min(share, 1):.0f}%"></i></div>'
            f"<td>{_latency(file)}</tr>"
        )
    return f"<table>{header}{''.join(rows)}</table>"


def _latency(file: FileResult) -> str:
    if file.latency_ms is None:
        return "–"
    spread = ""
    if file.latency_range_ms is not None:
        spread = "<br><small>{:.3f}–{:.3f}</small>".format(*file.latency_range_ms)
    return f"{file.latency_ms:.3f} ms{spread}"


def _chart_row(file: FileResult) -> dict[str, Any]:
    return {
        "name": file.name,
        "top1": file.evaluation.top1,
        "size_bytes": file.size_bytes,
        "latency_ms": file.latency_ms,
    }


def figure(sample: Sample) -> str:
    """The image with what was said of it below."""
    right = sample.truth == sample.predicted
    verdict = "" if right else f'<span class="truth">is {escape(sample.truth)}</span>'
    return (
        f'<figure class="{"right" if right else "wrong"}">'
        f"{_inline(Image.fromarray(sample.pixels), sample.truth)}"
        f"<figcaption><b>{escape(sample.predicted)}</b> {sample.probability:.0%}{verdict}"
        "</figcaption></figure>"
    )


def pictures(shown: Sequence[Image.Image]) -> str:
    """Pictures beside each other, as they are."""
    return f'<div class="pictures">{"".join(map(_inline, shown))}</div>'


def _inline(picture: Image.Image, alt: str = "") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


_STYLE = """
:root { --ink: #1f2933; --soft: #616e7c; --line: #e4e7eb; --blue: #2563eb; --red: #c2410c }
* { box-sizing: border-box }
body { margin: 0; background: #f5f7fa; color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 980px; margin: 0 auto; padding: 32px 20px }
h1 { margin: 0; font-size: 26px }
h2 { margin: 0 0 12px; font-size: 16px }
header p { margin: 4px 0 20px; color: var(--soft) }
section, .cards div { background: white; border: 1px solid var(--line); border-radius: 8px }
section { padding: 18px 20px; margin-bottom: 16px }
.cards { display: grid; grid-template-columns: repeat(4, 1fr); gap: 16px; margin-bottom: 16px }
.cards div { padding: 14px 16px }
.cards strong { display: block; font-size: 22px }
.cards span, .caption, small { color: var(--soft); font-size: 13px }
.caption { margin: 10px 0 0 }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 16px }
svg { display: block; max-width: 100%; height: auto; margin: 0 auto }
table { width: 100%; border-collapse: collapse }
th { text-align: left; color: var(--soft); font-size: 13px; font-weight: 500 }
th, td { padding: 8px 10px 8px 0; border-bottom: 1px solid var(--line); vertical-align: top }
.change { color: var(--soft); font-size: 13px }
.bar { width: 90px; height: 4px; margin-top: 4px; background: var(--line); border-radius: 2px }
.bar i { display: block; height: 100%; background: var(--blue); border-radius: 2px }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)); gap: 12px }
figure { margin: 0; text-align: center; font-size: 13px }
figure img { width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated;
             border-radius: 6px; border: 2px solid transparent; background: black }
figure.wrong img { border-color: var(--red) }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 12px }
.pictures img { width: 100%; border-radius: 6px }
pre { margin: 0; overflow-x: auto; font-size: 12px }
.truth { display: block; color: var(--red) }
@media (max-width: 720px) { .cards, .columns { grid-template-columns: 1fr } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<main>
<header><h1>{title}</h1><p>{summary}</p></header>
{body}
</main>
</html>
"""
