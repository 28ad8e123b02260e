"""A file of weights is what its content says, whatever it is called."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest

from slimnets.weights import file_kinds

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", ["epoch=3.ckpt", "pytorch_model.bin", "a.pt", "b.pth.tar", "c"])
@pytest.mark.parametrize("sample", ["sample.pth", "sample_legacy.pth"])
def test_pytorch_files_are_told_under_any_name(tmp_path, sample, name):
    shutil.copy(HERE / sample, tmp_path / name)
    assert file_kinds.kind_of(tmp_path / name) == "torch"


def test_keras_files_are_told_under_any_name(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model.weights.h5", b"")
    for content in (archive.getvalue(), b"\x89HDF\r\n\x1a\n"):
        (tmp_path / "model.pth").write_bytes(content)
        assert file_kinds.kind_of(tmp_path / "model.pth") == "keras"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "a web page: the download failed"),
        (b"\x1f\x8b\x08", "a gzip archive: unpack it first"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        (b"TFL3....", r"it begins with b'TFL3"),
    ],
)
def test_a_file_of_another_kind_is_described(tmp_path, content, what):
    (tmp_path / "weights").write_bytes(content)
    assert file_kinds.kind_of(tmp_path / "weights") is None
    assert what in file_kinds.describe(tmp_path / "weights")


def test_a_broken_file_is_what_its_name_says(tmp_path):
    for name, kind in (
        ("a.pth", "torch"),
        ("a.ckpt", None),
        ("a.keras", "keras"),
        ("a.h5", "keras"),
    ):
        (tmp_path / name).write_bytes(b"PK\x03\x04 and no archive")
        assert file_kinds.kind_of(tmp_path / name) == kind
