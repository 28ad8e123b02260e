"""A family tells its own networks from all others."""

import pytest

import slimnets
from slimnets.weights.families import families, of_model

SMALL = {"input_shape": (32, 32, 3), "num_classes": 7}
NETWORKS = [  # name, arguments, what it is
    ("mobilenet_v1", {"depth_multiplier": 0.25}, "mobilenet_v1(depth_multiplier=0.25)"),
    ("mobilenet_v1_cifar", {"depth_multiplier": 0.25}, "mobilenet_v1_cifar(depth_multiplier=0.25)"),
    ("mobilenet_v2", {"depth_multiplier": 0.35}, "mobilenet_v2(depth_multiplier=0.35)"),
    (
        "mobilenet_v2",
        {"depth_multiplier": 0.5, "shrink_last": True},
        "mobilenet_v2(depth_multiplier=0.5, shrink_last=True)",
    ),
    ("mobilenet_v2_cifar10", {}, "mobilenet_v2_cifar10"),
    ("mobilenet_v2_cifar100", {}, "mobilenet_v2_cifar100"),
    ("mobilenet_v3_small", {}, "mobilenet_v3_small"),
    (
        "mobilenet_v3_small",
        {"reduced_tail": True, "minimalistic": True},
        "mobilenet_v3_small(reduced_tail=True, minimalistic=True)",
    ),
    ("mobilenet_edgetpu", {"depth_multiplier": 0.35}, "mobilenet_edgetpu(depth_multiplier=0.35)"),
    ("squeezenet1_0", {"bypass": "complex"}, "squeezenet1_0(bypass=complex)"),
    ("squeezenet1_1", {}, "squeezenet1_1"),
    ("squeezenet_cifar", {}, "squeezenet_cifar"),
    ("shufflenet_v1", {"groups": 8, "scale": 0.5}, "shufflenet_v1(groups=8, scale=0.5)"),
    ("shufflenet_v2", {"ratio": 0.5}, "shufflenet_v2(ratio=0.5)"),
]


@pytest.mark.parametrize(("name", "kwargs", "expected"), NETWORKS)
def test_a_model_is_told_by_its_family_alone(name, kwargs, expected):
    model = getattr(slimnets, name)(**SMALL, **kwargs)
    assert str(of_model(model)) == f"{expected} with 7 classes"


@pytest.mark.parametrize("minimalistic", [False, True])
@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v3_small"])
def test_without_a_classifier_v3_is_no_v2(name, minimalistic):
    options = {"minimalistic": True} if minimalistic else {}
    model = getattr(slimnets, name)((32, 32, 3), num_classes=0, depth_multiplier=0.5, **options)
    found = of_model(model)
    assert (found.network, found.classes) == (name, 0)
    assert found.options == {"depth_multiplier": 0.5, **options}


def test_a_table_of_ones_own_is_no_network_of_the_catalogue():
    table = (slimnets.Conv(3, 2, 8), slimnets.InvertedResidual(3, 16, 8, False, "relu", 1))
    assert of_model(slimnets.mobilenet_v2((32, 32, 3), conv_defs=table)) is None


def test_a_familys_file_has_its_name():
    assert [family.name for family in families()] == list(slimnets.names.FAMILIES)
    for family in families():
        for builder in family.builders.values():
            assert builder.__module__ == f"slimnets.nets.{family.name}"


def test_the_names_of_sources_and_rows_are_each_ones_own():
    rows = [row.name for family in families() for row in family.rows]
    sources = [source.name for family in families() for source in family.sources]
    assert len({*rows, *sources}) == len(rows) + len(sources)
    for family in families():
        own = {family.name} if family.on_backbone else set(family.builders)
        assert {source.network for source in family.sources} <= own
