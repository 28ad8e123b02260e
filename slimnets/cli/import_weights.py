"""Build a network, load weights from elsewhere into it, and save it as a file of ours.

Usage: slimnets import-weights NAME SOURCE OUT

NAME is a network of the catalogue, OUT a .keras or .weights.h5 file. SOURCE is a PyTorch .pth (read
without PyTorch), the prefix of a TF-Slim checkpoint, a .keras or .weights.h5 file of ours,
"imagenet" for the network's published weights, or one of their names (slimnets models lists them).
Foreign weights of 1000 classes are taken for ImageNet's: its class names go to OUT's .labels.txt,
where evaluate, predict and convert find them; --labels names another file of one class a line.

Example:
  slimnets import-weights mobilenet_v2 mobilenet_v2-b0353104.pth v2.keras
  slimnets import-weights mobilenet_v1_025 mobilenet_v1_0.25_128.ckpt v1.keras --drop_background
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags
from tflite.files.writing import check_writable, replacing, write_bytes

_SUFFIXES = (".keras", ".weights.h5")


def define_flags(define: Flags) -> None:
    define.integer(
        "num_classes", None, "outputs of the network; by default the network's own", lower_bound=0
    )
    define.integer(
        "input_size",
        None,
        "height and width in pixels; by default the network's own",
        lower_bound=1,
    )
    define.boolean(
        "drop_background", False, "leave out the source's class 0, which the network does not have"
    )
    define.string("labels", None, "class names, one a line; by default ImageNet's")
    define.boolean(
        "strict", True, "--nostrict leaves the classifier untrained where the source's does not fit"
    )


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) != 3:
        raise UsageError(f"import-weights takes NAME SOURCE OUT, got {len(args)} words")
    name, source, out = args
    if not out.endswith(_SUFFIXES):
        raise UsageError(f"OUT must end in {' or '.join(_SUFFIXES)}, got {out!r}")
    if not Path(out).absolute().parent.is_dir():
        raise UsageError(f"the folder of {out} does not exist")
    check_writable(out)
    from slimnets.catalog import create_model, model_info

    info = model_info(name)
    running.start_keras()
    from slimnets.weights import load_weights, source_requirements

    keywords = source_requirements(source, info.builder, **info.options)
    if options.num_classes is not None:
        keywords["num_classes"] = options.num_classes
    if options.input_size is not None:
        keywords["input_shape"] = (options.input_size, options.input_size, 3)
    model = create_model(name, **keywords)
    load_weights(model, source, options.strict, drop_background=options.drop_background)
    with replacing(out) as temporary:
        (model.save if out.endswith(".keras") else model.save_weights)(temporary)
    labels = _labels(options.labels, source, model.output_shape[-1])
    if labels and out.endswith(".keras"):
        write_bytes(Path(out).with_suffix(".labels.txt"), "\n".join(labels).encode() + b"\n")
    count = model.count_params()
    console.print(f"{out}: {name} with {count:,} parameters from {source}")
    return {"name": name, "source": source, "out": out, "params": count, "built_with": keywords}


def _labels(file: str | None, source: str, classes: int) -> tuple[str, ...]:
    from slimnets.weights.sources import imagenet_labels

    if file is None:
        ours = source.endswith(_SUFFIXES)
        return imagenet_labels() if classes == len(imagenet_labels()) and not ours else ()
    labels = tuple(Path(file).read_text("utf-8").splitlines())
    if len(labels) != classes:
        raise ValueError(f"{file} names {len(labels)} classes, but the network has {classes}.")
    return labels
