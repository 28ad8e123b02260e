"""What is told of a data set before a training."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from slimnets import data
from slimnets.data.description import describe


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """cat: 10 and 2, dog: 1 and 2; one broken, one in train and val, one in both classes."""
    root = tmp_path_factory.mktemp("pets")
    rng = np.random.default_rng(0)
    for part, counts in (("train", {"cat": 10, "dog": 1}), ("val", {"cat": 2, "dog": 2})):
        for name, count in counts.items():
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (8 + i, 10, 3), np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    (root / "train" / "cat" / "broken.png").write_bytes(b"no picture")
    shutil.copy(root / "train" / "cat" / "2.png", root / "val" / "cat" / "again.png")
    shutil.copy(root / "train" / "cat" / "3.png", root / "train" / "dog" / "cat.png")
    return root


def test_classes_sizes_damage_copies_and_imbalance_are_told(pets):
    found = describe(data.load(f"folder:{pets}"))
    assert found.splits == {"train": 12, "val": 5}
    cat, dog = found.classes
    assert (cat.counts, dog.counts) == ({"train": 10, "val": 3}, {"train": 2, "val": 2})
    assert (cat.smallest, cat.largest) == ((8, 10), (17, 10))
    assert found.skipped == (str(pets / "train" / "cat" / "broken.png"),)
    assert found.imbalance == 5
    splits, classes = found.copies
    assert (splits.kind, splits.first, splits.second, splits.count) == ("splits", "train", "val", 1)
    assert splits.example == (f"{pets}/train/cat/2.png", f"{pets}/val/cat/again.png")
    assert (classes.kind, classes.first, classes.second) == ("classes", "cat", "dog")
    assert classes.example == (f"{pets}/train/cat/3.png", f"{pets}/train/dog/cat.png")
    json.dumps(found.to_dict())


def test_the_text_has_a_row_a_class_and_names_what_is_wrong(pets):
    text = str(describe(data.load(f"folder:{pets}")))
    assert "cat         10        3  8×10 – 17×10" in text
    for told in ("broken.png", "1 of 5 val images are in train as well", "in two classes"):
        assert told in text
    assert "10 training images of cat, 2 of dog" in text


def test_of_a_clean_set_nothing_is_remarked():
    found = describe(data.load("builtin:digits"))
    assert found.classes[0].largest == (8, 8)
    assert not found.copies
    assert not found.remarks
