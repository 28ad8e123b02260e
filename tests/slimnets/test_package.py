"""The package as a whole: light to import, every public name there."""

import subprocess
import sys
from pathlib import Path

import pytest

import slimnets

ROOT = Path(__file__).parents[2]

# A tenth of a second is the promise; what takes longer is always somebody else's module.
_IMPORT = """
import sys
before = set(sys.modules)
import {package}
new = set(sys.modules) - before
foreign = {{name for name in new if name.partition(".")[0] not in sys.stdlib_module_names}}
# The package, and the list of what it offers.
assert foreign <= {{"{package}", "{package}.names"}}, foreign
slow = {{"asyncio", "dataclasses", "email", "http", "inspect", "logging", "multiprocessing"}}
slow |= {{"pathlib", "re", "ssl", "subprocess", "tempfile", "typing", "urllib", "xml"}}
assert not slow & new, slow & new
"""


@pytest.mark.parametrize("package", ["slimnets", "tflite"])
def test_importing_loads_nothing_but_the_package_itself(package):
    subprocess.run([sys.executable, "-c", _IMPORT.format(package=package)], check=True)


@pytest.mark.parametrize("name", slimnets.__all__)
def test_every_public_name_loads(name):
    assert getattr(slimnets, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'mobilenet_v9'"):
        _ = slimnets.mobilenet_v9


@pytest.mark.parametrize("package", ["slimnets", "tflite"])
def test_tests_stand_where_the_tested_stands(package):
    def packages(root):
        return {str(init.parent.relative_to(root)) for init in root.rglob("__init__.py")}

    assert packages(ROOT / package) == packages(ROOT / "tests" / package)
