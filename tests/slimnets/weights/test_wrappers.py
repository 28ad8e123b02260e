"""The weights in a checkpoint are found, and nothing else is taken for them."""

import numpy as np
import pytest

from slimnets.weights.restricted_pickle import Placeholder
from slimnets.weights.wrappers import find_state_dict


def find(checkpoint):
    return find_state_dict(checkpoint, lambda value: isinstance(value, np.ndarray))


def weights(value):
    return {"conv.weight": np.full(3, value), "bn.running_var": np.full(3, value)}


def test_the_averaged_copy_comes_before_the_last():
    found = find({"model": weights(1), "optimizer": {"state": {0: weights(3)}}, "ema": weights(2)})
    assert (found.average, found.tensors["conv.weight"][0]) == ("ema", 2)
    assert find({"model": weights(1)}).average == ""


def test_an_optimizers_state_is_not_taken_for_weights():
    with pytest.raises(ValueError, match="it holds optimizer, epoch"):
        find({"optimizer": {"state": {0: {"exp_avg": np.zeros(3)}}}, "epoch": 3})


def test_what_is_no_tensor_is_left_unless_it_is_called_like_one():
    found = find({**weights(1), "epoch": 7, "arguments": Placeholder("argparse.Namespace")})
    assert [*found.tensors] == ["conv.weight", "bn.running_var", "epoch"]
    with pytest.raises(ValueError, match=r"not tensors: fc\.weight"):
        find({**weights(1), "fc.weight": Placeholder("torch._utils._rebuild_qtensor")})


def test_a_checkpoint_or_model_that_holds_itself_ends():
    circle: dict = {}
    circle["model"] = circle["state_dict"] = circle
    with pytest.raises(ValueError, match="no state dict found"):
        find(circle)
    module = Placeholder("Net")
    module.state = {"_modules": {"inner": module, "other": module}}
    with pytest.raises(ValueError, match="modules inside modules without end"):
        find(module)


def test_a_single_object_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"refused mine\.Net: in PyTorch, save the weights alone"):
        find(Placeholder("mine.Net"))
