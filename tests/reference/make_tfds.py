"""A set of twelve pictures as TensorFlow Datasets stores it: `tests/reference/tfds`.

python -m tests.reference.make_tfds    # tensorflow-datasets 4.9.10, tensorflow 2.21.0
"""

from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """Discs and squares on noise."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["disc", "square"]),
            "image/filename": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, _):
        return {"train": self._generate_examples(8, 0), "test": self._generate_examples(4, 1)}

    def _generate_examples(self, count, seed):
        rng = np.random.default_rng(seed)
        for i in range(count):
            image = rng.integers(0, 80, (12, 14, 3), np.uint8)
            if i % 2:
                image[3:9, 3:9] = 255
            else:
                image[4:8, 2:10] = 200
            yield i, {"image": image, "label": i % 2, "image/filename": f"{i}.png"}


if __name__ == "__main__":
    TinyShapes(data_dir=Path(__file__).parent / "tfds").download_and_prepare()
