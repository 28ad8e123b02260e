"""Sources of files: tables, TFRecords and TensorFlow Datasets, and what is refused of them."""

import io
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from slimnets import data
from slimnets.data.description import describe
from tflite.images import Preprocessing

SMALL = Preprocessing(size=(8, 8), crop_fraction=1.0)
TFDS = Path(__file__).parents[2] / "reference" / "tfds" / "tiny_shapes" / "1.0.0"


def picture(label, number):
    """Label 0 is red, 1 green; the numbers make them different."""
    colour = [0, number, 0]
    colour[2 * label] = 250
    file = io.BytesIO()
    Image.new("RGB", (9, 8), tuple(colour)).save(file, "PNG")
    return file.getvalue()


def colours_fit(split):
    ((pixels, labels),) = split.batches(SMALL, 1000)
    return ((pixels[..., 2].mean(axis=(1, 2)) > 128) == (labels == 1)).all()


# --- csv -----------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """Writes a table and its pictures: (path, label, …) rows."""

    def write(*rows, head="path,label", encoding="utf-8"):
        for number, row in enumerate(rows):
            path, label = (cell.strip(' "') for cell in row.split(head[4])[:2])
            if path and "gone" not in path:
                (tmp_path / path).parent.mkdir(exist_ok=True)
                (tmp_path / path).write_bytes(picture(int(label == "dog"), number))
        (tmp_path / "labels.csv").write_text("\n".join([head, *rows]), encoding=encoding)
        return f"csv:{tmp_path}/labels.csv"

    return write


def rows(count, split=""):
    return [f"all/{split}{n}.png,{'cat' if n % 2 else 'dog'}{split}" for n in range(count)]


def test_a_table_names_pictures_and_labels_and_a_fifth_is_held_out(table):
    source = data.load(table(*rows(20)))
    assert source.class_names == ("cat", "dog")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 16, "val": 4}
    assert colours_fit(source.splits["train"])


def test_a_table_may_say_the_splits_as_a_spreadsheet_writes_it(table):
    lines = [
        f"{s}{n}.png;{n};{s}"
        for s in ("Training", "validation", "test")
        for n in (2, 10)
        for _ in "a"
    ]
    source = data.load(table(*lines, head="path;label;split", encoding="utf-8-sig"))
    assert list(source.splits) == ["train", "val", "test"]
    assert source.class_names == ("2", "10")  # as numbers


@pytest.mark.parametrize(
    ("lines", "head", "message"),
    [
        (["gone.png,cat", *rows(4)], "path,label", r"1 of 5 pictures.*gone\.png, line 2\. Paths"),
        ([*rows(4), "all/1.png,dog"], "path,label", r"all/1\.png: cat in line 3, dog in line 6"),
        ([",cat"], "path,label", "line 2: no path"),
        (["a.png,"], "path,label", "line 2: no label"),
        (["a.png,cat,dev"], "path,label,split", "line 2: split must be train, val or test.*'dev'"),
        (["a.png,cat,val", "b.png,dog,val"], "path,label,split", "no row of split train, only"),
        (["a.png,cat", '"b.png,dog'], "path,label", "line 3: unexpected end of data"),
        ([], "path,label", "no rows below"),
        (["b.png,dog"], "file,class", "must name the columns path and label"),
        (["a.png,cat", "b.png,cat"], "path,label", r"one class only \(cat\)"),
        (
            ["a.png,cat,train", "b.png,dog,train", "c.png,cat,val"],
            "path,label,split",
            "classes of train and val differ: dog in",
        ),
    ],
)  # fmt: skip
def test_a_table_that_disagrees_is_refused_with_its_line(table, lines, head, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        data.load(table(*lines, head=head))


# --- tfrecord ------------------------------------------------------------------------------------


def feature(value):
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def write_records(path, examples, **options):
    with tf.io.TFRecordWriter(str(path), **options) as writer:
        for example in examples:
            features = {name: feature(value) for name, value in example.items()}
            message = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(message.SerializeToString())
    return path


def examples(count, first, texts=("", ""), start=0):
    for n in range(start, start + count):
        yield {
            "image/encoded": picture(n % 2, n),
            "image/class/label": first + n % 2,
            "image/format": b"PNG",
            **({"image/class/text": texts[n % 2].encode()} if texts[0] else {}),
        }


def test_records_are_read_as_tf_slim_writes_them(tmp_path):
    for shard in range(2):
        shown = examples(6, 1, ("tench", "goldfish"), 6 * shard)
        write_records(tmp_path / f"train-0000{shard}-of-00002", shown)
    write_records(tmp_path / "validation-00000-of-00001", examples(4, 1, ("tench", "goldfish"), 20))
    source = data.load(f"tfrecord:{tmp_path}/*-of-*")
    assert source.class_names == ("tench", "goldfish")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 12, "val": 4}
    assert all(map(colours_fit, source.splits.values()))
    assert describe(source).classes[0].largest == (8, 9)
    assert len(data.calibration_images(source.name, SMALL, count=5)) == 5


