"""How folders, files and columns say to which split a picture belongs."""

from __future__ import annotations

import re

SPLITS = ("train", "val", "test")
# Words in a name that make it a split: train, Training, seg_train, train-images.
_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_name(text: str) -> str | None:
    """ "train", "val" or "test", if a word of the text says so, and only one; else None."""
    found = {_WORDS[word] for word in re.split(r"[^a-z]+", text.lower()) if word in _WORDS}
    return found.pop() if len(found) == 1 else None
