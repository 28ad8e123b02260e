"""The catalogue names what can be built, and its figures are the builders'."""

import pytest

import slimnets
from slimnets.catalog import CATALOG
from slimnets.sidecar import class_count


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_figures_of_the_catalogue_are_those_of_the_network(name):
    info = slimnets.model_info(name)
    model = slimnets.create_model(name)
    cost = slimnets.complexity(model)
    assert (cost.params, cost.macs) == (info.params, info.macs)
    assert model.input_shape == (None, info.size, info.size, 3)
    assert class_count(model) == info.classes
    assert info.task != "classify" or model.output_shape == (None, info.classes)


def test_every_network_of_the_contract_is_listed():
    promised = """mobilenet_v1 mobilenet_v1_075 mobilenet_v1_050 mobilenet_v1_025 mobilenet_v2
        mobilenet_v2_140 mobilenet_v2_050 mobilenet_v2_035 mobilenet_v3_large mobilenet_v3_small
        mobilenet_edgetpu squeezenet1_0 squeezenet1_1 shufflenet_v1 shufflenet_v2
        mobilenet_v1_cifar mobilenet_v2_cifar10 mobilenet_v2_cifar100 squeezenet_cifar
        shufflenet_v1_cifar shufflenet_v2_cifar"""
    assert set(promised.split()) <= set(slimnets.list_models())


def test_models_are_listed_by_pattern_and_by_weights():
    assert slimnets.list_models("mobilenet_v2_0*") == [
        "mobilenet_v2_075",
        "mobilenet_v2_050",
        "mobilenet_v2_035",
    ]
    pretrained = slimnets.list_models(pretrained=True)
    assert "mobilenet_v2" in pretrained
    assert "shufflenet_v1" not in pretrained  # no weights were ever published
    assert set(pretrained) | set(slimnets.list_models(pretrained=False)) == set(CATALOG)


def test_arguments_go_to_the_builder_over_the_names_own():
    model = slimnets.create_model("mobilenet_v1_050", input_shape=(64, 64, 3), num_classes=7)
    assert model.output_shape == (None, 7)
    wide = slimnets.create_model("mobilenet_v1_050", depth_multiplier=1.0)
    assert wide.count_params() == 4_253_864


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'mobilenet_v3_large'"):
        slimnets.create_model("mobilenet_v3_lage")
