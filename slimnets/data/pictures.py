"""What all sources of picture files have in common: each picture is looked at before it counts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging

from slimnets.data.splits import LOOKS, Source, Split, stratified_order
from tflite import progress
from tflite.image_files import EncodedImage, look_at

# (picture, label)
Labelled = Sequence[tuple[str | EncodedImage, int]]

_MAX_BAD_FRACTION = 0.01
VAL_FRACTION = 0.2
_CHUNK = 256
_MOST_NAMES = 10


def build(name: str, class_names: tuple[str, ...], parts: Mapping[str, Labelled]) -> Source:
    """The source of these pictures, once each was decoded.

    Those that cannot be are left out and named in the log. Without a "val" a stratified fifth of
    "train" becomes it.

    Args:
        name: the source's, for messages too.
        class_names: in label order.
        parts: split → its pictures, "train" among them.

    Raises:
        ValueError: no pictures, a single class, a class without a picture, or more than 1 % (and
            more than one) of a split's pictures unreadable.
    """
    splits, skipped = {}, ()
    for split, pictures in parts.items():
        splits[split], bad = readable(f"{split} of {name}", class_names, pictures)
        skipped += bad
    if "val" not in splits:
        splits = {**held_out(name, class_names, splits.pop("train")), **splits}
    return Source(name, class_names, splits, skipped)


def readable(
    where: object, class_names: Sequence[str], pictures: Labelled
) -> tuple[Split, tuple[str, ...]]:
    """The pictures that can be decoded, as a split, and the names of those that cannot.

    Args:
        where: they are, for messages.
        class_names: each of them needs a picture.
        pictures: with their labels.

    Raises:
        ValueError: as `build`.
    """
    if len(class_names) == 1:
        raise ValueError(f"{where} has one class only ({class_names[0]}); at least two are needed.")
    require_pictures(where, class_names, (label for _, label in pictures))
    looks, bad = np.zeros(len(pictures), LOOKS), {}
    with ThreadPoolExecutor() as pool:
        starts = range(0, len(pictures), _CHUNK)
        for start in progress.steps(starts, f"looking at {len(pictures):,} pictures"):
            chunk = pictures[start : start + _CHUNK]
            found = pool.map(_look, (picture for picture, _ in chunk))
            for index, one in enumerate(found, start):
                if isinstance(one, str):
                    bad[index] = one
                    logging.warning("skipped: %s", one)
                else:
                    looks[index] = one
    names = tuple(str(pictures[index][0]) for index in bad)
    if bad:
        logging.warning("%d of %d images in %s skipped", len(bad), len(pictures), where)
    check_few_are_bad(names, len(pictures), where)
    good = [index for index in range(len(pictures)) if index not in bad]
    labels = np.array([pictures[index][1] for index in good], np.int64)
    require_pictures(where, class_names, labels)
    return Split(tuple(pictures[index][0] for index in good), labels, looks[good]), names


def check_few_are_bad(bad: Sequence[str], count: int, where: object) -> None:
    """Raise a ValueError where more than one, and more than 1 %, of pictures cannot be read."""
    if len(bad) > max(1, _MAX_BAD_FRACTION * count):
        raise ValueError(
            f"{len(bad)} of {count} images in {where} cannot be read, more than "
            f"{_MAX_BAD_FRACTION:.0%}; the first is {bad[0]}."
        )


def check_same_classes(where: object, names: Mapping[str, Iterable[str]]) -> None:
    """Raise a ValueError that names the classes which not all splits have.

    Args:
        where: the splits are, for messages.
        names: split, as it is called there → its classes.
    """
    first, *others = names
    for other in others:
        differing = sorted(set(names[first]) ^ set(names[other]))
        if differing:
            more = ", …" if len(differing) > _MOST_NAMES else ""
            raise ValueError(
                f"{where}: the classes of {first} and {other} differ: "
                f"{', '.join(differing[:_MOST_NAMES])}{more} in only one of them."
            )


def require_pictures(
    where: object, class_names: Iterable[str], labels: Iterable[int] | np.ndarray
) -> None:
    """Raise a ValueError that names the classes without a picture."""
    present = set(map(int, labels))
    empty = [name for label, name in enumerate(class_names) if label not in present]
    if empty:
        raise ValueError(f"{where}: no readable image in class {', '.join(empty)}.")


def held_out(where: object, class_names: Sequence[str], whole: Split) -> dict[str, Split]:
    """A stratified fifth as "val" and the rest as "train", each with every class.

    Raises:
        ValueError: a class has one picture only.
    """
    counts = np.bincount(whole.labels, minlength=len(class_names))
    for name, count in zip(class_names, counts, strict=True):
        if count < 2:
            raise ValueError(
                f"{where}: class {name} has no image left for the val split; two images a class "
                "are the least."
            )
    order = stratified_order(whole.labels)
    count = max(round(len(whole) * VAL_FRACTION), len(class_names))
    val, train = [*order[:count]], [*order[count:]]
    # Of a class with few images among many, the cut may have left all on one side.
    for giver, taker in ((train, val), (val, train)):
        for label in np.setdiff1d(np.arange(len(class_names)), whole.labels[taker]):
            moved = next(index for index in giver if whole.labels[index] == label)
            giver.remove(moved)
            taker.append(moved)
    return {"train": whole.select(np.array(train)), "val": whole.select(np.array(val))}


def digest(content: bytes) -> int:
    """What tells these bytes from others, as 64 bits."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _look(picture: str | EncodedImage) -> tuple[int, int, int, bool] | str:
    """A row of `LOOKS`, or the problem."""
    try:
        height, width, plain = look_at(picture)
        content = Path(picture).read_bytes() if isinstance(picture, str) else picture.read()
    except OSError as error:
        return str(error)
    return height, width, digest(content), plain
