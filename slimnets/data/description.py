"""What is in a data set, told before a training: how many, how large, how even, how clean."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from slimnets.data.pictures import digest
from slimnets.data.splits import Source, Split

# A class with this many times the pictures of another is worth a word.
_UNEVEN = 5
_FEW = 20
_MOST_ROWS, _MOST_NAMES = 20, 5


@dataclass(frozen=True)
class ClassCount:
    """One class.

    Attributes:
        name: its.
        counts: split → how many pictures.
        smallest, largest: (height, width) in pixels of the pictures with the least and the most
            pixels, over all splits.
    """

    name: str
    counts: Mapping[str, int]
    smallest: tuple[int, int]
    largest: tuple[int, int]


@dataclass(frozen=True)
class Copies:
    """Pictures that are there twice, byte for byte.

    Attributes:
        kind: "splits": in two splits, so that what is learned by heart is measured; "classes":
            under two names, so that one of them is wrong.
        first, second: the two splits, or the two classes of the example.
        count: how many pictures of `second` are such (of kind "classes": how many pictures).
        example: names of two pictures; of arrays, their places in the splits.
    """

    kind: str
    first: str
    second: str
    count: int
    example: tuple[str, str]


@dataclass(frozen=True)
class Description:
    """A data set in numbers; `str()` is the same as text.

    Attributes:
        source: its name.
        splits: split → how many pictures.
        classes: in label order.
        skipped: names of the pictures that cannot be read and are left out.
        copies: pictures in two splits or two classes.
        imbalance: pictures of the largest class over those of the smallest, in "train".
        remarks: what is worth a word, in sentences; empty if nothing is.
    """

    source: str
    splits: Mapping[str, int]
    classes: tuple[ClassCount, ...]
    skipped: tuple[str, ...]
    copies: tuple[Copies, ...]
    imbalance: float
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in self.splits.items())
        lines = [f"{self.source}: {counts}; {len(self.classes)} classes", *self._table()]
        return "\n".join([*lines, *(f"note: {remark}" for remark in self.remarks)])

    def _table(self) -> Iterator[str]:
        shown = self.classes[:_MOST_ROWS]
        wide = max(len("class"), *(len(one.name) for one in shown))
        head = "".join(f"{name:>9}" for name in self.splits)
        yield f"  {'class':<{wide}}{head}  pixels"
        for one in shown:
            counts = "".join(f"{one.counts[name]:>9,}" for name in self.splits)
            sizes = [f"{height}×{width}" for height, width in (one.smallest, one.largest)]
            yield f"  {one.name:<{wide}}{counts}  {' – '.join(dict.fromkeys(sizes))}"
        if len(self.classes) > len(shown):
            yield f"  … and {len(self.classes) - len(shown)} more"


def describe(source: Source) -> Description:
    """What is in a source.

    Args:
        source: of `slimnets.data.load`; picture files were looked at then, nothing is read again.
    """
    labels = np.concatenate([split.labels for split in source.splits.values()])
    sizes = np.concatenate([_sizes(split) for split in source.splits.values()])
    pixels = sizes[:, 0].astype(np.int64) * sizes[:, 1]
    per_split = {
        name: np.bincount(split.labels, minlength=len(source.class_names))
        for name, split in source.splits.items()
    }
    classes = []
    for label, name in enumerate(source.class_names):
        members = np.flatnonzero(labels == label)
        ends = sizes[members[[pixels[members].argmin(), pixels[members].argmax()]]]
        counts = {split: int(count[label]) for split, count in per_split.items()}
        classes.append(ClassCount(name, counts, *(tuple(map(int, end)) for end in ends)))
    train = per_split["train"]
    found = Description(
        source=source.name,
        splits={name: len(split) for name, split in source.splits.items()},
        classes=tuple(classes),
        skipped=source.skipped,
        copies=tuple(_copies(source)),
        imbalance=float(train.max() / train.min()),
        remarks=(),
    )
    return dataclasses.replace(found, remarks=tuple(_remarks(found)))


def _sizes(split: Split) -> np.ndarray:
    if split.looks is None:
        return np.tile(np.array(split.images.shape[1:3], np.int32), (len(split), 1))
    return np.stack([split.looks["height"], split.looks["width"]], axis=1)


def _digests(split: Split) -> np.ndarray:
    if split.looks is None:
        return np.array([digest(image.tobytes()) for image in split.images], np.uint64)
    return split.looks["digest"]


def _copies(source: Source) -> Iterator[Copies]:
    """Of each pair of splits, and of classes."""
    names = list(source.splits)
    digests = {name: _digests(split) for name, split in source.splits.items()}
    for position, second in enumerate(names):
        for first in names[:position]:
            again = np.flatnonzero(np.isin(digests[second], digests[first]))
            if len(again):
                there = int(np.flatnonzero(digests[first] == digests[second][again[0]])[0])
                example = (
                    _picture(source, first, there),
                    _picture(source, second, int(again[0])),
                )
                yield Copies("splits", first, second, len(again), example)
    whole = np.concatenate([digests[name] for name in names])
    labels = np.concatenate([source.splits[name].labels for name in names])
    places = [(name, index) for name in names for index in range(len(source.splits[name]))]
    order = np.lexsort((labels, whole))
    same = (whole[order][1:] == whole[order][:-1]) & (labels[order][1:] != labels[order][:-1])
    if same.any():
        at = int(np.flatnonzero(same)[0])
        pair = [order[at], order[at + 1]]
        first, second = (source.class_names[labels[i]] for i in pair)
        example = tuple(_picture(source, *places[i]) for i in pair)
        yield Copies("classes", first, second, int(same.sum()), example)


def _picture(source: Source, split: str, index: int) -> str:
    images = source.splits[split].images
    return f"{split}[{index}]" if isinstance(images, np.ndarray) else str(images[index])


def _remarks(found: Description) -> Iterator[str]:
    if found.skipped:
        names = ", ".join(found.skipped[:_MOST_NAMES])
        more = f" and {len(found.skipped) - _MOST_NAMES} more"
        yield (
            f"{len(found.skipped)} pictures cannot be read and are left out: {names}"
            f"{more if len(found.skipped) > _MOST_NAMES else ''}."
        )
    for one in found.copies:
        if one.kind == "splits":
            yield (
                f"{one.count} of {found.splits[one.second]} {one.second} images are in {one.first} "
                f"as well, for example {one.example[1]} as {one.example[0]}: accuracy is measured "
                "on what was trained on."
            )
        else:
            yield (
                f"{one.count} pictures are in two classes, for example {one.example[0]} in "
                f"{one.first} and {one.example[1]} in {one.second}: one of them is wrong."
            )
    counts = {one.name: one.counts["train"] for one in found.classes}
    if found.imbalance >= _UNEVEN:
        large, small = max(counts, key=counts.get), min(counts, key=counts.get)
        yield (
            f"the classes are uneven: {counts[large]:,} training images of {large}, "
            f"{counts[small]:,} of {small}. config.data.balance=weights or sampling makes the rare "
            "ones count."
        )
    few = [name for name, count in counts.items() if count < _FEW]
    if few:
        names = ", ".join(few[:_MOST_NAMES]) + (", …" if len(few) > _MOST_NAMES else "")
        yield f"fewer than {_FEW} training images of {names}: start from weights, or take more."
