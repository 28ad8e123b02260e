"""One picture in four tools' words: the same boxes, and the wrong ones named."""

import json

import numpy as np
import pytest
from PIL import Image, ImageOps

import slimnets
from slimnets import data
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


def test_crowds_are_not_trained_on_and_judge_nothing(folder):
    name = coco(folder)
    content = json.loads((folder / "boxes.json").read_text())
    (one,) = content["annotations"]
    content["annotations"].append({**one, "id": 4, "bbox": [0, 0, 80, 40], "iscrowd": 1})
    (folder / "boxes.json").write_text(json.dumps(content))
    found = slimnets.read_annotations(name)
    np.testing.assert_allclose(found.objects[0].boxes, [BOX])
    np.testing.assert_allclose(found.judged[0].boxes, [BOX, [0, 0, 1, 1]])
    assert found.judged[0].ignored.tolist() == [False, True]
    assert len(found.judged[1].ignored) == 0


def test_difficult_objects_are_trained_on_and_judge_nothing(folder):
    name = voc(folder)
    text = (folder / "a.xml").read_text()
    (folder / "a.xml").write_text(text.replace("</name>", "</name><difficult>1</difficult>"))
    found = slimnets.read_annotations(name)
    np.testing.assert_allclose(found.objects[0].boxes, [BOX])
    assert found.judged[0].ignored.tolist() == [True]
    (folder / "empty.xml").write_text(text)
    _, both = data.load(name).split("all")
    assert sorted(bool(ignored) for _, _, (ignored, *_) in both.judged) == [False, True]


def test_where_nothing_is_special_all_boxes_judge(folder):
    assert slimnets.read_annotations(voc(folder)).judged is None


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


# --- As tools really write ------------------------------------------------------------------------


def turned(path, orientation):
    """The fixture's picture as a camera held on its side stores it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 80)).save(path, exif=exif)


def with_size(file, height, width):
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    file.write_text(file.read_text().replace("<annotation>", f"<annotation>{size}", 1))


@pytest.mark.parametrize("write", [voc, coco, yolo, table])
def test_boxes_of_a_photograph_on_its_side_are_those_of_what_is_shown(folder, write):
    turned(folder / "a.jpg", 6)
    found = slimnets.read_annotations(write(folder))
    np.testing.assert_allclose(found.objects[0].boxes, [BOX])


# One pixel of the stored picture, 80 high and 40 wide, in row 10 and column 3.
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_a_tool_that_did_not_turn_the_photograph_are_turned_with_it(folder, orientation):
    turned(folder / "a.jpg", orientation)
    stored = Image.open(folder / "a.jpg")
    stored.putpixel((3, 10), (255, 255, 255))
    shown = np.asarray(ImageOps.exif_transpose(stored))[..., 0] > 128
    ((row, column),) = np.argwhere(shown)
    expected = [[row / 40, column / 80, (row + 1) / 40, (column + 1) / 80]]
    source = voc(folder, edges=(11, 4, 11, 4))
    with_size(folder / "a.xml", 80, 40)
    np.testing.assert_allclose(slimnets.read_annotations(source).objects[0].boxes, expected)
    coco(folder, bbox=(3, 10, 1, 1))
    file = folder / "boxes.json"
    content = json.loads(file.read_text())
    content["images"][0] |= {"height": 80, "width": 40}
    file.write_text(json.dumps(content))
    found = slimnets.read_annotations(f"coco:{file}")
    np.testing.assert_allclose(found.objects[0].boxes, expected)


@pytest.mark.parametrize("size", [(0, 0), (40, 80), (80, 40)])
def test_a_size_that_is_none_or_swapped_does_not_count(folder, size):
    source = voc(folder)
    with_size(folder / "a.xml", *size)
    np.testing.assert_allclose(slimnets.read_annotations(source).objects[0].boxes, [BOX])


def test_boxes_of_a_picture_that_was_made_smaller_since_are_those_of_the_one_annotated(folder):
    Image.new("RGB", (20, 10)).save(folder / "a.jpg")
    source = voc(folder)
    with_size(folder / "a.xml", 40, 80)
    np.testing.assert_allclose(slimnets.read_annotations(source).objects[0].boxes, [BOX])


@pytest.mark.parametrize("write", [voc, coco, yolo, table])
def test_files_of_windows_and_of_a_mac_are_read_alike(folder, write):
    source = write(folder)
    for file in [*folder.glob("*.txt"), *folder.glob("*.json"), *folder.glob("*.csv")]:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    for name in ("._a.jpg", "._a.xml", "._a.txt"):
        (folder / name).write_bytes(b"\0\5\x16\7\xff")
    found = slimnets.read_annotations(source)
    np.testing.assert_allclose(found.objects[0].boxes, [BOX])
    assert (len(found.files), found.class_names) == (2, ("cat",))


@pytest.mark.parametrize("write", [coco, table])
def test_backslashes_are_slashes(folder, write):
    source = write(folder)
    (folder / "pictures").mkdir()
    (folder / "a.jpg").rename(folder / "pictures" / "a.jpg")
    for name, written in (("boxes.csv", "pictures\\a.jpg"), ("boxes.json", r"pictures\\a.jpg")):
        if (file := folder / name).is_file():
            file.write_text(file.read_text().replace("a.jpg", written))
    assert slimnets.read_annotations(source).files[0] == str(folder / "pictures" / "a.jpg")


def test_a_table_may_have_semicolons_and_capitals(folder):
    source = table(folder)
    text = (folder / "boxes.csv").read_text()
    (folder / "boxes.csv").write_text(text.replace("path,class", "Path, Class").replace(",", ";"))
    np.testing.assert_allclose(slimnets.read_annotations(source).objects[0].boxes, [BOX])


def test_a_table_whose_quotation_mark_is_not_closed_is_refused_not_cut_short(folder):
    source = table(folder, '"a.jpg,cat,10,20,20,60')
    with pytest.raises(ValueError, match=r"boxes\.csv, line 3: unexpected end of data"):
        slimnets.read_annotations(source)


def test_yolos_polygons_have_boxes_and_pictures_without_a_file_have_none(folder):
    source = yolo(folder, line="0 0.25 0.3 0.75 0.25 0.5 0.5")
    (folder / "empty.txt").unlink()
    found = slimnets.read_annotations(source)
    np.testing.assert_allclose(found.objects[0].boxes, [BOX])
    assert found.files[1] == str(folder / "empty.png")
    assert len(found.objects[1].classes) == 0


def test_a_box_of_a_picture_that_coco_does_not_list_is_named(folder):
    source = coco(folder)
    file = folder / "boxes.json"
    file.write_text(file.read_text().replace('"image_id": 0', '"image_id": 9'))
    with pytest.raises(ValueError, match="annotation 3 is of image 9, which no entry of images"):
        slimnets.read_annotations(source)


def test_a_folders_name_may_have_a_comma(folder):
    inner = folder / "cats, 2"
    inner.mkdir()
    for name in ("a.jpg", "empty.png"):
        (folder / name).rename(inner / name)
    for write in (voc, coco, yolo, table):
        assert len(slimnets.read_annotations(write(inner)).files) == 2


def test_a_text_in_another_encoding_is_named(folder):
    source = yolo(folder)
    (folder / "classes.txt").write_bytes("félin".encode("latin-1"))
    with pytest.raises(ValueError, match=r"classes\.txt is no text in UTF-8"):
        slimnets.read_annotations(source)
