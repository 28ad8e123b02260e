"""Pascal VOC's XML, a file a picture, as labelImg, CVAT and Roboflow write it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from slimnets.dense.places import BOXES, PICTURES, files_below, inner, twin
from slimnets.dense.written import Box, Picture, frame_of, number, picture_beside


def read(place: str) -> tuple[list[Picture], None]:
    """Edges count from 1 and include the last pixel: the picture's whole box is 1, 1, W, H.

    Difficult objects are trained on, but judge nothing.
    """
    root = Path(place)
    folder, pictures = inner(root, BOXES) or root, []
    for file in files_below(folder, (".xml",)) or files_below(root, (".xml",)):
        where = str(file)
        try:
            tree = ElementTree.parse(file).getroot()
        except ElementTree.ParseError as error:
            raise ValueError(f"{where} is no XML: {error}.") from error
        if tree.tag.lower() != "annotation":
            raise ValueError(
                f"{where} is not Pascal VOC's, a file a picture that begins with <annotation>: it "
                f"begins with <{tree.tag:.40}>."
            )
        path = _picture(file, tree.findtext("filename") or "", folder)
        said = tuple(number(tree.findtext(f"size/{s}") or 0, where) for s in ("height", "width"))
        frame, boxes = frame_of(path, said), []
        for one in tree.iter("object"):
            edges = [
                number(one.findtext(f"bndbox/{edge}"), where)
                for edge in ("ymin", "xmin", "ymax", "xmax")
            ]
            edges[:2] = [max(edge - 1, 0) if edge >= 0 else edge for edge in edges[:2]]
            kind = (one.findtext("name") or "").strip()
            easy = (one.findtext("difficult") or "0").strip() in ("0", "")
            boxes.append(Box(where, kind, edges, frame, judges=easy))
        pictures.append((str(path), boxes))
    return pictures, None


def _picture(file: Path, named: str, folder: Path) -> Path:
    """That of an XML file: called as it is, or else as is written in it, which renaming forgets."""
    twins = (twin(one, BOXES, PICTURES) for one in (file.parent, folder))
    folders = [*filter(None, twins), file.parent]
    said = Path(named.strip().replace("\\", "/"))
    paths = [one / name for one in folders for name in (said, said.name)]
    there = next((path for path in paths if path.is_file()), None)
    if there is not None and there.stem == file.stem:
        return there
    found = picture_beside(file.stem, *folders) or there
    if found is None:
        raise FileNotFoundError(f"{file}: there is no picture {file.stem}.jpg or the like.")
    return found
