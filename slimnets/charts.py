"""The pictures of a training and its files: matplotlib figures, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INK, _FAINT, _BLUE, _ORANGE = "#1f2933", "#cbd2d9", "#2563eb", "#ea7317"
_STYLE = {
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#eef1f4",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "figure.facecolor": "white",
    # The same figure gives the same file.
    "svg.hashsalt": "slimnets",
}


# What trainings are judged by: its name in the logs → in words.
FIGURES = {"accuracy": "accuracy", "map50": "mAP@0.5", "miou": "mIoU"}


def curves(
    history: Mapping[str, Sequence[float]], best_epoch: int, figure: str = "accuracy"
) -> Figure:
    """Loss and a figure over epochs, train and val, the best epoch marked.

    Args:
        history: loss, val_loss, val_accuracy (or another figure) and perhaps accuracy: a number an
            epoch.
        best_epoch: counted from 1; 0: before the first, which is not drawn.
        figure: one of `FIGURES`.
    """
    with matplotlib.rc_context(_STYLE):
        drawn = Figure(figsize=(8, 2.9), layout="constrained")
        for axes, name in zip(drawn.subplots(1, 2), ("loss", figure), strict=True):
            epochs = range(1, len(history[f"val_{name}"]) + 1)
            if name in history:
                axes.plot(epochs, history[name], color=_FAINT, linewidth=2, label="train")
            axes.plot(epochs, history[f"val_{name}"], color=_BLUE, linewidth=2, label="val")
            if best_epoch:
                axes.plot(
                    best_epoch,
                    history[f"val_{name}"][best_epoch - 1],
                    "o",
                    color=_ORANGE,
                    label=f"kept: epoch {best_epoch}",
                )
            axes.set(xlabel="epoch", title=FIGURES.get(name, name))
            axes.legend(frameon=False)
            axes.xaxis.get_major_locator().set_params(integer=True)
        return drawn


def confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Counts of (true class, predicted class); the diagonal is right.

    Args:
        matrix: int (n, n), rows are true classes.
        class_names: n names.
    """
    n = len(class_names)
    with matplotlib.rc_context({**_STYLE, "axes.grid": False}):
        side = min(9.0, 1.4 + 0.32 * n)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set(xlabel="predicted", ylabel="true")
        if n <= 30:
            axes.set_xticks(
                range(n), class_names, rotation=90 if max(map(len, class_names)) > 2 else 0
            )
            axes.set_yticks(range(n), class_names)
            for row, column in zip(*np.nonzero(matrix), strict=True):
                color = "white" if share[row, column] > 0.5 else _INK
                axes.text(
                    column,
                    row,
                    matrix[row, column],
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=8,
                )
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return figure


def tradeoff(rows: Sequence[Mapping[str, object]]) -> Figure:
    """Accuracy against latency of each file; a circle's area is the file's size.

    Args:
        rows: name, top1 (0..1), size_bytes, latency_ms.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 4.5), layout="constrained")
        axes = figure.subplots()
        largest = max(row["size_bytes"] for row in rows)
        for index, row in enumerate(rows):
            x, y = row["latency_ms"], 100 * row["top1"]
            axes.scatter(
                x,
                y,
                s=60 + 1500 * row["size_bytes"] / largest,
                color=_BLUE,
                alpha=0.35,
                edgecolor=_BLUE,
            )
            above = index % 2 == 0
            axes.annotate(
                f"{row['name']}\n{row['size_bytes'] / 1024:,.0f} KiB",
                (x, y),
                xytext=(0, 16 if above else -16),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                fontsize=8,
            )
        lowest = min(100 * row["top1"] for row in rows)
        axes.set_xlim(0, 1.4 * max(row["latency_ms"] for row in rows))
        span = max(2, 100 - lowest)
        axes.set_ylim(lowest - span, 100 + 0.3 * span)
        axes.set_yticks([tick for tick in axes.get_yticks() if lowest - span <= tick <= 100])
        axes.set(xlabel="milliseconds an image, 1 thread", ylabel="top-1 accuracy, %")
        return figure


def race(rows: Sequence[Mapping[str, object]], processor: str) -> Figure:
    """Times of files as bars; where accuracies are known, accuracy against time beside them.

    Args:
        rows: name, numbers, threads (None: all), timing (median, p10, p90 in milliseconds), top1
            (0..1 or None): the benchmark's, in its order.
        processor: what they ran on.
    """
    with matplotlib.rc_context(_STYLE):
        known = [row for row in rows if row["top1"] is not None]
        width = 7.5 + 4.5 * bool(known)
        figure = Figure(figsize=(width, max(2.2, 1.2 + 0.34 * len(rows))), layout="constrained")
        bars, *rest = figure.subplots(1, 1 + bool(known), squeeze=False)[0]
        places = np.arange(len(rows))
        medians = np.array([row["timing"]["median"] for row in rows])
        low = medians - [row["timing"]["p10"] for row in rows]
        high = [row["timing"]["p90"] for row in rows] - medians
        colors = [_ORANGE if row["numbers"] == "int8" else _BLUE for row in rows]
        bars.barh(places, medians, xerr=(low, high), color=colors, ecolor=_INK, alpha=0.8)
        threads = [row["threads"] or "all" for row in rows]
        names = [f"{row['name']}, {n} thr." for row, n in zip(rows, threads, strict=True)]
        bars.set_yticks(places, names, fontsize=8)
        bars.invert_yaxis()
        bars.set(xlabel="milliseconds: median, and where 8 of 10 runs lie")
        for axes in rest:
            _pareto(axes, known)
        figure.suptitle(processor, fontsize=8)
        return figure


def _pareto(axes: Axes, rows: Sequence[Mapping[str, object]]) -> None:
    """Accuracy against time, and the line of those that none beats in both."""
    points = sorted((row["timing"]["median"], 100 * row["top1"], row["name"]) for row in rows)
    for time, accuracy, name in points:
        axes.plot(time, accuracy, "o", color=_BLUE)
        axes.annotate(name, (time, accuracy), xytext=(4, 4), textcoords="offset points", fontsize=7)
    front = _front([point[:2] for point in points])
    axes.step(*zip(*front, strict=True), where="post", color=_ORANGE, zorder=0)
    axes.set(xlabel="milliseconds", ylabel="top-1 accuracy, %")
    axes.margins(0.25)


def networks(
    families: Mapping[str, Sequence[tuple[float, float]]], marked: tuple[float, float, str] | None
) -> Figure:
    """Published accuracy against multiply-adds, a colour a family, a line through its best.

    Args:
        families: name → (million multiply-adds, top-1 in %) of its networks.
        marked: one of these points and its name, to stand out; None: none does.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        for name, points in families.items():
            (dots,) = axes.plot(*zip(*points, strict=True), "o", markersize=4, label=name)
            axes.plot(*zip(*_front(points), strict=True), color=dots.get_color())
        if marked:
            axes.plot(*marked[:2], "o", markersize=13, color=_INK, alpha=0.3, zorder=0)
            axes.annotate(marked[2], marked[:2], (9, -12), textcoords="offset points")
        axes.set_xscale("log")
        axes.set(xlabel="million multiply-adds", ylabel="top-1 on ImageNet, published, %")
        figure.legend(loc="outside right", fontsize=8, frameon=False)
        return figure


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that none is better than at less cost, from left to right."""
    front: list[tuple[float, float]] = []
    for cost, good in sorted(points):
        if not front or good > front[-1][1]:
            front.append((cost, good))
    return front


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """The figure as an <svg> element to put into a page."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
