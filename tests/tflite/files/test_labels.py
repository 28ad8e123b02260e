"""Class names are read whatever editor wrote them, and never shifted by a line."""

import pytest

from tflite.files.labels import check_labels, read_labels

NAMES = ("ant", "café au lait", "elk")


@pytest.mark.parametrize(
    "content",
    [
        "ant\ncafé au lait\nelk\n",
        "ant\ncafé au lait\nelk",
        "ant\r\ncafé au lait\r\nelk\r\n",
        "ant\rcafé au lait\relk\r",
        "\ufeffant\ncafé au lait\nelk\n",
        "\ufeffant \r\ncafé au lait\t\r\nelk\r\n \r\n\r\n",
    ],
)
def test_marks_line_ends_and_trailing_blanks_belong_to_no_name(content, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(content.encode())
    assert read_labels(path) == check_labels(path, 3) == NAMES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ant\n\nelk\n", "line 2 of .*labels.txt is empty"),
        (b"\xef\xbb\xbf\r\nant\r\n", "line 1 of .*labels.txt is empty"),
        ("ant\nelk\n".encode("utf-16"), "labels.txt is not UTF-8"),
        ("café\n".encode("latin-1"), "labels.txt is not UTF-8"),
    ],
)
def test_what_cannot_be_a_list_of_names_is_refused_by_file_and_line(content, message, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_labels(path)


def test_a_file_with_too_few_names_is_told_with_both_numbers(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("ant\nelk\n\n")
    with pytest.raises(ValueError, match=r"3 classes, but 2 labels were given in .*labels\.txt"):
        check_labels(path, 3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        read_labels(tmp_path / "nowhere.txt")
