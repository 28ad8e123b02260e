"""Trains a network on images and keeps the best epoch.

Usage: slimnets train --data=SOURCE --model=NAME --workdir=DIR [--weights=WEIGHTS --epochs=N …]
       slimnets train --config=RECIPE --workdir=DIR [--config.field=value …]

SOURCE is one of
  folder:PATH       one sub-folder per class, or train/ and val/ of such
  csv:FILE          with the columns path, label and perhaps split
  tfrecord:PATTERN  image/encoded and image/class/label, as TF-Slim writes them
  tfds:NAME         a set of TensorFlow Datasets (pip install tensorflow-datasets)
  builtin:digits, mnist, fashion_mnist, cifar10, cifar100
for detectors (ssdlite) and segmenters (lraspp, deeplab_v3) one of
  voc:FOLDER        Pascal VOC: annotations/ and images/, or .xml files beside the pictures
  coco:FILE,FOLDER  COCO's JSON and the pictures' folder; coco:FOLDER of annotations/ or of splits
  yolo:FOLDER       images/, labels/ and classes.txt or data.yaml; yolo:FILE.yaml
  csv:FILE          with the columns path, class, ymin, xmin, ymax, xmax in pixels
  masks:FOLDER      images/, masks/ of PNGs with class numbers, and classes.txt, or CVAT's colours
  builtin:scenes    digits on photographs, boxes and masks
and NAME one of `slimnets models`. What else a training needs is chosen to suit them, or stands in a
recipe: a Python file with get_config(), or the name of one that comes with slimnets: cifar10,
cifar100, detect, digits, fashion_mnist, finetune, folder, imagenet_mobilenet_v1,
imagenet_mobilenet_v2, imagenet_mobilenet_v3, imagenet_shufflenet_v1, imagenet_shufflenet_v2,
imagenet_squeezenet, segment, vww. The flags go before the recipe. With weights to start from
(imagenet, or a file) the recipe is finetune: first the new classifier on features that are computed
once, then all layers; of a detector detect, of a segmenter segment, both on MobileNetV2 and, of
your pictures, at 320×320. What is in the data, and what is wrong with it, is told before anything
is built.

The folder receives best.keras, last.keras, best.json (what it is), labels.txt, history.csv,
curves.png, run.html (a page about it all: curves, confusion, worst mistakes, data, config),
config.json and result.json. If the data has test images, the best model is evaluated on them at the
end.

With --config.teacher=NAME or FILE.keras a larger network of the same classes teaches: what it makes
of each training image counts for --config.distillation.weight of the loss.

The same command again goes on where a killed one stood, or says that it is finished. SIGTERM ends
with a checkpoint and exit code 143. Another run's files in the folder are kept, as earlier-1.*.

Example:
  slimnets train --data=folder:photos --model=mobilenet_v2 --epochs=10 --workdir=run
  slimnets train --data=folder:photos --model=mobilenet_v2 --weights=imagenet --workdir=run
  slimnets train --config=digits --workdir=/tmp/digits --config.epochs=10
  slimnets train --config=folder --data=folder:photos --workdir=/tmp/photos
  slimnets train --model=ssdlite --data=voc:photos --weights=imagenet --workdir=run
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from slimnets.cli import UsageError, running
from slimnets.cli.command_flags import Flags, changed_fields, load_recipe
from slimnets.cli.heartbeat import heartbeat
from slimnets.cli.objects import measured, said_of
from slimnets.cli.outcomes import Ended

# Flag → the config's field of which it is the short form.
_SHORT = {
    "data": "data.source",
    "model": "model.name",
    "weights": "model.weights",
    "epochs": "epochs",
    "batch_size": "batch_size",
    "input_size": "model.input_size",
    "learning_rate": "learning_rate.peak",
}

_PHOTOS = (320, 320)


def define_flags(define: Flags) -> None:
    define.string("data", None, "where the images come from, for example folder:photos")
    define.string("model", None, "the network, a name of `slimnets models`")
    define.string("weights", None, "to start from: imagenet, a name of the catalogue or a path")
    define.string("workdir", None, "folder for the results")
    define.integer("epochs", None, "times to go through the images", lower_bound=1)
    define.integer("batch_size", None, "images a step", lower_bound=1)
    define.integer("input_size", None, "height and width in pixels", lower_bound=1)
    define.float("learning_rate", None, "the largest learning rate of the schedule")
    about = "the recipe, a Python file with get_config(); --config.field=value changes a field"
    if define.gives(r"(no)?config\..+") and not define.gives("config"):
        from slimnets.training import default_config

        define.config_fields("config", default_config(), about)
    else:
        define.config_file("config", None, about)


def run(args: list[str], options: flags.FlagValues, console: Console) -> dict[str, Any]:
    if args:
        raise UsageError(f"train takes no arguments, got {args[0]!r}")
    config = _config(options)
    if not options.workdir:
        raise UsageError("--workdir is missing, for example --workdir=run")
    running.start_keras()
    from slimnets import data, evaluation
    from slimnets.charts import FIGURES
    from slimnets.dense_evaluation import open_dense
    from slimnets.training.checkpoints import Terminated
    from slimnets.training.loop import train

    # To look at all pictures takes a while; once is enough.
    load = functools.cache(data.load)
    try:
        with heartbeat():
            result = train(config, options.workdir, load=load)
    except Terminated as ended:
        raise Ended(str(ended)) from ended
    figure = next(name for name in FIGURES if f"val_{name}" in result)
    console.print(
        f"best epoch {result['best_epoch']}: val {FIGURES[figure]} {result[f'val_{figure}']:.2%} "
        f"→ {result['checkpoint']}"
    )
    source = load(config.data.source)
    if "test" in source.splits and figure != "accuracy":
        tested = measured(open_dense(result["checkpoint"]), source, "test")
        result["test"] = tested.to_dict()
        console.print(f"test: {said_of(tested)}")
    elif "test" in source.splits:
        tested = evaluation.evaluate(result["checkpoint"], source, "test")
        result["test"] = tested.to_dict()
        console.print(f"test accuracy {tested.top1:.2%} over {tested.count} images")
    return result


def _config(options: flags.FlagValues) -> ConfigDict:
    """The recipe that the flags ask for."""
    changed, given = changed_fields(options, "config"), {}
    for flag, field in _SHORT.items():
        value = options[flag].value
        if value is None:
            continue
        if field in changed:
            raise UsageError(f"--{flag} and --config.{field} are the same; give one of them")
        given[field] = (value, value) if flag == "input_size" else value
    if options["config"].present:
        config = running.loaded_config(options)  # changed already
    else:
        given |= changed
        config = _default_recipe(given)
    config.unlock().update_from_flattened_dict(given)
    running.check_network(config.get("model", {}).get("name"))
    return config


def _default_recipe(given: Mapping[str, Any]) -> ConfigDict:
    """What suits the data and the network; `given` holds what was typed, by the config's fields."""
    from slimnets.catalog import model_info
    from slimnets.training.default_recipe import recipe_for

    source, network = given.get("data.source"), given.get("model.name")
    if not source and not network:
        raise UsageError(
            "--config is missing, or --data and --model in its place, for example "
            "--data=folder:photos --model=mobilenet_v2"
        )
    if not source:
        raise UsageError("--data is missing, for example --data=folder:photos")
    if not network:
        raise UsageError("--model is missing, for example --model=mobilenet_v2")
    running.check_network(network)
    if (task := model_info(network).task) != "classify":
        config = load_recipe(task).unlock()  # its recipe is called as the task
        if source != config.data.source:  # photographs, no digits: finer, and they may be mirrored
            config.model.input_size, config.data.flip = _PHOTOS, True
        if not given.get("model.weights"):
            config.model.weights, config.model.freeze_batch_norm, config.head.epochs = "", False, 0
        return config
    if given.get("model.weights"):
        return load_recipe("finetune")
    return recipe_for(network, source, given.get("epochs"))
