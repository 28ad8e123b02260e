"""The package as a whole: light to import, every public name there."""

import subprocess
import sys

import pytest

import slimnets

_IMPORT = """
import sys
import {package}
heavy = {{"tensorflow", "keras", "numpy", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("package", ["slimnets", "tflite"])
def test_importing_loads_neither_tensorflow_nor_keras(package):
    subprocess.run([sys.executable, "-c", _IMPORT.format(package=package)], check=True)


@pytest.mark.parametrize("name", slimnets.__all__)
def test_every_public_name_loads(name):
    assert getattr(slimnets, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'mobilenet_v9'"):
        _ = slimnets.mobilenet_v9
