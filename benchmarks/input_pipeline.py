"""Pictures a second of the input pipeline alone, against keras.utils.image_dataset_from_directory.

python benchmarks/input_pipeline.py [--pictures=400] [--rounds=5]

JPEGs of 500×375 (crops of scikit-image's photographs) are decoded, cut, resized to 224×224 and
normalized, in batches of 32, nothing kept from one round to the next. Keras's side is what its
guides do for the same: 256×256 by image_dataset_from_directory, then RandomCrop to 224×224 and
RandomFlip; and for evaluation 224×224 as they come, without antialiasing. The sides take turns in
each round; ratios are of medians, "by CPU" where the machine has other work too.
"""

import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from PIL import Image

from slimnets import data
from slimnets.data import pipeline, splits
from tflite.images import Preprocessing

_PICTURES = flags.DEFINE_integer("pictures", 400, "how many JPEGs", lower_bound=40)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "of which the first does not count", lower_bound=2)

_SIZE, _BATCH = 224, 32
_STORED = (500, 375)
_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def make_pictures(folder: Path, count: int) -> None:
    from skimage import data as photographs

    rng = np.random.default_rng(0)
    whole = [Image.fromarray(getattr(photographs, name)()) for name in _PHOTOGRAPHS]
    for i in range(count):
        photo = whole[i % len(whole)]
        scale = max(_STORED[0] / photo.width, _STORED[1] / photo.height) * rng.uniform(1, 1.5)
        photo = photo.resize((round(photo.width * scale) + 1, round(photo.height * scale) + 1))
        left, top = (rng.integers(0, a - b + 1) for a, b in zip(photo.size, _STORED, strict=True))
        path = folder / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo.crop((left, top, left + _STORED[0], top + _STORED[1])).save(path, quality=90)


def of_keras(folder: Path, *layers: keras.Layer) -> tf.data.Dataset:
    side = 256 if layers else _SIZE
    read = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        image_size=(side, side),
        batch_size=_BATCH,
        crop_to_aspect_ratio=True,
        verbose=False,
    )

    def change(images, labels):
        for layer in (*layers, keras.layers.Rescaling(1 / 127.5, -1)):
            images = layer(images, training=True)
        return images, labels

    return read.map(change, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def sides(folder: Path) -> dict[str, tf.data.Dataset]:
    splits._MEMORY_LIMIT_BYTES = 0  # or everything would be read once, and never again
    split = data.load(f"folder:{folder}").split("all")[1]
    prepare = Preprocessing(size=(_SIZE, _SIZE))

    def training(**changes):
        return pipeline.training_dataset(
            split, prepare, num_classes=2, batch_size=_BATCH, seed=0, flip=True, **changes
        )

    cut = {"crop_area": (0.08, 1.0)}
    layers = keras.layers.RandomCrop(_SIZE, _SIZE), keras.layers.RandomFlip("horizontal")
    return {
        "Keras, for training": of_keras(folder, *layers),
        "random parts": training(**cut),
        "random parts, RandAugment": training(**cut, rand_augment=(2, 9)),
        "random parts, colours, mixup": training(**cut, color=0.4, mixup=0.2),
        "the centre, for training": training(),
        "Keras, for evaluation": of_keras(folder),
        "evaluation": pipeline.evaluation_dataset(split, prepare, num_classes=2, batch_size=_BATCH),
    }


def main(_: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), _PICTURES.value)
        datasets = sides(Path(folder))
        told = {name: [] for name in datasets}
        for _ in range(_ROUNDS.value):
            for name, batches in datasets.items():
                wall, cpu = time.perf_counter(), time.process_time()
                count = sum(len(images) for images, *_ in batches)
                passed = time.perf_counter() - wall, time.process_time() - cpu
                told[name].append([seconds / count for seconds in passed])
    medians = {name: np.median(rounds[1:], axis=0) for name, rounds in told.items()}
    print(f"{'':<30} {'pictures/s':>10} {'CPU ms':>7} {'rate':>6} {'by CPU':>7}")
    for name, (wall, cpu) in medians.items():
        twin = medians["Keras, for evaluation" if "evaluation" in name else "Keras, for training"]
        rate, by_cpu = twin / (wall, cpu)
        print(f"{name:<30} {1 / wall:>10,.0f} {cpu * 1e3:>7.2f} {rate:>6.2f} {by_cpu:>7.2f}")


if __name__ == "__main__":
    app.run(main)
