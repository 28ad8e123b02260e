"""How much pretrained weights are worth on a small folder of pictures, and what int8 leaves of it.

    python benchmarks/finetuning.py --weights=mobilenet_v2-b0353104.pth

makes a folder of pictures, trains MobileNetV2 on it twice, from the weights by configs/finetune.py
and from noise by configs/folder.py for as many steps of as many images of the same size, converts
the former to int8, and prints what each gets right on the test pictures, and the time.

The pictures are cuts of photographs that come with scikit-image, scikit-learn and matplotlib, one
class each: for training from the left part, for testing from the right one, which no training cut
touches. Their size, place, brightness and direction are random, the same in every run.
"""

import json
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from absl import app, flags, logging
from PIL import Image, ImageEnhance, ImageOps

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "weights", "mobilenet_v2-b0353104", "MobileNetV2's weights: a published name or a path."
)
flags.DEFINE_string("folder", None, "Where pictures and runs go; a temporary folder by default.")
flags.DEFINE_bool("json", False, "Print one JSON object instead of a table.")

PICTURES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
# Split → pictures a class, and the part of the width that they are cut from.
SPLITS = {"train": (20, 0.0, 0.5), "val": (6, 0.0, 0.5), "test": (25, 0.5, 1.0)}


def make_folder(root: Path) -> None:
    """root/SPLIT/CLASS/0.jpg, …"""
    rng = np.random.default_rng(0)
    for split, (count, left, right) in SPLITS.items():
        for name, (package, path) in PICTURES.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            with Image.open(Path(find_spec(package).origin).parent / path) as image:
                whole = image.convert("RGB")
            part = whole.crop((int(left * whole.width), 0, int(right * whole.width), whole.height))
            for i in range(count):
                _cut(part, rng).save(folder / f"{i}.jpg", quality=92)


def _cut(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    side = int(min(image.size) * rng.uniform(0.4, 0.9))
    x, y = (int(rng.integers(0, whole - side + 1)) for whole in image.size)
    cut = image.crop((x, y, x + side, y + side)).resize((256, 256), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        cut = ImageOps.mirror(cut)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        cut = enhance(cut).enhance(rng.uniform(0.6, 1.4))
    return cut


def measure(root: Path) -> dict[str, float]:
    """Accuracies on the test pictures and seconds, by name."""
    import tflite
    from slimnets import data, evaluation
    from slimnets.cli.command_flags import load_recipe
    from slimnets.training.loop import train

    make_folder(root / "pictures")
    where = f"folder:{root / 'pictures'}"
    source = data.load(where)

    tuned = load_recipe("finetune")
    tuned.model.weights = FLAGS.weights
    tuned.data.source = where
    start = time.monotonic()
    train(tuned, root / "finetuned")
    seconds = time.monotonic() - start

    resolved = json.loads((root / "finetuned" / "config.json").read_text())
    scratch = load_recipe("folder")
    scratch.unlock()
    scratch.model.name, scratch.model.kwargs = "mobilenet_v2", {}
    scratch.data.source = where
    scratch.model.input_size = tuple(resolved["model"]["input_size"])
    scratch.epochs, scratch.batch_size = resolved["epochs"], resolved["batch_size"]
    scratch.learning_rate.warmup_epochs = scratch.epochs / 20
    train(scratch, root / "scratch")

    best = evaluation.open_keras(root / "finetuned" / "best.keras")
    tflite.convert(
        best.model,
        root / "int8.tflite",
        precision="int8",
        calibration=data.calibration_images(where, best.preprocessing),
        preprocessing=best.preprocessing,
        labels=source.class_names,
    )
    files = {
        "fine-tuned": root / "finetuned" / "best.keras",
        "fine-tuned, int8": root / "int8.tflite",
        "from scratch": root / "scratch" / "best.keras",
    }
    found = {name: evaluation.evaluate(path, source, "test").top1 for name, path in files.items()}
    return {**found, "seconds": seconds}


def main(args: list[str]) -> None:
    if len(args) > 1:
        raise app.UsageError(f"no arguments are taken, got {args[1]!r}")
    logging.set_verbosity(logging.INFO)
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(Path(FLAGS.folder or temporary))
    if FLAGS.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<18} {value:.0f} s" if name == "seconds" else f"{name:<18} {value:.1%}")


if __name__ == "__main__":
    app.run(main)
