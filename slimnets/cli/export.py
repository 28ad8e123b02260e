"""Writes a trained model for another runtime: ONNX, a SavedModel, or weights for PyTorch.

Usage: slimnets export FILE.keras --format=onnx|savedmodel|torch|safetensors --out=PATH

onnx: opset 13 and up, batch norm folded into weights (--keep-batchnorm: it stays), checked and run
by ONNX Runtime beside Keras before it is written; `slimnets evaluate`, `predict` and `benchmark`
take it. Needs pip install 'slimnets[onnx]'. savedmodel: a folder for TensorFlow Serving and
TensorFlow.js. safetensors and torch: weights under the names of the network's PyTorch reference,
for load_state_dict; torch needs PyTorch installed.

Example:
  slimnets export best.keras --format=onnx --out=photos.onnx
  slimnets export best.keras --format=onnx --batch_size=1 --opset=13 --out=photos.onnx
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags

_FORMATS = ("onnx", "savedmodel", "torch", "safetensors")


def define_flags(define: Flags) -> None:
    define.enum("format", "onnx", _FORMATS, "what to write")
    define.string("out", None, "the file, or for savedmodel the folder, to write")
    define.integer("batch_size", None, "images of a run; by default any number", lower_bound=1)
    define.integer("opset", 17, "onnx: version of the operators, 13 to 18")
    define.boolean("keep-batchnorm", False, "onnx: batch norms stay operators of their own")
    define.string(
        "like", None, "prepare images as for the network or weights of this name, not as FILE says"
    )


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if len(args) != 1:
        raise UsageError(f"export takes one model file, got {len(args)}")
    if not options.out:
        raise UsageError("--out is missing, for example --out=model.onnx")
    running.start_keras()
    from slimnets.evaluation import open_keras
    from tflite.keras_models import load_file

    if options.format == "onnx":
        return _onnx(open_keras(args[0], like=options.like), options, console)
    model = load_file(args[0])  # the others say nothing of images
    if options.format == "savedmodel":
        from slimnets.export.saved_model import export_saved_model

        export_saved_model(model, options.out, batch_size=options.batch_size)
    elif options.format == "safetensors":
        from slimnets.catalog import export_safetensors

        export_safetensors(model, options.out)
    else:
        from slimnets.export.torch_file import export_torch_file

        export_torch_file(model, options.out)
    console.print(f"{options.out}: {options.format}", soft_wrap=True)
    return {"path": options.out, "format": options.format}


def _onnx(file: Any, options: flags.FlagValues, console: Console) -> dict[str, Any]:
    import dataclasses

    from slimnets.export.to_onnx import export_onnx

    made = export_onnx(
        file.model,
        options.out,
        batch_size=options.batch_size,
        opset=options.opset,
        keep_batchnorm=options["keep-batchnorm"].value,
        preprocessing=file.preprocessing,
        labels=file.labels,
    )
    operators = ", ".join(f"{count} {name}" for name, count in made.operators.items())
    console.print(
        f"{made.path}: {made.size_bytes:,} bytes, opset {made.opset}; {operators}; differs from "
        f"Keras by {made.error:.1g} of the greatest output in ONNX Runtime",
        soft_wrap=True,
    )
    return {**dataclasses.asdict(made), "path": str(Path(made.path)), "format": "onnx"}
