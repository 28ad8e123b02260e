"""A mistyped name gets the name that was meant, or none."""

import pytest

from tflite import hints

KNOWN = ("int8", "int16x8", "float16", "float32", "dynamic")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("float23", "float32"),
        ("INT8", "int8"),
        ("dinamyc", "dynamic"),
        (8, None),
        ("", None),
        ("quantized", None),
    ],
)
def test_the_nearest_name_or_none(name, meant):
    assert hints.nearest(name, KNOWN) == meant
    hint = f" Did you mean {meant!r}?" if meant else ""
    assert hints.did_you_mean(name, KNOWN) == hint


def test_the_known_name_is_spelled_as_it_is_known():
    assert hints.nearest("mobilenetv2", {"MobileNetV2": 1, "SqueezeNet": 2}) == "MobileNetV2"
