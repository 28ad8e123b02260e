"""Measures a model file on labelled images: top-1, top-5 and the confusion matrix.

Of a detector COCO's average precision (mAP, mAP@0.5), of a segmenter the mean intersection over
union (mIoU).

Usage: slimnets evaluate FILE --data=SOURCE [--split=SPLIT]

FILE is a .keras, a .tflite or a .onnx file; all are measured in the same way. SOURCE is
folder:PATH, csv:FILE, tfrecord:PATTERN, tfds:NAME, builtin:digits, mnist, fashion_mnist, cifar10 or
cifar100; for detectors voc:FOLDER, coco:FILE, yolo:FOLDER or csv:FILE, for segmenters masks:FOLDER,
for both builtin:scenes; as `slimnets train --help` says.

--delegate=libedgetpu.so.1 runs a file that was compiled for a Coral device there.

Example:
  slimnets evaluate digits.tflite --data=builtin:digits --json
"""

from __future__ import annotations

from typing import Any

from absl import flags, logging
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags
from slimnets.cli.objects import measured, said_of

# A larger confusion matrix does not fit a terminal; --json has it.
_MOST_CLASSES_SHOWN = 20


def define_flags(define: Flags) -> None:
    define.string("data", None, "where the images come from")
    define.string(
        "split", None, "train, val, test or all; by default test, or val where there is no test"
    )
    define.string(
        "like", None, "prepare images as for the network or weights of this name, not as FILE says"
    )
    define.string("delegate", None, "library that runs a .tflite file, such as libedgetpu.so.1")


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) != 1:
        raise UsageError(f"evaluate takes one model file, got {len(args)}")
    if not options.data:
        raise UsageError("--data is missing, for example --data=builtin:digits")
    if args[0].endswith(".keras"):
        running.start_keras()
    from slimnets import data, dense_evaluation, evaluation

    opened = dense_evaluation.open_dense(args[0], like=options.like, delegate=options.delegate)
    if not isinstance(opened, evaluation.KerasFile | None):
        result = measured(opened, data.load(options.data), options.split)
        if options.split is None:
            logging.info("split: %s (choose another with --split)", result.split)
        console.print(said_of(result))
        return {"file": args[0], "data": options.data, **result.to_dict()}
    classifier = evaluation.open_classifier(
        opened or args[0], like=options.like, delegate=options.delegate
    )
    source = data.load(options.data)
    result = evaluation.evaluate(classifier, source, options.split)
    if options.split is None:
        logging.info("split: %s (choose another with --split)", result.split)
    console.print(
        f"top-1 {result.top1:.2%}   top-5 {result.top5:.2%}   "
        f"{result.count} images, {source.name} {result.split}"
    )
    if len(source.class_names) <= _MOST_CLASSES_SHOWN:
        console.print(_confusion_table(result.confusion.tolist(), source.class_names))
    return {"file": args[0], "data": source.name, **result.to_dict()}


def _confusion_table(matrix: list[list[int]], names: tuple[str, ...]) -> Table:
    table = Table("true \\ predicted", *names, box=None, pad_edge=False)
    for row, (name, counts) in enumerate(zip(names, matrix, strict=True)):
        cells = [
            Text(str(n) if n else "·", style="bold" if column == row else "" if n else "dim")
            for column, n in enumerate(counts)
        ]
        table.add_row(name, *cells)
    return table
