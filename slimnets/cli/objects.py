"""Detectors and segmenters on the command line: converted, measured, drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slimnets.cli.outcomes import PartialFailure
from slimnets.drawings import save, with_boxes, with_classes
from tflite.image_files import read_image

if TYPE_CHECKING:
    from PIL.Image import Image

    from slimnets.dense_evaluation import KerasDetector, Segmenter
    from tflite.detector import Detector


def convert_detector(
    model: Any,
    options: Any,
    images: Any,
    preprocessing: Any,
    labels: Sequence[str],
    console: Console,
) -> dict[str, Any]:
    """`slimnets convert` of a detector; `options` are the command's flags."""
    from dataclasses import asdict

    import tflite
    from slimnets.dense.anchors import anchors, style_of

    made = tflite.convert_detector(
        model,
        anchors(model),
        options.out,
        scores="sigmoid" if style_of(model) == "tensorflow" else "softmax",
        precision=options.precision,
        target=options.target,
        calibration=images,
        input_type=options.input_type,
        preprocessing=preprocessing,
        labels=labels or None,
        effort=options.effort,
        postprocess=options.postprocess,
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("file", str(made.path))
    table.add_row("form", f"{options.precision} for {options.target}")
    table.add_row("size", f"{len(made.bytes):,} bytes")
    gives = "boxes, classes, scores, count" if options.postprocess else "codes, scores"
    table.add_row("gives", gives)
    table.add_row("agrees with Keras", str(made.agreement))
    edgetpu = tflite.check_edgetpu(made.bytes) if options.target == "coral" else None
    if edgetpu is not None:
        table.add_row("device", str(edgetpu))
    for doubt in made.doubts:
        table.add_row(Text("warning", style="yellow"), doubt)
    console.print(table)
    return {
        "path": str(made.path),
        "precision": options.precision,
        "target": options.target,
        "size": len(made.bytes),
        "agreement": asdict(made.agreement),
        "warnings": list(made.doubts),
        "edgetpu": edgetpu and edgetpu.as_dict(),
    }


def predict_objects(
    file: str,
    opened: KerasDetector | Detector | Segmenter,
    images: Sequence[str],
    places: Mapping[str, Path],
    least: float,
    console: Console,
    error_of: Callable[[str], str | None],
) -> dict[str, Any]:
    """Find objects, or the classes of pixels, in `images`, print them, and save the pictures that
    have a place.

    Args:
        opened: what is in `file`, of `slimnets.dense_evaluation.open_dense`.
        least: score of the objects that are shown.
        error_of: why an image is none, before it is opened; None: nothing is known against it.

    Raises:
        PartialFailure: some images could not be read; the others are answered.
    """
    from tflite import progress

    finds = hasattr(opened, "detect")
    answer = partial(_objects, opened, least) if finds else partial(_classes, opened)
    heads = ("object", "score", "ymin xmin ymax xmax") if finds else ("class", "pixels", "")
    table = Table("image", *heads, box=None, pad_edge=False)
    predictions, errors = [], []
    with progress.bar("predicting", len(images)) as advance:
        for image in images:
            error = error_of(image)
            if error is None:
                try:
                    prediction, draw = answer(image)
                except (OSError, ValueError) as problem:
                    error = str(problem) if image in str(problem) else f"{image}: {problem}"
            if error is not None:
                errors.append({"image": image, "error": error})
            else:
                predictions.append({"image": image, **prediction})
                if place := places.get(image):
                    save(draw(), place)
                    predictions[-1]["picture"] = str(place)
            advance(1, "")
    for prediction in predictions:
        rows = _object_rows(prediction) if finds else _class_rows(prediction)
        for rank, row in enumerate(rows):
            table.add_row("" if rank else prediction["image"], *row)
    if predictions:
        console.print(table)
    result = {"file": file, "predictions": predictions, "errors": errors}
    if errors:
        raise PartialFailure(result, [error["error"] for error in errors])
    return result


def _objects(detector: Any, least: float, image: str) -> tuple[dict[str, Any], Callable]:
    """What is found in an image, and what draws it."""
    (found,) = detector.detect([image], least)
    objects = [
        {
            "name": one.label,
            "score": round(one.score, 6),
            "box": [round(edge, 6) for edge in one.box],
        }
        for one in found
    ]
    return {"objects": objects}, lambda: with_boxes(read_image(image), found, detector.labels)


def _object_rows(prediction: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (
            one["name"],
            f"{one['score']:.2%}",
            " ".join(f"{edge:.3f}" for edge in one["box"]),
        )
        for one in prediction["objects"]
    ] or [("nothing", "", "")]


def _classes(segmenter: Any, image: str) -> tuple[dict[str, Any], Callable]:
    """The share of each class in an image, the largest first, and what draws them."""
    classes = segmenter.classes(image)
    counts = np.bincount(classes.reshape(-1), minlength=len(segmenter.labels))
    names = segmenter.labels or tuple(map(str, range(len(counts))))
    shares = [
        {"index": int(k), "name": names[k], "share": round(float(counts[k] / classes.size), 6)}
        for k in np.argsort(-counts, kind="stable")
        if counts[k]
    ]

    def draw() -> Image:
        return with_classes(read_image(image), classes)

    return {"classes": shares}, draw


def _class_rows(prediction: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["name"], f"{one['share']:.2%}", "") for one in prediction["classes"]]


def measured(opened: Any, source: Any, split: str | None) -> Any:
    """How good a detector or segmenter is on a split."""
    from slimnets.dense_evaluation import Segmenter, evaluate_detector, evaluate_segmenter

    evaluate = evaluate_segmenter if isinstance(opened, Segmenter) else evaluate_detector
    return evaluate(opened, source, split)


def said_of(result: Any) -> str:
    """The same in a few lines."""
    told = result.to_dict()
    key = "map" if "map" in told else "miou"
    figures = (
        f"mAP {result.mean:.2%}   mAP@0.5 {result.at_50:.2%}"
        if key == "map"
        else f"mIoU {result.miou:.2%}   pixels {result.pixels:.2%}"
    )
    each = "   ".join(
        f"{name} {'–' if value is None else f'{value:.2%}'}"
        for name, value in result.by_class.items()
    )
    return f"{figures}   {result.count} images, {result.split}\n{each}"
