"""Build a network, load weights from elsewhere into it, and save it as a file of ours.

Usage: slimnets import-weights NAME SOURCE OUT

NAME is a network of the catalogue, OUT a .keras or .weights.h5 file. SOURCE is a PyTorch checkpoint
(.pth, .pt, .ckpt, …; read without PyTorch), a .safetensors file, a checkpoint of TF-Slim or of the
Object Detection API (its prefix or its training's folder), a Keras file of ours or of
keras.applications (.keras, .weights.h5, .h5), "imagenet" for the network's published weights, or
one of their names (slimnets models lists them).
Foreign weights of 1000 classes are taken for ImageNet's: its class names go to OUT's .labels.txt;
--labels names another file of one class a line. Beside a .keras file a .json of its name says what
it is: how images are prepared, which SOURCE's name, the config.json beside it or --like tells, and
what the classes are called. evaluate, predict and convert read it.

Example:
  slimnets import-weights mobilenet_v2 mobilenet_v2-b0353104.pth v2.keras
  slimnets import-weights mobilenet_v1_025 mobilenet_v1_0.25_128.ckpt v1.keras
  slimnets import-weights mobilenet_v4_conv_small mobilenetv4_conv_small.safetensors v4.keras
  slimnets import-weights ssdlite ssdlite_mobilenet_v2_coco/model.ckpt boxes.keras --input_size=300
  slimnets import-weights mobilenet_v2 checkpoint.pth v2.keras --num_classes=5 --nostrict
  slimnets import-weights mobilenet_v1_025 vww_96.h5 vww.keras --num_classes=2 --input_size=96
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags
from rich.console import Console

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags
from tflite.files.labels import read_labels
from tflite.files.writing import check_writable, replacing, write_bytes

if TYPE_CHECKING:
    from slimnets.sidecar import Sidecar

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
        "drop_background",
        None,
        "leave out the source's class 0, which the network does not have; by default of ImageNet's "
        "1001 classes in TF-Slim's checkpoints",
    )
    define.string("labels", None, "class names, one a line; by default ImageNet's")
    define.string(
        "like", None, "SOURCE takes images as the network or the published weights of this name"
    )
    define.boolean(
        "strict", True, "--nostrict leaves the classifier untrained where the source's does not fit"
    )


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    _check_usage(args)
    name, source, out = args
    from slimnets import sidecar
    from slimnets.catalog import create_model, model_info

    info = model_info(name)
    running.start_keras()
    from slimnets.weights.loading import load
    from slimnets.weights.matching import ON_COMMAND_LINE
    from slimnets.weights.requirements import chosen_source, source_requirements

    size = options.input_size or info.size
    source = chosen_source(source, info.builder, input_shape=(size, size, 3), **info.options)
    keywords = source_requirements(source, info.builder)
    if options.num_classes is not None:
        keywords["num_classes"] = options.num_classes
    if options.input_size is not None:
        keywords["input_shape"] = (options.input_size, options.input_size, 3)
    model = create_model(name, **keywords)
    loaded = load(
        model,
        source,
        strict=options.strict,
        drop_background=options.drop_background,
        advice=ON_COMMAND_LINE,
    )
    labels = _labels(options.labels, source, sidecar.class_count(model))
    if out.endswith(".keras"):
        built_with = {**info.options, **keywords}
        described = _described(name, built_with, source, labels, model, options.like)
        _save(model, out, described)
    else:
        with replacing(out) as temporary:
            model.save_weights(temporary)
    count = model.count_params()
    console.print(
        f"{out}: {name} with {count:,} parameters, {loaded.tensors} tensors from {source}"
    )
    if loaded.remarks:
        console.print(loaded.remarks)
    return {
        "name": name,
        "source": source,
        "out": out,
        "params": count,
        "built_with": keywords,
        "tensors": loaded.tensors,
        "kept": [*loaded.kept],
        "left": [*loaded.left],
        "background_dropped": loaded.background,
    }


def _check_usage(args: list[str]) -> None:
    """What can be wrong is told before Keras is started, which takes seconds."""
    if len(args) != 3:
        raise UsageError(f"import-weights takes NAME SOURCE OUT, got {len(args)} words")
    name, _, out = args
    if not out.endswith(_SUFFIXES):
        raise UsageError(f"OUT must end in {' or '.join(_SUFFIXES)}, got {out!r}")
    if not Path(out).absolute().parent.is_dir():
        raise UsageError(f"the folder of {out} does not exist")
    check_writable(out)
    running.check_network(name)
    if out.endswith(".keras"):
        from slimnets import sidecar

        sidecar.check_place(out)


def _described(
    name: str,
    built_with: Mapping[str, Any],
    source: str,
    labels: tuple[str, ...],
    model: Any,
    like: str | None,
) -> Sidecar:
    from slimnets.catalog import check_alike, for_size, preprocessing
    from slimnets.sidecar import Sidecar
    from slimnets.weights.families import find_source

    size = model.input_shape[1:3]
    stem = Path(source).name
    for ending in (".pth", ".ckpt", ".safetensors", ".h5"):
        stem = stem.removesuffix(ending)
    # A file keeps its name when it is downloaded by hand.
    names = (source, stem, f"timm/{stem}")
    published = next((found for n in names if (found := find_source(n, lambda: None))), None)
    if like is not None:
        prepare = for_size(preprocessing(like), size)
    elif published:
        prepare = for_size(published.preprocessing, size)
    else:
        check_alike(model, source, "Pass --like=NAME with")
        prepare = preprocessing(model)
    return Sidecar(
        name, built_with, prepare, labels, weights=published.name if published else source
    )


def _save(model: Any, out: str, described: Sidecar) -> None:
    from slimnets import sidecar

    beside = sidecar.path_beside(out)
    with replacing(out) as temporary:
        model.save(temporary)
        # Should this process die here: what was said of another model must not be said of this.
        beside.unlink(missing_ok=True)
    write_bytes(beside, described.to_json())
    if described.labels:
        text = "\n".join(described.labels).encode() + b"\n"
        write_bytes(Path(out).with_suffix(".labels.txt"), text)


def _labels(file: str | None, source: str, classes: int) -> tuple[str, ...]:
    from slimnets.weights.sources import imagenet_labels

    if file is None:
        ours = source.endswith(_SUFFIXES)
        return imagenet_labels() if classes == len(imagenet_labels()) and not ours else ()
    labels = read_labels(file)
    if len(labels) != classes:
        raise ValueError(f"{file} names {len(labels)} classes, but the network has {classes}.")
    return labels
