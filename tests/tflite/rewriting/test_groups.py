"""Grouped convolutions as each target takes them."""

import pytest

from tests.helpers.small_networks import assert_same_function, reports, shufflenet_unit
from tflite.rewriting import simplify_for_deployment
from tflite.targets import TARGETS


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_shufflenet_unit_is_the_same_function_for_every_target(target):
    model = shufflenet_unit()
    simplified = simplify_for_deployment(model, target)
    assert_same_function(model, simplified)
    ranks = [
        len(tensor.shape)
        for op in simplified.operations
        for tensor in [op.output][:1]
        if not isinstance(tensor, (list, tuple))
    ]
    assert max(ranks) == 4
    grouped = [layer for layer in simplified.layers if getattr(layer, "groups", 1) > 1]
    assert bool(grouped) == (not TARGETS[target].splits_groups)


def test_each_grouped_convolution_is_reported_split_or_left_to_its_kernel():
    model = shufflenet_unit()  # two; a shuffle makes the first dense on coral
    assert [one.how for one in reports(model, "micro")["groups"].changed] == ["split by group"] * 2
    assert len(reports(model, "coral")["groups"].changed) == 1
    report = reports(model, "android")["groups"]
    assert report.changed == ()
    assert [left.reason for left in report.left] == ["native kernel"] * 2