@pytest.mark.parametrize("first", [0, 1])
def test_labels_count_from_0_or_from_1_and_the_latter_is_said(tmp_path, first, caplog):
    caplog.set_level("INFO")
    write_records(tmp_path / "a.tfrecord", examples(10, first))
    source = data.load(f"tfrecord:{tmp_path}")
    assert source.class_names == tuple(str(first + n) for n in range(2))
    assert colours_fit(source.splits["train"])
    assert ("count from 1 and are 2 classes" in caplog.text) == bool(first)


@pytest.mark.parametrize("lines", ["background\ncat\ndog\n", "1:cat\n2:dog\n"])
def test_a_file_beside_the_records_names_the_classes(tmp_path, lines):
    write_records(tmp_path / "a.tfrecord", examples(10, 1))
    (tmp_path / "labels.txt").write_text(lines)
    assert data.load(f"tfrecord:{tmp_path}/*.tfrecord").class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("labels", "texts", "message"),
    [
        ("cat\n", ("", ""), "names 1 classes, none for the label 1 of"),
        ("cat\nhen\n", ("cat", "dog"), "calls label 1 'hen', and .* calls it 'dog'"),
        ("cat\ndog\nhen\n", ("", ""), "no readable image in class hen"),
    ],
)
def test_a_file_of_labels_that_disagrees_is_refused(tmp_path, labels, texts, message):
    write_records(tmp_path / "a.tfrecord", examples(10, 0, texts))
    (tmp_path / "labels.txt").write_text(labels)
    with pytest.raises(ValueError, match=message):
        data.load(f"tfrecord:{tmp_path}/*")


