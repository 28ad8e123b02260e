"""Small networks trained on Fashion-MNIST, and what full int8 leaves of their accuracy.

    python benchmarks/fashion_networks.py                    # trains what is not there yet
    python benchmarks/fashion_networks.py --networks=mobilenet_v1_025

Each is trained once, for three epochs of 48×48 pixels (their stride of 32 leaves a last map of 2×2)
on the 54,000 training images that are not held out: 4 to 8 minutes on one core. It is kept in
`--folder`, where other benchmarks find it. The data are Debian's package dataset-fashion-mnist, or
Keras's download. Accuracy is over the whole test set of 10,000 images, whose standard error is 0.3
points; but float and int8 see the same images, so their difference is known far better.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from absl import app, flags, logging

FLAGS = flags.FLAGS
# Name of ours → the catalogue's, and what its function is called with.
NETWORKS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "mobilenet_v1_025": ("mobilenet_v1_025", {}),
        "mobilenet_v2_035": ("mobilenet_v2_035", {}),
        "mobilenet_v3_small_050": ("mobilenet_v3_small", {"depth_multiplier": 0.5}),
        "shufflenet_v2_050": ("shufflenet_v2_x0_5", {}),
        "squeezenet1_1": ("squeezenet1_1", {}),
        "mobilenet_v3_large_035": ("mobilenet_v3_large", {"depth_multiplier": 0.35}),
    }
)
SIZE = 48
EPOCHS = 3
BATCH = 128
SOURCE = "fashion_mnist"


def folder() -> Path:
    """Where networks are kept."""
    home = os.environ.get("SLIMNETS_HOME") or "~/.cache/slimnets"
    return Path(home).expanduser() / "fashion_networks"


def trained(name: str, place: Path) -> Path:
    """The network's `.keras` file, trained first if it is not there."""
    from slimnets.training.default_recipe import recipe_for
    from slimnets.training.loop import train

    network, options = NETWORKS[name]
    config = recipe_for(network, SOURCE, epochs=EPOCHS)
    config.batch_size = BATCH
    config.model.input_size = (SIZE, SIZE)
    config.model.kwargs.update(options)
    config.data.shift = 3
    if name.startswith("squeezenet"):
        # No batch norm, so no large steps.
        config.learning_rate.peak = 1e-3
        del config.model.kwargs["arg_scope"]
    place = place / name
    place.mkdir(parents=True, exist_ok=True)
    return Path(train(config, place)["checkpoint"])


def accuracies(path: Path, efforts: list[str]) -> dict[str, float]:
    """Top-1 on the test set of the float network and of its int8 files, by effort."""
    import tflite
    from slimnets import data, evaluation

    source = data.load(SOURCE)
    opened = evaluation.open_keras(path)
    found = {"float": evaluation.evaluate(path, source, "test").top1}
    images = data.calibration_images(SOURCE, opened.preprocessing)
    for effort in efforts:
        file = path.with_name(f"int8_{effort}.tflite")
        tflite.convert(
            opened.model,
            file,
            calibration=images,
            preprocessing=opened.preprocessing,
            labels=source.class_names,
            effort=effort,
        )
        found[effort] = evaluation.evaluate(file, source, "test").top1
    return found


def main(_) -> None:
    logging.set_verbosity(logging.ERROR)
    place = Path(FLAGS.folder) if FLAGS.folder else folder()
    table = {}
    for name in FLAGS.networks:
        table[name] = accuracies(trained(name, place), FLAGS.efforts)
        if not FLAGS.json:
            cells = "  ".join(f"{kind} {value:.2%}" for kind, value in table[name].items())
            print(f"{name:24} {cells}", flush=True)
    if FLAGS.json:
        print(json.dumps(table))


if __name__ == "__main__":
    flags.DEFINE_multi_enum("networks", list(NETWORKS), list(NETWORKS), "Which.")
    flags.DEFINE_multi_enum(
        "efforts", ["fast", "normal"], ["fast", "normal", "high"], "Int8 files to measure."
    )
    flags.DEFINE_string("folder", None, "Where networks are kept; SLIMNETS_HOME by default.")
    flags.DEFINE_bool("json", False, "Print one JSON object instead of a table.")
    app.run(main)
