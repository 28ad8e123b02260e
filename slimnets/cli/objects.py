"""Detectors on the command line: `convert` to a file that gives boxes, `predict` to draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from slimnets.cli.outcomes import PartialFailure

if TYPE_CHECKING:
    from PIL.Image import Image

    from tflite.detector import Detection

# One after another by class, readable on most photographs.
_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000")


def is_detector_file(file: str) -> bool:
    """Whether `file` is a .tflite file that gives boxes."""
    if not file.endswith(".tflite") or not Path(file).is_file():
        return False
    from tflite.files.detection_operator import is_detector
    from tflite.files.reading import open_file

    return is_detector(open_file(file).model)


def is_detector_model(model: Any) -> bool:
    """Whether a Keras model has the heads of `slimnets.ssdlite`."""
    return {"boxes", "scores"} <= set(getattr(model, "output_names", ()))


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
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("file", str(made.path))
    table.add_row("form", f"{options.precision} for {options.target}")
    table.add_row("size", f"{len(made.bytes):,} bytes")
    table.add_row("gives", "boxes, classes, scores, count")
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
    images: Sequence[str],
    places: Mapping[str, Path],
    least: float,
    delegate: str | None,
    console: Console,
    error_of: Callable[[str], str | None],
) -> dict[str, Any]:
    """Find objects in `images`, print them, and save the pictures that have a place.

    Args:
        least: score of what is shown.
        error_of: why an image is none, before it is opened; None: nothing is known against it.

    Raises:
        PartialFailure: some images could not be read; the others are answered.
    """
    from tflite import progress
    from tflite.detector import Detector

    detector = Detector(file, delegate=delegate)
    table = Table("image", "object", "score", "ymin xmin ymax xmax", box=None, pad_edge=False)
    predictions, errors = [], []
    with progress.bar("predicting", len(images)) as advance:
        for image in images:
            error = error_of(image)
            if error is None:
                try:
                    (found,) = detector.detect([image], least)
                except (OSError, ValueError) as problem:
                    error = str(problem) if image in str(problem) else f"{image}: {problem}"
            if error is not None:
                errors.append({"image": image, "error": error})
            else:
                predictions.append(_prediction(image, found))
                if place := places.get(image):
                    _save(image, found, place, detector.labels)
                    predictions[-1]["picture"] = str(place)
            advance(1, "")
    for prediction in predictions:
        for rank, one in enumerate(prediction["objects"] or [None]):
            row = ("nothing", "", "")
            if one:
                edges = " ".join(f"{edge:.3f}" for edge in one["box"])
                row = (one["name"], f"{one['score']:.2%}", edges)
            table.add_row("" if rank else prediction["image"], *row)
    if predictions:
        console.print(table)
    result = {"file": file, "predictions": predictions, "errors": errors}
    if errors:
        raise PartialFailure(result, [error["error"] for error in errors])
    return result


def _prediction(image: str, found: Sequence[Detection]) -> dict[str, Any]:
    return {
        "image": image,
        "objects": [
            {
                "name": one.label,
                "score": round(one.score, 6),
                "box": [round(edge, 6) for edge in one.box],
            }
            for one in found
        ],
    }


def with_boxes(picture: Image, found: Sequence[Detection], labels: Sequence[str]) -> Image:
    """A copy of a picture with each object's box, name and score."""
    from PIL import ImageDraw, ImageFont

    picture = picture.convert("RGB")
    draw = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / 200))
    font = ImageFont.load_default(size=max(10, min(picture.size) / 30))
    for one in reversed(found):  # the surest on top
        kind = labels.index(one.label) if one.label in labels else 0
        colour = _COLOURS[kind % len(_COLOURS)]
        top, left, bottom, right = one.box
        corners = (left * picture.width, top * picture.height)
        draw.rectangle(
            (*corners, right * picture.width, bottom * picture.height), outline=colour, width=line
        )
        text = f"{one.label} {one.score:.0%}"
        draw.rectangle(draw.textbbox(corners, text, font=font), fill=colour)
        draw.text(corners, text, fill="white", font=font)
    return picture


def _save(image: str, found: Sequence[Detection], place: Path, labels: Sequence[str]) -> None:
    from PIL import Image

    from tflite.files.writing import atomic_writer
    from tflite.images import read_image

    picture = with_boxes(read_image(image), found, labels)
    with atomic_writer(place) as file:
        picture.save(file, Image.registered_extensions()[place.suffix.lower()])
