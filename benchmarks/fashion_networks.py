"""Small networks trained on Fashion-MNIST, and what full int8 leaves of their accuracy.

    python benchmarks/fashion_networks.py                    # trains what is not there yet
    python benchmarks/fashion_networks.py --networks=mobilenet_v1_025

Each is trained once, for three epochs of 48×48 pixels (their stride of 32 leaves a last map of 2×2)
on the 54,000 training images that are not held out: 4 to 8 minutes on one core. It is kept in
`--folder`, where other benchmarks find it. The data are Debian's package dataset-fashion-mnist, or
Keras's download. Accuracy is over the whole test set of 10,000 images, whose standard error is 0.3
points; but float and int8 see the same images, so their difference is known far better. Beside it
stand the share of equal answers and, on the first 500 test images, the SQNR of the logits and of
the worst layer, and what activation_floor.py finds of rounded activations alone.
"""

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import activation_floor
from absl import app, flags, logging
from conformance import Row, lines, write

if TYPE_CHECKING:
    import keras
    import numpy as np

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
JUDGED = 500


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


def rows(name: str, path: Path, efforts: list[str]) -> Iterator[Row]:
    """The float network, its int8 files by effort, and its activations alone in 8 bits."""
    import tflite
    from slimnets import data, evaluation

    source = data.load(SOURCE)
    opened = evaluation.open_keras(path)
    judged = opened.preprocessing(list(source.splits["test"].images[:JUDGED]))
    true = evaluation.evaluate(path, source, "test")
    about = (name, "Fashion-MNIST", "10,000 test images")
    yield Row(*about, "float", accuracy=round(true.top1, 4))
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
        found = evaluation.evaluate(file, source, "test")
        yield Row(
            *about,
            f"int8, effort {effort}",
            accuracy=round(found.top1, 4),
            agreement=round(float((found.predicted == true.predicted).mean()), 4),
            **decibels(opened.model, file, judged),
        )
    floor = activation_floor.sqnr_db(opened.model, images, judged)
    yield Row(*about, "8-bit activations, float weights", sqnr_db=round(floor, 1))


def decibels(model: "keras.Model", file: Path, images: "np.ndarray") -> dict[str, float]:
    """SQNR of the logits, and of the layer that has the least."""
    import keras

    import tflite
    from tflite.quantizing.judging import before_probabilities

    logits = keras.Model(model.inputs, model.layers[-1].input)
    found = tflite.compare(logits, before_probabilities(file.read_bytes()), images)
    layers = tflite.quantization_report(model, file, images).layers
    return {
        "sqnr_db": round(found.sqnr_db, 1),
        "worst_layer_db": round(min(layer.sqnr_db for layer in layers), 1),
    }


def main(_) -> None:
    logging.set_verbosity(logging.ERROR)
    place = Path(FLAGS.folder) if FLAGS.folder else folder()
    table = []
    for name in FLAGS.networks:
        found = list(rows(name, trained(name, place), FLAGS.efforts))
        table += found
        if not FLAGS.json:
            for line in itertools.islice(lines(found), 1 if len(table) > len(found) else 0, None):
                print(line, flush=True)
    if FLAGS.out:
        write(Path(FLAGS.out), f"python benchmarks/fashion_networks.py --out={FLAGS.out}", table)
    if FLAGS.json:
        print(json.dumps([asdict(row) for row in table]))


if __name__ == "__main__":
    flags.DEFINE_multi_enum("networks", list(NETWORKS), list(NETWORKS), "Which.")
    flags.DEFINE_multi_enum(
        "efforts", ["fast", "normal"], ["fast", "normal", "high"], "Int8 files to measure."
    )
    flags.DEFINE_string("folder", None, "Where networks are kept; SLIMNETS_HOME by default.")
    flags.DEFINE_bool("json", False, "Print a JSON list instead of a table.")
    flags.DEFINE_string(
        "out", None, "Also write the rows to this file, as tests/conformance has it."
    )
    app.run(main)
