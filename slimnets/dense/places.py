"""Where annotation tools put things: what their folders are called, and which belong together."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from slimnets.dense.split_names import split_name
from tflite.image_files import is_hidden

# In small letters; the first that there is counts.
PICTURES = ("images", "jpegimages", "imgs", "img")
BOXES = ("annotations", "labels", "xmls", "xml")
LABELS = ("labels",)
MASKS = ("masks", "segmentationclass", "segmentationclasspng", "annotations", "labels")


def inner(root: Path, names: Collection[str]) -> Path | None:
    """The folder in `root` that is called by the first of these names, in whatever capitals."""
    found = {one.name.lower(): one for one in sorted(root.iterdir()) if one.is_dir()}
    return next((found[name] for name in names if name in found), None)


def twin(folder: Path, own: Collection[str], other: Collection[str]) -> Path | None:
    """The folder that is of one called `other` what this is of one called `own`: labels/train of
    images/train."""
    for above in (folder, *folder.parents):
        if above.name.lower() in own and (there := inner(above.parent, other)):
            found = there / folder.relative_to(above)
            if found.is_dir():
                return found
    return None


def with_lists(folder: Path) -> Iterator[Path]:
    """Where a list of classes may be: in the folder, and above one of a split or of pictures."""
    folder = folder.absolute()
    yield folder
    while split_name(folder.name) or folder.name.lower() in (*PICTURES, *BOXES, *MASKS):
        folder = folder.parent
        yield folder


def files_below(folder: Path, endings: Collection[str]) -> list[Path]:
    """All its files with these endings, sorted, in folders inside and behind links, too, without a
    program's own, such as ._picture.xml of a Mac's archive."""
    found, seen = [], set()
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name)
        if (real := place.resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [one for one in folders if not is_hidden(one)]
        found += [
            place / one
            for one in files
            if not is_hidden(one) and Path(one).suffix.lower() in endings
        ]
    return sorted(found)