def test_damaged_compressed_and_other_records_are_refused_by_name(tmp_path):
    whole = write_records(tmp_path / "whole", examples(10, 0)).read_bytes()
    cut, packed = tmp_path / "cut", tmp_path / "packed"
    cut.write_bytes(whole[:-20])
    write_records(packed, examples(10, 0), options="GZIP")
    write_records(tmp_path / "other", [{"x": b"1"}])
    write_records(tmp_path / "empty", [])
    for name, message in (
        ("cut", r"cut is no TFRecord file, or damaged: record 9 cannot"),
        ("packed", "is compressed.*decompress it"),
        ("other", r"other, record 0 has no image/encoded .*its features are x\."),
        ("empty", "no record in .*empty"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load(f"tfrecord:{tmp_path}/{name}")
    with pytest.raises(FileNotFoundError, match="no file matches"):
        data.load(f"tfrecord:{tmp_path}/nothing*")


def test_a_record_that_holds_no_picture_is_skipped_and_named(tmp_path, caplog):
    shown = list(examples(10, 0))
    shown[3]["image/encoded"] = shown[3]["image/encoded"][:-30]
    path = write_records(tmp_path / "a", shown)
    source = data.load(f"tfrecord:{path}")
    assert source.skipped == (f"{path}, record 3",)
    assert f"cannot read image {path}, record 3" in caplog.text


# --- tfds ----------------------------------------------------------------------------------------


@pytest.fixture
def tensorflow_datasets(monkeypatch):
    """A stand-in for the package that knows the one set in tests/reference/tfds."""

    class Image:
        pass

    class ClassLabel:
        names = (TFDS / "label.labels.txt").read_text().split()

    def builder(name):
        if name != "tiny_shapes":
            raise ValueError("a page of names")
        splits = {
            name: SimpleNamespace(filepaths=sorted(TFDS.glob(f"tiny_shapes-{name}.tfrecord*")))
            for name in ("train", "test")
        }
        info = SimpleNamespace(
            splits=splits,
            features={"image": Image(), "label": ClassLabel()},
            supervised_keys=("image", "label"),
            file_format=SimpleNamespace(value=fake.stored_as),
        )
        return SimpleNamespace(info=info, download_and_prepare=fake.prepare)

    fake = ModuleType("tensorflow_datasets")
    fake.builder, fake.list_builders = builder, lambda: ["tiny_shapes", "mnist"]
    fake.prepare, fake.stored_as = lambda: None, "tfrecord"
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", fake)
    return fake


def test_a_set_of_tensorflow_datasets_is_read_from_its_own_files(tensorflow_datasets):
    source = data.load("tfds:tiny_shapes")
    assert source.class_names == ("disc", "square")
    assert {n: len(split) for n, split in source.splits.items()} == {
        "train": 6,
        "val": 2,
        "test": 4,
    }
    # The script that made them: a square is white, a disc 200; the first fills rows 3 to 8.
    for split in source.splits.values():
        for image, label in zip(split.images, split.labels, strict=True):
            assert (np.asarray(data_image(image)).max() == 255) == (label == 1)


def data_image(image):
    return Image.open(io.BytesIO(image.read()))


def test_what_tensorflow_datasets_cannot_give_is_said_in_one_line(tensorflow_datasets):
    with pytest.raises(ValueError, match=r"knows no 'tiny_shape'\. Did you mean 'tiny_shapes'"):
        data.load("tfds:tiny_shape")
    tensorflow_datasets.stored_as = "array_record"
    with pytest.raises(ValueError, match=r"stored as array_record; prepare .*'tfrecord'"):
        data.load("tfds:tiny_shapes")

    def fails():
        raise RuntimeError("no network\nand a page of it")

    tensorflow_datasets.prepare = fails
    with pytest.raises(ConnectionError, match=r"could not prepare tiny_shapes: no network$"):
        data.load("tfds:tiny_shapes")


def test_without_the_package_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorflow-datasets"):
        data.load("tfds:mnist")


# --- All of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["folder:", "csv", "tfrecord:", "tfds"])
def test_a_source_of_files_needs_to_know_which(source):
    with pytest.raises(ValueError, match="needs to know which, such as"):
        data.load(source)


@pytest.mark.parametrize(("bad", "trains"), [(1, True), (10, False)])
def test_half_a_percent_of_damage_is_named_and_five_percent_is_too_much(
    tmp_path, bad, trains, caplog
):
    names = []
    for n in range(200):
        path = tmp_path / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        whole = picture(n % 2, n)
        path.write_bytes(whole[:-40] if n < bad else whole)
        names += [str(path)] if n < bad else []
    if trains:
        source = data.load(f"folder:{tmp_path}")
        assert sum(map(len, source.splits.values())) == 199
        assert list(source.skipped) == names
    else:
        with pytest.raises(ValueError, match=r"10 of 200 images .* cannot be read, more than 1%"):
            data.load(f"folder:{tmp_path}")
    assert all(name in caplog.text for name in names)
