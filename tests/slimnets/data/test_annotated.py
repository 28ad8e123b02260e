"""Folders of boxes and masks as data sources: their splits, and what cannot be learned from."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimnets import data


def voc(folder, pictures):
    """Pictures of 40×40 pixels with a box a name."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, kinds in pictures.items():
        Image.new("RGB", (40, 40)).save(folder / f"{stem}.jpg")
        box = "<bndbox><ymin>1</ymin><xmin>1</xmin><ymax>20</ymax><xmax>20</xmax></bndbox>"
        objects = "".join(f"<object><name>{kind}</name>{box}</object>" for kind in kinds)
        (folder / f"{stem}.xml").write_text(f"<annotation>{objects}</annotation>")
    return folder


def test_a_fifth_is_held_out_and_pictures_without_objects_are_legal(tmp_path):
    voc(tmp_path, {f"p{i}": ["cat", "dog"] if i < 8 else [] for i in range(10)})
    source = data.load(f"voc:{tmp_path}")
    assert source.class_names == ("cat", "dog")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 8, "val": 2}
    counts = [len(classes) for _, classes in source.split("all")[1].objects]
    assert sorted(counts) == [0] * 2 + [2] * 8
    again = data.load(f"voc:{tmp_path}")
    assert again.splits["val"].images == source.splits["val"].images


def test_folders_called_train_and_valid_are_splits_in_the_trainings_words(tmp_path):
    voc(tmp_path / "train", {"a": ["cat"], "b": ["dog"]})
    voc(tmp_path / "valid", {"c": ["dog"]})
    source = data.load(f"voc:{tmp_path}")
    assert set(source.splits) == {"train", "val"}
    assert source.splits["val"].objects[0][1].tolist() == [source.class_names.index("dog")]


def test_pascal_vocs_own_lists_are_its_splits(tmp_path):
    voc(tmp_path, {stem: ["cat"] for stem in "abcd"})
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\nc\n")
    (lists / "val.txt").write_text("d\n")
    source = data.load(f"voc:{tmp_path}")
    assert [len(source.splits[name]) for name in ("train", "val")] == [3, 1]


@pytest.mark.parametrize("line", ["{}.jpg", "JPEGImages/{}.jpg", "{}  1", "{}\r"])
def test_lists_may_name_files_with_blanks_in_their_names(tmp_path, line):
    stems = ["my cat 1", "my cat 2", "my cat 3"]
    voc(tmp_path, {stem: ["cat"] for stem in stems})
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    if line == "{}  1":  # of VOC's lists of a class, whose names have none
        stems = ["a", "b", "c"]
        voc(tmp_path, {stem: ["cat"] for stem in stems})
    (lists / "train.txt").write_text("".join(line.format(stem) + "\n" for stem in stems[:2]))
    (lists / "val.txt").write_text("\ufeff" + line.format(stems[2]), "utf-8")
    parts = data.load(f"voc:{tmp_path}").splits
    assert {n: [Path(p).stem for p in part.images] for n, part in parts.items()} == {
        "train": stems[:2],
        "val": stems[2:],
    }


def test_lists_of_other_pictures_are_refused(tmp_path):
    voc(tmp_path, {"a": ["cat"], "b": ["cat"]})
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("train", "val"):
        (lists / f"{name}.txt").write_text("x\n")
    with pytest.raises(ValueError, match=r"train\.txt names 'x' and others"):
        data.load(f"voc:{tmp_path}")


def test_a_table_of_boxes_may_tell_splits(tmp_path):
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    file, head = tmp_path / "boxes.csv", "path,class,ymin,xmin,ymax,xmax,split\n"
    rows = [
        f"{name}.png,cat,0,0,4,4,{split}\n"
        for name, split in zip("abc", ("Val", "train", "train"), strict=True)
    ]
    file.write_text(head + "".join(rows))
    parts = data.load(f"csv:{file}").splits
    assert [Path(p).name for p in parts["val"].images] == ["a.png"]
    assert [Path(p).name for p in parts["train"].images] == ["b.png", "c.png"]
    file.write_text(head + "".join(rows) + "a.png,cat,0,0,2,2,train\n")
    with pytest.raises(ValueError, match=r"boxes\.csv:5: .*a\.png is of split val further above"):
        data.load(f"csv:{file}")


