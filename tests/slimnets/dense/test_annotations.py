"""One picture in four tools' words: the same boxes, and the wrong ones named."""

import json

import numpy as np
import pytest
from PIL import Image

import slimnets
from slimnets.dense.yolo_names import listed_names

# 40 high, 80 wide; rows 10 to 19 (inclusive) and columns 20 to 59, a cat.
BOX = [0.25, 0.25, 0.5, 0.75]


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (80, 40)).save(tmp_path / "a.jpg")
    Image.new("RGB", (80, 40)).save(tmp_path / "empty.png")
    return tmp_path


def voc(folder, kind="cat", edges=(11, 21, 20, 60)):
    tags = "".join(
        f"<{name}>{value}</{name}>"
        for name, value in zip(("ymin", "xmin", "ymax", "xmax"), edges, strict=True)
    )
    one = f"<object><name>{kind}</name><bndbox>{tags}</bndbox></object>"
    (folder / "a.xml").write_text(f"<annotation>{one}</annotation>")
    (folder / "empty.xml").write_text("<annotation/>")
    return f"voc:{folder}"


def coco(folder, categories=("cat",), bbox=(20, 10, 40, 10)):
    content = {
        "categories": [{"id": 7 + i, "name": name} for i, name in enumerate(categories)],
        "images": [
            {"id": i, "file_name": name, "height": 40, "width": 80}
            for i, name in enumerate(("a.jpg", "empty.png"))
        ],
        "annotations": [{"id": 3, "image_id": 0, "category_id": 7, "bbox": bbox}],
    }
    (folder / "boxes.json").write_text(json.dumps(content))
    return f"coco:{folder / 'boxes.json'}"


def yolo(folder, line="0 0.5 0.375 0.5 0.25"):
    (folder / "a.txt").write_text(f"{line}\n")
    (folder / "empty.txt").write_text("")
    (folder / "classes.txt").write_text("cat\n")
    return f"yolo:{folder}"


def table(folder, row="a.jpg,cat,10,20,20,60"):
    (folder / "boxes.csv").write_text(f"path,class,ymin,xmin,ymax,xmax\n{row}\nempty.png,,,,,\n")
    return f"csv:{folder / 'boxes.csv'}"


@pytest.mark.parametrize("write", [voc, coco, yolo, table])
def test_the_same_box_in_every_tools_words(folder, write):
    found = slimnets.read_annotations(write(folder))
    assert found.files == (str(folder / "a.jpg"), str(folder / "empty.png"))
    np.testing.assert_allclose(found.objects[0].boxes, [BOX])
    assert found.objects[0].classes.tolist() == [0]
    assert len(found.objects[1].classes) == 0
    assert (found.class_names, found.rejected) == (("cat",), ())


@pytest.mark.parametrize(
    ("write", "kwargs", "message"),
    [
        (voc, {"edges": (20, 60, 11, 21)}, "a.xml: the box .* has its corners swapped"),
        (coco, {"bbox": (20, 10, 0, 10)}, "boxes.json, annotation 3: the box .* has no area"),
        (coco, {"bbox": (70, 10, 40, 10)}, "leaves the picture"),
        (yolo, {"line": "0 0.5 nan 0.5 0.25"}, "a.txt:1: the box .* is not finite"),
        (table, {"row": "a.jpg,dog,10,20,20,60"}, "boxes.csv:2: its class 'dog' is none of cat"),
    ],
)
def test_a_wrong_box_is_left_out_and_told(folder, write, kwargs, message):
    import re

    found = slimnets.read_annotations(write(folder, **kwargs), class_names=["cat"])
    assert len(found.objects[0].classes) == 0
    assert re.search(message, found.rejected[0])
    assert "1 left out" in str(found)


@pytest.mark.parametrize(
    ("write", "kwargs", "message"),
    [
        (coco, {"categories": ("background", "cat")}, "what is in no box is background"),
        (coco, {"bbox": (1, 2, 3)}, "annotation 3: bbox must be x, y, width, height"),
        (yolo, {"line": "0 0.5 0.5"}, "a.txt:1: a line must be 'class x y width height'"),
        (table, {"row": "a.jpg,cat,x,20,20,60"}, "boxes.csv:2: 'x' is no number"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_place(folder, write, kwargs, message):
    with pytest.raises(ValueError, match=message):
        slimnets.read_annotations(write(folder, **kwargs))


def test_what_is_not_there_is_said(folder):
    with pytest.raises(ValueError, match="annotations are told as voc:PATH, coco:PATH"):
        slimnets.read_annotations("labelme:x")
    with pytest.raises(FileNotFoundError, match="is not there"):
        slimnets.read_annotations(f"voc:{folder / 'nowhere'}")


@pytest.mark.parametrize(
    "names",
    [
        "names: ['cat', 'big dog']\nnc: 2",
        "names: [cat, big dog]  # all\nnc: 2",
        "names: {0: cat, 1: 'big dog'}\n",
        "path: x\nnames:\n  0: cat  # purrs\n  1: 'big dog'\nnc: 2",
        "names:\n- cat\n- big dog\n",
        "names: ['cat',\n  'big dog']\n",
    ],
)
def test_yolos_names_may_stand_in_data_yaml(tmp_path, names):
    (tmp_path / "data.yaml").write_text(names)
    assert listed_names(tmp_path / "train", tmp_path) == ["cat", "big dog"]


def test_a_data_yaml_of_another_form_is_refused(tmp_path):
    (tmp_path / "data.yaml").write_text("names: &all [cat, dog]\n")
    with pytest.raises(ValueError, match=r"data\.yaml: its names cannot be read.*classes\.txt"):
        listed_names(tmp_path)
