"""`slimnets convert`: whose names the classes get."""

import pytest

from slimnets.cli import convert

BESIDE = ("cat", "dog", "elk")


@pytest.fixture
def names(tmp_path):
    def write(*labels):
        path = tmp_path / "names.txt"
        path.write_text("\ufeff" + "\r\n".join(labels) + "\r\n", "utf-8")
        return str(path)

    return write


def test_names_given_go_before_those_beside_the_model(names):
    assert convert._labels(None, BESIDE, "best.keras", 3) == BESIDE
    assert convert._labels(names("Katze", "Hund", "Elch"), BESIDE, "best.keras", 3)[0] == "Katze"
    assert convert._labels(names(*BESIDE), BESIDE, "best.keras", 3) == BESIDE
    assert convert._labels(None, (), "best.keras", 3) == ()


def test_the_same_names_in_another_order_are_refused(names):
    with pytest.raises(ValueError, match="output 1 would be 'elk', but was trained as 'dog'"):
        convert._labels(names("cat", "elk", "dog"), BESIDE, "best.keras", 3)


@pytest.mark.parametrize("given", [True, False])
def test_too_few_names_are_told_with_both_numbers_and_the_file(given, names):
    file = names("cat", "dog") if given else None
    place = "names.txt" if given else "beside best.keras"
    with pytest.raises(ValueError, match=f"{place} names 2 classes, but the model has 4 outputs"):
        convert._labels(file, BESIDE[:2], "best.keras", 4)


def test_of_two_names_a_single_sigmoid_takes_that_of_the_class_it_means(names):
    assert convert._labels(None, BESIDE[:2], "best.keras", 1) == ("dog",)
    assert convert._labels(names("Katze", "Hund"), (), "best.keras", 1) == ("Hund",)
