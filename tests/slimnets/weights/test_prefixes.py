"""What wrappers put before names is found by the names that a network must have."""

import numpy as np
import pytest

from slimnets.weights.prefixes import by_overlap, by_signatures, without

SIGNATURES = [("stem.weight", "body.1.weight"), ("model.0.weight", "fc.bias")]


@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod.", "a.b.c."])
def test_the_prefix_is_what_stands_before_a_signature(prefix):
    names = [prefix + name for name in ("stem.weight", "stem.bias", "body.1.weight")]
    assert by_signatures(names, SIGNATURES) == prefix


def test_half_a_signature_is_none_and_a_part_of_a_word_is_no_prefix():
    assert by_signatures(["module.stem.weight", "body.1.weight"], SIGNATURES) is None
    assert by_signatures(["system.weight", "antibody.1.weight"], [("stem.weight",)]) is None


def test_of_two_networks_the_average_counts_and_without_one_it_is_unclear():
    def both(one, other):
        return [p + name for p in (one, other) for name in ("stem.weight", "body.1.weight")]

    assert by_signatures(both("model.", "model_ema.module."), SIGNATURES) == "model_ema.module."
    with pytest.raises(ValueError, match=r"2 networks, below 'student\.', 'teacher\.'"):
        by_signatures(both("student.", "teacher."), SIGNATURES)


def test_with_gaps_the_prefix_of_most_expected_names_counts():
    expected = {"stem.weight", "fc.weight", "fc.bias"}
    assert by_overlap(["net.fc.weight", "net.fc.bias", "fc.weight"], expected) == "net."
    assert by_overlap(["a", "b.c"], expected) is None


def test_names_lose_as_much_of_the_prefix_as_they_have():
    tensors = {"model.backbone.a.b": 1, "model.fc.b": 2, "head.b": 3}
    arrays = {name: np.full(2, value) for name, value in tensors.items()}
    found = without({**arrays, "n_averaged": np.array(5)}, "model.backbone.")
    assert {name: array[0] for name, array in found.items()} == {"a.b": 1, "fc.b": 2, "head.b": 3}
    with pytest.raises(ValueError, match=r"two tensors of the source are called 'fc\.b'"):
        without({**arrays, "fc.b": np.zeros(2)}, "model.backbone.")
