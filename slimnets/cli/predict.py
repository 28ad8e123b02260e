"""Names what is in images: the most probable classes of each.

Usage: slimnets predict FILE IMAGE… [--top=5]

How images are prepared and what the classes are called is said by the .tflite file's metadata, or
by the .json beside a .keras file (else its name tells the first and labels.txt the second).

Example:
  slimnets predict cats_and_dogs.tflite garden.jpg sofa.jpg --top=2
"""

from __future__ import annotations

from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags


def define_flags(define: Flags) -> None:
    define.integer("top", 5, "classes to show", lower_bound=1)
    define.string(
        "like", None, "prepare images as for the network of this name, not as the file says"
    )


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) < 2:
        raise UsageError("predict takes a model file and at least one image")
    file, *images = args
    if file.endswith(".keras"):
        running.start_keras()
    from slimnets.evaluation import open_classifier

    classifier = open_classifier(file, like=options.like)
    probabilities = classifier.probabilities(images)
    names = classifier.labels or tuple(str(i) for i in range(probabilities.shape[1]))
    table = Table("image", "class", "probability", box=None, pad_edge=False)
    predictions = []
    for image, row in zip(images, probabilities, strict=True):
        best = row.argsort(kind="stable")[::-1][: options.top]
        classes = [
            {"index": int(i), "name": names[i], "probability": round(float(row[i]), 6)}
            for i in best
        ]
        predictions.append({"image": image, "classes": classes})
        for rank, found in enumerate(classes):
            table.add_row("" if rank else image, found["name"], f"{found['probability']:.2%}")
    console.print(table)
    return {"file": file, "predictions": predictions}
