"""Names what is in images: the most probable classes of each.

Usage: slimnets predict FILE IMAGE… [--top=5] [--save=FILE.png|DIR]

An IMAGE is a file, a folder (all images in it, but no hidden ones) or a pattern in quotes. Those
that cannot be read are named on standard error, the others are answered all the same, and the exit
code is 1. How images are prepared and what the classes are called is said by the .tflite file's
metadata, or by the .json beside a .keras file (else its name tells the first and labels.txt the
second). --save writes the picture with its answer, or every picture into a folder. A detector
answers with the objects of each image whose score is above --least, a segmenter with the share of
each class; the pictures saved show boxes, or tinted pixels.

Example:
  slimnets predict cats_and_dogs.tflite garden.jpg sofa.jpg --top=2
  slimnets predict cats_and_dogs.tflite holidays 'more/*.jpg' --save=answers
  slimnets predict detector.tflite street.jpg --least=0.5 --save=found.png
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags
from slimnets.cli.objects import predict_objects
from slimnets.cli.outcomes import PartialFailure
from tflite.image_files import image_files

if TYPE_CHECKING:
    from slimnets.evaluation import Classifier

_AT_ONCE = 16
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def define_flags(define: Flags) -> None:
    define.integer("top", 5, "classes to show", lower_bound=1)
    define.float("least", 0.3, "score of the objects to show", lower_bound=0, upper_bound=1)
    define.string("delegate", None, "library that runs a .tflite file, such as libedgetpu.so.1")
    define.string("save", None, "picture file, or folder, for the images with their answers")
    define.string(
        "like", None, "prepare images as for the network or weights of this name, not as FILE says"
    )


@dataclass(frozen=True)
class _Answer:
    """What a network says of one image: `row` is (classes,), `error` why there is none."""

    image: str
    row: np.ndarray | None = None
    error: str = ""


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) < 2:
        raise UsageError("predict takes a model file and at least one image")
    file, *words = args
    images = [image for word in words for image in _images(word)]
    places = _places(images, options.save)
    if file.endswith(".keras"):
        running.start_keras()
    from slimnets.dense_evaluation import open_dense
    from slimnets.evaluation import KerasFile, of_two_classes, open_classifier

    opened = open_dense(file, like=options.like, delegate=options.delegate)
    if not isinstance(opened, KerasFile | None):
        return predict_objects(file, opened, images, places, options.least, console, _no_image)
    classifier = open_classifier(opened or file, like=options.like, delegate=options.delegate)
    # Without names, too: what `evaluate` counts as class 1 is not to be shown as class 0.
    if len(classifier.labels) in (0, 2):
        classifier = of_two_classes(classifier)
    names = _names(file, classifier)
    answers = list(_answers(classifier.probabilities, images))
    kind = "probability" if classifier.are_probabilities else "value"
    table = Table("image", "class", kind, box=None, pad_edge=False)
    predictions = []
    for answer in answers:
        if answer.row is None:
            continue
        classes = _best(answer.row, names, kind, options.top)
        predictions.append({"image": answer.image, "classes": classes})
        for rank, found in enumerate(classes):
            table.add_row("" if rank else answer.image, found["name"], _shown(found))
    if predictions:
        console.print(table)
    for prediction in predictions:
        if place := places.get(prediction["image"]):
            _save(prediction, place)
    errors = [
        {"image": answer.image, "error": answer.error} for answer in answers if answer.row is None
    ]
    result = {"file": file, "predictions": predictions, "errors": errors}
    if errors:
        raise PartialFailure(result, [error["error"] for error in errors])
    return result


def _images(word: str) -> list[str]:
    """The images that a word of the command line means; the word itself where there are none."""
    if Path(word).is_dir():
        return [str(path) for path in image_files(Path(word))] or [word]
    if not Path(word).exists() and glob.has_magic(word):
        matches = glob.glob(word, recursive=True)  # without what begins with a dot
        # What macOS puts into archives: resource forks named as the images.
        files = [n for n in matches if Path(n).is_file() and "__MACOSX" not in Path(n).parts]
        return sorted(files) or [word]
    return [word]


def _names(file: str, classifier: Classifier) -> tuple[str, ...]:
    """A name for each output, once it is sure that the model works at all.

    What goes wrong with a grey picture is the model's fault, not that of the images.
    """
    shape = classifier.probabilities([np.full((32, 32, 3), 128, np.uint8)]).shape
    if len(shape) != 2:
        raise ValueError(
            f"{file} gives outputs of shape {shape[1:]} for an image; predict shows one row of "
            "classes."
        )
    if classifier.labels and len(classifier.labels) != shape[1]:
        raise ValueError(
            f"{file} has {shape[1]} outputs, but {len(classifier.labels)} class names come with it."
        )
    return classifier.labels or tuple(str(i) for i in range(shape[1]))


def _answers(
    probabilities: Callable[[Sequence[Any]], np.ndarray], images: list[str]
) -> Iterator[_Answer]:
    from tflite import progress

    with progress.bar("predicting", len(images)) as advance:
        for start in range(0, len(images), _AT_ONCE):
            some = images[start : start + _AT_ONCE]
            try:
                rows = probabilities(some)
                yield from (_Answer(i, row) for i, row in zip(some, rows, strict=True))
            # Of whatever kind: one by one it turns out which of them it was.
            except Exception:
                yield from (_answer(probabilities, image) for image in some)
            advance(len(some), "")


def _answer(probabilities: Callable[[Sequence[Any]], np.ndarray], image: str) -> _Answer:
    if error := _no_image(image):
        return _Answer(image, error=error)
    try:
        (row,) = probabilities([image])
    except Exception as error:
        told = str(error) or type(error).__name__
        return _Answer(image, error=told if image in told else f"{image}: {told}")
    return _Answer(image, row)


def _no_image(image: str) -> str | None:
    """Why there is no file of this name to read."""
    if Path(image).is_dir():
        return f"no images in {image}"
    if not Path(image).exists():
        what = "no file matches" if glob.has_magic(image) else "there is no image"
        return f"{what} {image}"
    return None


def _best(row: np.ndarray, names: tuple[str, ...], kind: str, top: int) -> list[dict[str, Any]]:
    best = row.argsort(kind="stable")[::-1][:top]
    return [{"index": int(i), "name": names[i], kind: round(float(row[i]), 6)} for i in best]


def _shown(found: dict[str, Any]) -> str:
    return f"{found['probability']:.2%}" if "probability" in found else f"{found['value']:.6g}"


def _places(images: list[str], save: str | None) -> dict[str, Path]:
    """Where each image's picture goes; looked at before the work, so that none is in vain."""
    if save is None:
        return {}
    place = Path(save)
    is_file = place.suffix.lower() in _PICTURES and not place.is_dir()
    if is_file and len(images) > 1:
        raise UsageError(
            f"--save={save} is one picture, but there are {len(images)} images; give a folder"
        )
    if is_file:
        places = dict.fromkeys(images, place)
    else:
        place.mkdir(parents=True, exist_ok=True)
        places, taken = {}, set()
        for image in images:
            stem, number = Path(image).stem, 1
            while (name := f"{stem}{'' if number == 1 else f'-{number}'}.png") in taken:
                number += 1
            taken.add(name)
            places.setdefault(image, place / name)
    from tflite.files.writing import check_writable

    originals = {Path(image).resolve() for image in images}
    for path in places.values():
        if path.resolve() in originals:
            raise UsageError(f"--save would write over the image {path}; give another place")
    for path in list(places.values())[:1]:
        check_writable(path)
    return places


def _save(prediction: dict[str, Any], place: Path) -> None:
    from slimnets.cli.answers import with_answer
    from slimnets.drawings import save
    from tflite.image_files import read_image

    lines = [f"{found['name']}  {_shown(found)}" for found in prediction["classes"]]
    picture = with_answer(read_image(prediction["image"]).convert("RGB"), lines)
    save(picture, place)
    prediction["picture"] = str(place)
