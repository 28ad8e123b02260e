"""What all networks' functions share: their keywords, and what they do with wrong ones."""

import inspect

import keras
import pytest

import slimnets

# TF-Slim's arguments of a body, in its order, with its defaults.
OF_BODY = {
    "min_depth": 8,
    "depth_multiplier": 1.0,
    "conv_defs": None,
    "output_stride": None,
    "use_explicit_padding": False,
}
OF_NETWORK = {
    "inputs": None,
    "num_classes": 1000,
    "spatial_squeeze": True,
    "prediction_fn": "softmax",
    "arg_scope": None,
    "weights": None,
}
BASES = [name for name in slimnets.__all__ if name.endswith("_base")]
NETWORKS = [name.removesuffix("_base") for name in BASES]


@pytest.mark.parametrize("name", BASES)
def test_a_body_takes_tf_slims_arguments_in_its_order(name):
    parameters = inspect.signature(getattr(slimnets, name)).parameters
    by_place = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in by_place] == ["inputs", "final_endpoint", *OF_BODY]
    assert {name: parameters[name].default for name in OF_BODY} == OF_BODY


@pytest.mark.parametrize("name", NETWORKS)
def test_a_networks_signature_shows_every_keyword(name):
    parameters = inspect.signature(getattr(slimnets, name)).parameters
    shown = {key: p.default for key, p in parameters.items()}
    assert {**OF_BODY, **OF_NETWORK}.items() <= shown.items()
    assert {"global_pool", "dropout_keep_prob", "name", "input_shape"} <= set(shown)
    assert not {p.kind for p in parameters.values()} & {inspect.Parameter.VAR_KEYWORD}


@pytest.mark.parametrize("name", [*NETWORKS, "shufflenet_v1", "shufflenet_v2_cifar"])
@pytest.mark.parametrize("keyword", ["depth", "final_endpoint", "local_pool", "before_logits"])
def test_an_unknown_keyword_is_a_type_error_of_the_function_called(name, keyword):
    message = rf"{name}\(\) got an unexpected keyword argument '{keyword}'"
    with pytest.raises(TypeError, match=message):
        getattr(slimnets, name)(**{keyword: None})


@pytest.mark.parametrize("keyword", ["output_stride", "depth_multiplier", "min_depth"])
def test_a_shufflenet_takes_no_keyword_of_other_bodies(keyword):
    with pytest.raises(TypeError, match=rf"shufflenet_v2\(\) got .* '{keyword}'"):
        slimnets.shufflenet_v2(**{keyword: 8})


def test_a_bodys_arguments_go_by_place_as_in_tf_slim():
    net, _ = slimnets.mobilenet_v1_base(
        keras.Input((32, 32, 3)), "Conv2d_1_pointwise", 40, 0.5, slimnets.MOBILENET_V1_DEFS
    )
    assert tuple(net.shape) == (None, 16, 16, 40)
