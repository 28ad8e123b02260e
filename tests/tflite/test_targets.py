"""Targets are looked up, and what any door is asked for is checked, in the same words."""

import numpy as np
import pytest

from tflite import targets


def test_a_mistyped_target_or_precision_has_its_nearest_name_told():
    with pytest.raises(ValueError, match=r"target must be one of .*Did you mean 'coral'\?"):
        targets.lookup("corla")
    with pytest.raises(ValueError, match=r"precision must be one of .*Did you mean 'float16'\?"):
        targets.check_precision(targets.lookup("cpu"), "floa16")


def test_what_is_no_text_is_no_choice():
    with pytest.raises(ValueError, match=r"target must be one of .*, got 3"):
        targets.lookup(3)


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.0, "2", np.float32(2)])
def test_a_batch_is_a_whole_number_of_images(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a positive whole number or None"):
        targets.check_batch_size(batch_size)


def test_a_batch_may_be_left_open():
    targets.check_batch_size(None)
    targets.check_batch_size(8)
