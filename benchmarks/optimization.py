"""What training on makes of small networks: aware of int8, pruned, clustered.

    python benchmarks/fashion_networks.py        # trains them first: Fashion-MNIST, 48×48 pixels
    python benchmarks/optimization.py
    python benchmarks/optimization.py --networks=mobilenet_v1_025 --methods=qat --methods=prune-80
    python benchmarks/optimization.py --steps    # a training step aware of quantization / as usual

Each row is what `slimnets optimize` reports after two epochs a step of 12,000 training images, a
tenth of them for validation: one to two minutes on an idle core. Columns: accuracy over the 10,000
test images, of the network as it was given, of its file without optimization and of the file that
came out; the latter's gzip size as a share of the former's (both int8 where the method ends in
qat, else float32); the share of test images to which file and trained model give the same class.
The networks were trained for three epochs only, so that some more steps do them good by themselves;
where four fifths of the weights go, so few images do not make up for it (`--images`, `--epochs`).
"""

import json
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from absl import app, flags, logging

FLAGS = flags.FLAGS
NETWORKS = ("mobilenet_v1_025", "mobilenet_v3_small_050", "shufflenet_v2_050")
# Name → arguments of `slimnets.optimization.optimize`.
METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "qat": {"method": "qat"},
        "prune-50": {"method": "prune", "sparsity": 0.5},
        "prune-80": {"method": "prune", "sparsity": 0.8},
        "cluster-16": {"method": "cluster", "clusters": 16},
        "prune-80-qat": {"method": "prune-qat", "sparsity": 0.8},
        "cluster-16-qat": {"method": "cluster-qat", "clusters": 16},
        "prune-80-cluster-16-qat": {"method": "prune-cluster-qat", "sparsity": 0.8},
    }
)
SOURCE = "fashion_mnist"
BATCH = 64


def result(path: Path, method: str) -> dict[str, Any]:
    from slimnets.optimization import optimize

    with tempfile.TemporaryDirectory() as folder:
        source = some_images(Path(folder))
        out = Path(folder) / f"{path.stem}.keras"
        return optimize(path, out, source=source, epochs=FLAGS.epochs, **METHODS[method])


def some_images(folder: Path) -> str:
    """The source of IDX files of fewer training and all test images, which it writes."""
    from slimnets import data

    splits = data.load(SOURCE).splits
    for name, split, count in (("train", "train", FLAGS.images), ("t10k", "test", None)):
        images = np.asarray(splits[split].images[:count], np.uint8)
        for kind, values in (("images", images), ("labels", splits[split].labels[:count])):
            head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            place = folder / f"{name}-{kind}-idx{values.ndim}-ubyte"
            place.write_bytes(head + values.astype(np.uint8).tobytes())
    return f"{SOURCE}:{folder}"


def row(network: str, method: str, found: Mapping[str, Any]) -> str:
    before, after = found["rows"]
    cells = [f"{network:<23}", f"{method:<24}", f"{found['trained_top1']:7.2%}"]
    cells += [f"{before['top1']:7.2%}", f"{after['top1']:7.2%}"]
    cells += [f"{after['gzip_bytes'] / before['gzip_bytes']:6.3f}", f"{found['agreement']:8.2%}"]
    return "  ".join(cells)


def step_ratio(path: Path) -> dict[str, float]:
    """Milliseconds of a training step as usual and aware of quantization, which alternate."""
    import keras

    from slimnets import data
    from slimnets.evaluation import open_keras
    from slimnets.optimization import quantize_aware
    from tflite.measuring.timing import time_calls

    file = open_keras(path)
    images = data.load(SOURCE).splits["train"]
    batch, labels = file.preprocessing(list(images.images[:BATCH])), images.labels[:BATCH]
    aware = quantize_aware(
        file.model, calibration=batch, preprocessing=file.preprocessing, effort="fast"
    )
    calls = []
    for model in (file.model, aware):
        model.compile(keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy")
        calls.append(lambda model=model: model.train_on_batch(batch, labels))
    usual, slow = (timing.median for timing in time_calls(calls, warm_up=3, runs=30))
    return {"float_ms": usual, "aware_ms": slow, "ratio": slow / usual}


def main(_: list[str]) -> None:
    from fashion_networks import folder

    from tflite.measuring.processor import this_processor

    logging.set_verbosity(logging.ERROR)
    place = Path(FLAGS.folder) if FLAGS.folder else folder()
    table: dict[str, Any] = {"processor": this_processor().name}
    if not FLAGS.json:
        print(table["processor"])
    for network in FLAGS.networks:
        path = place / network / "best.keras"
        for method in ("step",) if FLAGS.steps else FLAGS.methods:
            found = step_ratio(path) if FLAGS.steps else result(path, method)
            table[f"{network} {method}"] = found
            if not FLAGS.json:
                print(
                    _step(network, found) if FLAGS.steps else row(network, method, found),
                    flush=True,
                )
    if FLAGS.json:
        print(json.dumps(table))


def _step(network: str, found: Mapping[str, float]) -> str:
    times = f"{found['float_ms']:6.1f} ms as usual, {found['aware_ms']:6.1f} ms aware"
    return f"{network:<23}  {times}, {found['ratio']:.2f} times"


if __name__ == "__main__":
    flags.DEFINE_multi_enum("networks", list(NETWORKS), NETWORKS, "Which.")
    flags.DEFINE_multi_enum("methods", list(METHODS), list(METHODS), "What is done to them.")
    flags.DEFINE_integer("images", 12_000, "Images to train with.", 100, 54_000)
    flags.DEFINE_integer("epochs", 2, "Of each step of a method.", 1)
    flags.DEFINE_bool("steps", False, "Time training steps instead.")
    flags.DEFINE_string("folder", None, "Where networks are kept; SLIMNETS_HOME by default.")
    flags.DEFINE_bool("json", False, "Print one JSON object instead of a table.")
    app.run(main)
