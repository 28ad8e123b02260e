"""What pyproject.toml promises and what the built archives hold."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
OURS = {"slimnets", "tflite", "tests", "docs"}
# A benchmark imports the one beside it by its name.
OURS |= {path.stem for path in (ROOT / "benchmarks").glob("*.py")}

# Where the name on PyPI is not the name in Python.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "absl": "absl-py",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# slimnets/optimization's, and what no line imports: a backend, a formatter, a build backend.
DECLARED_WITHOUT_AN_IMPORT = {
    "tensorflow-model-optimization",
    "tf-keras",
    "jax",
    "ruff",
    "setuptools",
}
# For whoever makes the golden files anew; tests/reference/README.md says how.
REFERENCE_MAKERS = {"torch", "torchvision", "timm", "pycocotools"} | {
    # The Object Detection API, with its protocol buffers.
    "object-detection",
    "tf-slim",
    "google",
}
# What benchmarks/ compares with where it is installed.
PEERS = {"litert-quantizer", "litert-torch"}


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pairs(requirements, operator):
    """Name → version of lines like "name==1.2"."""
    split = [line.split(operator) for line in requirements]
    return {normalized(name): version for name, version in split}


def lines(file):
    kept = [line.split("#")[0].strip() for line in file.read_text().splitlines()]
    return [line for line in kept if line]


def imported(*folders):
    """The distributions that the files under some folders import, inside functions too."""
    names = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    names -= sys.stdlib_module_names | OURS
    return {normalized(DISTRIBUTIONS.get(name, name)) for name in names}


DECLARED = pairs(PROJECT["dependencies"], ">=")
DECLARED_FOR_ONNX = pairs(PROJECT["optional-dependencies"]["onnx"], ">=")
# What one needs for some commands only.
DECLARED_AS_EXTRAS = {
    name: version
    for extra in ("onnx", "micro", "tfds")
    for name, version in pairs(PROJECT["optional-dependencies"][extra], ">=").items()
}
DECLARED_FOR_TESTS = pairs(PROJECT["optional-dependencies"]["test"], ">=")
WITHOUT_THEIR_DEPENDENCIES = {
    normalized(re.split("[=>]", line)[0]) for line in lines(ROOT / "tests/requirements-no-deps.txt")
}


def test_the_lower_bounds_are_the_versions_that_test_oldest_installs():
    oldest = pairs(lines(ROOT / "tests" / "requirements-oldest.txt"), "==")
    assert oldest == DECLARED | DECLARED_FOR_TESTS


def test_nothing_undeclared_is_imported():
    declared = DECLARED | DECLARED_AS_EXTRAS
    assert imported("slimnets", "tflite", "configs") <= declared.keys()
    for_tests = declared.keys() | DECLARED_FOR_TESTS.keys() | WITHOUT_THEIR_DEPENDENCIES
    assert imported("tests", "benchmarks") <= for_tests | REFERENCE_MAKERS | PEERS


def test_the_tests_have_what_onnx_needs():
    assert DECLARED_FOR_ONNX.items() <= DECLARED_FOR_TESTS.items()


def test_nothing_is_declared_for_no_reason():
    unused = (DECLARED | DECLARED_FOR_ONNX).keys() - imported("slimnets", "tflite", "configs")
    for_tests = DECLARED_FOR_TESTS.keys() - DECLARED_FOR_ONNX.keys()
    unused_in_tests = for_tests - imported("tests", "benchmarks")
    assert unused | unused_in_tests <= DECLARED_WITHOUT_AN_IMPORT


def test_the_oldest_python_is_the_same_wherever_it_is_named():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    prefix = "Programming Language :: Python :: 3."
    minors = [int(c[len(prefix) :]) for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert f"3.{min(minors)}" == oldest
    assert minors == list(range(min(minors), max(minors) + 1))
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py3{min(minors)}"
    makefile = (ROOT / "Makefile").read_text()
    assert f"sys.version_info < (3, {min(minors)})" in makefile
    assert f"PYTHON_OLDEST ?= python{oldest}\n" in makefile
    assert f"Python {oldest} to 3.{max(minors)}" in (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The source archive, and the wheel built from nothing but what the source archive holds."""
    folder = tmp_path_factory.mktemp("archives")
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "demo")
    shutil.copytree(ROOT, folder / "clone", ignore=unwanted)
    build("sdist", folder / "clone", folder)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    build("wheel", unpacked, folder)
    (wheel,) = folder.glob("*.whl")
    return source, wheel


def build(kind, folder, out):
    """Asks the build backend itself, as pip does, without an environment from the network."""
    code = f"import setuptools.build_meta as backend; backend.build_{kind}({str(out)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "deprecat" not in done.stderr.lower(), done.stderr


def files_in(*folders):
    """Code and data alike."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.*"))
    return {
        path.relative_to(ROOT).as_posix()
        for path in found
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.mark.slow
def test_the_source_archive_is_all_that_make_test_needs(archives):
    source, _ = archives
    with tarfile.open(source) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert names >= files_in("slimnets", "tflite", "configs", "tests", "benchmarks")
    assert names >= {"Makefile", "LICENSE", "README.md", "pyproject.toml", "setup.py"}


@pytest.mark.slow
def test_the_wheel_holds_the_packages_the_recipes_and_nothing_else(archives):
    _, wheel = archives
    names = set(zipfile.ZipFile(wheel).namelist())
    recipes = {f"slimnets/{name}" for name in files_in("configs")}
    assert "slimnets/configs/digits.py" in recipes
    ours = {name for name in names if ".dist-info/" not in name}
    assert ours == files_in("slimnets", "tflite") | recipes


@pytest.mark.slow
def test_the_wheel_says_what_it_is(archives):
    _, wheel = archives
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith("/METADATA"))[:-8]
        metadata = Parser().parsestr(archive.read(f"{info}METADATA").decode())
        entry_points = archive.read(f"{info}entry_points.txt").decode()
        assert archive.read(f"{info}licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert "slimnets = slimnets.cli:main" in entry_points


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_outside_a_clone(archives, tmp_path):
    _, wheel = archives
    installed = tmp_path / "site-packages"
    zipfile.ZipFile(wheel).extractall(installed)
    # Before any editable installation, whose finder comes after the path.
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    quick = ("--config.epochs=1", "--config.batch_size=128", "--config.model.input_size=(32, 32)")

    def run(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    where = run("-c", "import slimnets, tflite; print(slimnets.__file__, tflite.__file__)")
    assert where.stdout.count(str(installed)) == 2, where.stderr
    done = run("-m", "slimnets.cli", "demo", "--out=results", "--json", *quick)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert Path(result["report"]) == tmp_path / "results" / "report.html"
    assert len(result["files"]) == 4
