"""The page about a training and its files."""

import re

import numpy as np
import pytest

from slimnets import charts
from slimnets.evaluation import Evaluation
from slimnets.report import FileResult, Sample, write_report


@pytest.fixture
def page(tmp_path):
    confusion = np.diag([5, 4])
    confusion[1, 0] = 1
    result = Evaluation("test", 10, 0.9, 1.0, confusion, np.array([0] * 6 + [1] * 4))
    files = [
        FileResult(name, f"/made/up/{name}.tflite", size, result, latency, "uint8 → uint8", spread)
        for name, size, latency, spread in (
            ("half", 2048, 0.5, (0.4375, 0.75)),
            ("<eighth>", 1024, 0.25, None),
            ("elsewhere", 1024, None, None),
        )
    ]
    history = {name: [0.5, 0.75] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    write_report(
        tmp_path / "report.html",
        title="Cats & dogs",
        summary="made up",
        class_names=("cat", "dog"),
        training={
            "history": history,
            "best_epoch": 2,
            "epochs": 2,
            "steps": 8,
            "seconds": 1.0,
            "val_accuracy": 0.75,
        },
        reference=FileResult("Keras", "/made/up/best.keras", 4096, result, 1.0),
        files=files,
        confusion_of=files[1],
        samples=[Sample(np.zeros((4, 4), np.uint8), "dog", "cat", 0.6)],
    )
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    return (tmp_path / "report.html").read_text("utf-8")


def test_the_page_needs_nothing_but_itself(page):
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert "<script" not in page
    assert page.count("<svg") == 3
    assert page.count("<img") == 1


def test_the_page_shows_every_file_and_the_mistake(page):
    for expected in ("Cats &amp; dogs", "half.tflite", "&lt;eighth&gt;", "1 of 10 test images"):
        assert expected in page
    assert "<eighth>" not in page
    assert "is dog" in page


def test_a_time_comes_with_its_spread_and_none_is_made_up(page):
    for expected in ("0.500 ms<br><small>0.438–0.750</small>", "<td>0.250 ms</tr>", "<td>–</tr>"):
        assert expected in page
    assert "<strong>0.250 ms</strong><span>fastest file, &lt;eighth&gt;" in page


def test_the_same_figure_gives_the_same_picture():
    history = {name: [0.5, 0.75] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    first, second = (charts.svg(charts.curves(history, 1)) for _ in range(2))
    assert first == second