# --- Folders as tools and archives make them ------------------------------------------------------

# A cat in rows 10 to 19 and columns 10 to 29 of 40×40 pixels, in three tools' words.
XML = (
    "<annotation><filename>{0}.jpg</filename><object><name>cat</name><bndbox><ymin>11</ymin>"
    "<xmin>11</xmin><ymax>20</ymax><xmax>30</xmax></bndbox></object></annotation>"
)
LINE = "1 0.5 0.375 0.5 0.25\n"
ROWS = "filename,width,height,class,xmin,ymin,xmax,ymax\n" + "{}.jpg,40,40,cat,10,10,30,20\n" * 2
BOX = [10 / 40, 10 / 40, 20 / 40, 30 / 40]


def json_of(*names):
    return json.dumps(
        {
            "categories": [{"id": 0, "name": "cat"}, {"id": 5, "name": "cat"}],
            "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
            "annotations": [
                {"id": n, "image_id": n, "category_id": 5, "bbox": [10, 10, 20, 10]}
                for n in range(len(names))
            ],
        }
    )


def written(folder, files):
    """Text files, and pictures of 40×40 pixels."""
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".jpg":
            Image.new("RGB", (40, 40)).save(place)
        else:
            place.write_text(text)


def of(pattern, *stems, text=""):
    return {pattern.format(stem): text.replace("{0}", stem) for stem in stems}


