"""COCO's JSON, as Roboflow, CVAT and Label Studio write it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from slimnets.dense.places import BOXES, PICTURES, inner
from slimnets.dense.split_names import SPLITS, split_name
from slimnets.dense.texts import as_path, read_text
from slimnets.dense.written import Box, Frame, Picture, frame_of, number, parts

_ASKED = 100


def read(place: str) -> tuple[list[Picture], list[str]]:
    """Boxes are x, y, width, height in pixels; crowds are not trained on and judge nothing."""
    name, folder = parts(place)
    file = Path(name)
    try:
        content = json.loads(read_text(file))
        categories = {one["id"]: str(one["name"]) for one in content["categories"]}
        images = {one["id"]: one for one in content["images"]}
        places = [Path(folder).expanduser()] if folder else [*_near(file)]
        paths = _paths(places, {key: one["file_name"] for key, one in images.items()})
        boxes: dict[Any, list[Box]] = {key: [] for key in images}
        frames: dict[Any, Frame] = {}
        used = set()
        for one in content["annotations"]:
            used.add(one["category_id"])
            where, key = f"{file}, annotation {one.get('id')}", one["image_id"]
            if key not in images:
                raise ValueError(f"{where} is of image {key!r:.40}, which no entry of images has.")
            bbox = [number(value, where) for value in one["bbox"]]
            if len(bbox) != 4:
                raise ValueError(f"{where}: bbox must be x, y, width, height, got {bbox!r:.80}.")
            x, y, width, height = bbox
            if key not in frames:
                said = tuple(number(images[key].get(s) or 0, where) for s in ("height", "width"))
                frames[key] = frame_of(paths[key], said)
            kind = categories.get(one["category_id"], f"category {one['category_id']}")
            edges, single = [y, x, y + height, x + width], not one.get("iscrowd")
            boxes[key].append(Box(where, kind, edges, frames[key], trains=single, judges=single))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{file} is no COCO file of boxes ({type(error).__name__}: {error})."
        ) from error
    pictures = [(str(paths[key]), of_picture) for key, of_picture in boxes.items()]
    return pictures, _listed(categories, used)


def _listed(categories: dict[Any, str], used: Collection[Any]) -> list[str]:
    """The names by number, without what Roboflow puts first: the project, as a category without a
    box that may be called as one of the classes."""
    taken = {categories[key] for key in used if key in categories}
    return [
        categories[key] for key in sorted(categories) if key in used or categories[key] not in taken
    ]


def files_of(root: Path) -> dict[str, Path]:
    """Split → the file of a folder, as of COCO's own: in annotations/ or in the folder itself, with
    the split in its name; "train" where there is one only."""
    place = inner(root, BOXES) or root
    found = sorted(place.glob("*.json")) or sorted(root.glob("*.json"))
    # Beside those of boxes COCO has captions and key points of the same splits.
    found = [one for one in found if "instances" in one.stem.lower()] or found
    if len(found) == 1:
        return {"train": found[0]}
    files = {split_name(one.stem): one for one in found}
    if len(files) < len(found) or "train" not in files:
        raise ValueError(
            f"{root} has {len(found)} .json files; give the one with the boxes, as "
            "coco:FILE.json,FOLDER."
        )
    return {name: files[name] for name in SPLITS if name in files}


def _near(file: Path) -> Iterator[Path]:
    """Where a file's pictures may be that are relative to a folder nobody told."""
    words, split = re.split("[-_]", file.stem.lower()), split_name(file.stem)
    is_inside = file.parent.name.lower() in BOXES
    yield file.parent
    for top in (file.parent, *([file.parent.parent] if is_inside else [])):
        for folder in filter(None, (inner(top, PICTURES), top)):
            yield folder
            for one in sorted(folder.iterdir()):
                same = one.name.lower() in words or (split and split_name(one.name) == split)
                if same and one.is_dir():
                    yield one


def _paths(folders: list[Path], names: dict[Any, str]) -> dict[Any, Path]:
    """Image → its file in the first folder that has one of them; where none has, without the
    folders that it had on another computer."""
    bare = {key: name.replace("\\", "/").rpartition("/")[2] for key, name in names.items()}
    spellings = [names, bare] if len(set(bare.values())) == len(bare) else [names]
    for spelling in spellings:
        for folder in folders:
            some = [as_path(folder, name) for name in [*spelling.values()][:_ASKED]]
            if any(path.is_file() for path in some):
                return {key: as_path(folder, name) for key, name in spelling.items()}
    return {key: as_path(folders[0], name) for key, name in names.items()}