# What is loaded, the files, and the splits that they tell.
LAYOUTS = {
    "Kaggle's small letters": (
        "voc:.",
        {**of("images/{}.jpg", *"abc"), **of("annotations/{}.xml", *"abc", text=XML)},
        {},
    ),
    "XML that is called otherwise than its picture": (
        "voc:.",
        {
            **of("images/{}.jpg", *"abc"),
            **{f"annotations/{n}.xml": XML.format(stem) for n, stem in enumerate("abc")},
        },
        {},
    ),
    "CVAT's sub-folders": (
        "voc:.",
        {**of("JPEGImages/x/{}.jpg", *"abc"), **of("Annotations/x/{}.xml", *"abc", text=XML)},
        {},
    ),
    "VOC2007's lists": (
        "voc:.",
        {
            **of("JPEGImages/{}.jpg", *"abc"),
            **of("Annotations/{}.xml", *"abc", text=XML),
            "ImageSets/Main/trainval.txt": "b\nc\n",
            "ImageSets/Main/test.txt": "a\n",
        },
        {"test": "a"},
    ),
    "COCO's own": (
        "coco:.",
        {
            **of("train2017/{}.jpg", *"ab"),
            **of("val2017/{}.jpg", "c"),
            "annotations/instances_train2017.json": json_of("a.jpg", "b.jpg"),
            "annotations/instances_val2017.json": json_of("c.jpg"),
            "annotations/captions_val2017.json": "{}",
        },
        {"train": "ab", "val": "c"},
    ),
    "CVAT's COCO": (
        "coco:annotations/instances_default.json",
        {
            **of("images/default/{}.jpg", *"abc"),
            "annotations/instances_default.json": json_of("a.jpg", "b.jpg", "c.jpg"),
        },
        {},
    ),
    "Label Studio's, on another computer": (
        "coco:result.json,images",
        {
            **of("images/{}.jpg", *"abc"),
            "result.json": json_of(*(f"/data/upload/1/{stem}.jpg" for stem in "abc")),
        },
        {},
    ),
    "darknet's and CVAT's": (
        "yolo:.",
        {
            **of("obj_train_data/{}.jpg", *"abc"),
            **of("obj_train_data/{}.txt", *"abc", text=LINE),
            "obj.names": "dog\ncat\n",
        },
        {},
    ),
    "lists of pictures": (
        "yolo:.",
        {
            **of("images/{}.jpg", *"abc"),
            **of("labels/{}.txt", *"abc", text=LINE),
            "train.txt": "./images/c.jpg\ndata/images/b.jpg\n",
            "valid.txt": "./images/a.jpg\n",
            "pets.yaml": "train: train.txt\nval: valid.txt\nnames: [dog, cat]\n",
        },
        {"train": "cb", "val": "a"},
    ),
    "folders inside, and names beside the texts": (
        "yolo:.",
        {
            **of("images/x/{}.jpg", *"ab"),
            **of("images/{}.jpg", "c"),
            **of("labels/x/{}.txt", *"ab", text=LINE),
            **of("labels/{}.txt", "c", text=LINE),
            "labels/classes.txt": "dog\ncat\n",
        },
        {},
    ),
    "Ultralytics' data.yaml elsewhere": (
        "yolo:my.yaml",
        {
            **of("pets/train/images/{}.jpg", *"ab"),
            **of("pets/val/images/{}.jpg", "c"),
            **of("pets/train/labels/{}.txt", *"ab", text=LINE),
            **of("pets/val/labels/{}.txt", "c", text=LINE),
            "my.yaml": "path: pets  # here\ntrain: ../train/images\nval: 'val/images'\n"
            "names:\n  0: dog\n  1: cat\n",
        },
        {"train": "ab", "val": "c"},
    ),
    "key points behind the box": (
        "yolo:.",
        {
            **of("{}.jpg", *"abc"),
            **of("{}.txt", *"abc", text=LINE.strip() + " 0.9 0.9 0.1 0.1\n"),
            "data.yaml": "kpt_shape: [2, 2]\nnames: [dog, cat]\n",
        },
        {},
    ),
    "TensorFlow's table": (
        "csv:boxes.csv",
        {
            **of("{}.jpg", *"abc"),
            "boxes.csv": ROWS.split("\n")[0]
            + "".join(f"\n{stem}.jpg,80,80,cat,20,20,60,40" for stem in "abc"),
        },
        {},
    ),
    "Roboflow's tables": (
        "csv:.",
        {
            **of("train/{}.jpg", *"ab"),
            **of("valid/{}.jpg", "c"),
            "train/_annotations.csv": ROWS.format("a", "b"),
            "valid/_annotations.csv": ROWS.format("c", "c"),
        },
        {"train": "ab", "val": "c"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_read_as_tools_leave_it(tmp_path, monkeypatch, layout):
    source, files, splits = LAYOUTS[layout]
    written(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    found = data.load(source)
    stems = {
        name: {Path(image).stem for image in part.images} for name, part in found.splits.items()
    }
    assert {name: stems[name] for name in splits} == {n: set(told) for n, told in splits.items()}
    assert sorted("".join(map("".join, stems.values()))) == [*"abc"]
    assert found.skipped == ()
    for part in found.splits.values():
        for boxes, kinds in part.objects:
            np.testing.assert_allclose(boxes[0], BOX, atol=1e-6)
            assert {found.class_names[kind] for kind in kinds} == {"cat"}


@pytest.mark.parametrize("box", ["0.1,0.1,0.9,0.9", "0,0,1,1"])
def test_fractions_where_pixels_belong_are_refused(tmp_path, box):
    written(tmp_path, of("{}.jpg", *"ab"))
    table = "path,class,ymin,xmin,ymax,xmax\n" + f"a.jpg,cat,{box}\nb.jpg,cat,{box}\n"
    (tmp_path / "boxes.csv").write_text(table)
    with pytest.raises(ValueError, match=r"no box reaches beyond 1.*boxes\.csv:2; .* in pixels"):
        data.load(f"csv:{tmp_path / 'boxes.csv'}")


def test_a_box_that_reaches_a_little_beyond_its_picture_is_cut_to_it(tmp_path):
    written(tmp_path, {**of("{}.jpg", *"ab"), **of("{}.txt", *"ab", text="0 0.9 0.5 0.4 0.5\n")})
    source = data.load(f"yolo:{tmp_path}")
    assert source.skipped == ()
    np.testing.assert_allclose(
        source.splits["train"].objects[0][0], [[0.25, 0.7, 0.75, 1]], atol=1e-6
    )


def test_two_folders_of_one_split_are_told(tmp_path):
    voc(tmp_path / "train", {"a": ["cat"]})
    voc(tmp_path / "training", {"b": ["cat"]})
    with pytest.raises(ValueError, match="both train/ and training/ may be the train split"):
        data.load(f"voc:{tmp_path}")


def masks(folder, values, size=(6, 4)):
    for name in ("images", "masks"):
        (folder / name).mkdir(exist_ok=True)
    for n in range(4):
        Image.new("RGB", size).save(folder / "images" / f"{n}.png")
        mask = np.zeros(size[::-1], np.uint8)
        mask[0, : len(values)] = values
        Image.fromarray(mask).save(folder / "masks" / f"{n}.png")


def test_masks_in_black_and_white_are_refused_since_255_counts_for_nothing(tmp_path):
    masks(tmp_path, [255])
    (tmp_path / "classes.txt").write_text("background\ncat\n")
    with pytest.raises(ValueError, match=r"hold no class but 0 \(and 255.*is to be 1"):
        data.load(f"masks:{tmp_path}")


def test_a_damaged_picture_with_a_mask_is_left_out(tmp_path):
    masks(tmp_path, [1])
    (tmp_path / "images" / "2.png").write_bytes(b"")
    source = data.load(f"masks:{tmp_path}")
    assert sum(map(len, source.splits.values())) == 3
    assert "2.png" in source.skipped[0]


def test_yolos_splits_may_be_inside_of_images_and_labels(tmp_path):
    for split in ("train", "val"):
        for name in ("images", "labels"):
            (tmp_path / name / split).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / split / "a.png")
        (tmp_path / "labels" / split / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names: ['cat', 'dog']\n")
    source = data.load(f"yolo:{tmp_path}")
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 1, "val": 1}
    assert source.class_names == ("cat", "dog")
    assert source.splits["val"].objects[0][1].tolist() == [1]


@pytest.mark.parametrize("folder", ["train", "train2017"])
def test_a_list_of_classes_may_stand_above_its_splits_however_those_are_called(tmp_path, folder):
    for split in (folder, "val"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / split / "a.png")
        (tmp_path / split / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert data.load(f"yolo:{tmp_path}").class_names == ("cat", "dog")


def test_a_class_that_only_validation_has_is_refused(tmp_path):
    voc(tmp_path / "train", {"a": ["cat"]})
    voc(tmp_path / "val", {"b": ["fox"]})
    with pytest.raises(ValueError, match=r"boxes of fox, which the training pictures lack"):
        data.load(f"voc:{tmp_path}")


def test_pictures_without_any_box_are_nothing_to_train_on(tmp_path):
    voc(tmp_path, {"a": [], "b": []})
    with pytest.raises(ValueError, match="no boxes to train on"):
        data.load(f"voc:{tmp_path}")


def test_a_table_of_boxes_is_told_from_one_of_labels_by_its_columns(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    table = tmp_path / "boxes.csv"
    table.write_text(
        "path,class,ymin,xmin,ymax,xmax\na.png,cat,0,0,4,4\nb.png,cat,0,0,4,4\na.png,cat,0,0,20,4\n"
    )
    source = data.load(f"csv:{table}")
    assert source.class_names == ("cat",)
    (left_out,) = source.skipped
    assert "boxes.csv:4" in left_out
    assert "leaves the picture" in left_out
    table.write_text("path,label\na.png,cat\nb.png,dog\n")
    with pytest.raises(ValueError, match="two images a class"):  # read as labels
        data.load(f"csv:{table}")


def test_scenes_are_a_source_with_boxes_and_masks():
    source = data.load("builtin:scenes")
    val = source.splits["val"]
    assert source.class_names == ("0", "1", "7")
    assert val.images.shape == (*val.masks.shape, 3)
    assert len(val.objects) == len(val) == 80
    from tflite.images import Preprocessing

    images = data.calibration_images("builtin:scenes", Preprocessing(size=(16, 16)), 3)
    assert images.shape == (3, 16, 16, 3)
    assert np.array_equal(val.select(np.array([3])).masks[0], val.masks[3])
