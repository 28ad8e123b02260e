"""Imports go one way, those inside functions too: the house's plan, statement by statement."""

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.helpers.arrows import IMPORT_TIME, TYPING, Import, circles, read, within

ROOT = Path(__file__).parents[1]
PACKAGES = ("slimnets", "tflite", "configs")

# --- The plan ------------------------------------------------------------------------------------

# slimnets from top to bottom: a module imports what stands in a lower row, or beside it in its own.
SLIMNETS = (
    ("cli",),
    (
        "training",
        "optimization",
        "evaluation",
        "dense_evaluation",
        "benchmark",
        "export",
        "report",
        "charts",
        "drawings",
    ),
    ("data", "complexity", "sidecar", "onnx_files"),
    ("catalog",),
    ("nets",),
    # What a classifier's body is surrounded by, and what a detector's or segmenter's is put on.
    ("network", "backbones"),
    ("weights",),
    ("builder",),
    ("layers",),
    ("scopes",),
    ("arg_scope", "conv_defs"),
    # Boxes, anchors, losses: mathematics that knows no network; a detector's table asks it how many
    # anchors a cell has, and whoever trains or draws asks it for the rest.
    ("arguments", "dense"),
    ("preprocessing", "names", "lazy_keras"),
)
# These import nothing else of slimnets.
ALONE = ("charts", "data", "complexity", "sidecar", "onnx_files", "dense")
# But boxes and masks are read in the words of `dense`.
ALONE_BUT = {("data", "dense")}

# Of tflite, what all of slimnets may import, and who may import the rest.
TFLITE_LEAVES = (
    "tflite.images",
    "tflite.image_files",
    "tflite.files.keras_archive",
    "tflite.files.writing",
    "tflite.hints",
    "tflite.output_kinds",
    "tflite.progress",
)
TFLITE_USERS = ("cli", "evaluation", "dense_evaluation", "benchmark", "export", "optimization")

# tflite: the door imports the rooms, the rooms what lies under all of them.
TFLITE_DOOR = (
    "tflite.converter",
    "tflite.detector_converter",
    "tflite.predictor",
    "tflite.detector",
)
TFLITE_ROOMS = ("rewriting", "quantizing", "edgetpu", "measuring", "micro")
# A conversion report says what the Edge TPU will take. Other rooms do not know of each other.
TFLITE_ROOM_ARROWS = {("measuring", "edgetpu")}
# In tflite only these are about Keras models; all else reads files where Keras is not.
TFLITE_KERAS = ("tflite.rewriting", "tflite.quantized_layers", "tflite.fake_operations")

# data: the registry names the kinds of source, each one file; all speak the words of `splits`, and
# those of files share what has to be done with files.
DATA_REGISTRY = ("registry", "sources")
DATA_WORDS = "splits"
DATA_SHARED = ("pictures", "examples")
# What the pipeline is made of.
DATA_PIPELINE, DATA_STEPS = "pipeline", ("augmentation", "random_crops", "mixing")

TENSORFLOW = ("tensorflow", "tf_keras", "tensorflow_model_optimization")
# Modules whose whole purpose is TensorFlow; elsewhere it is imported where it is used.
WHOLLY_TENSORFLOW = (
    "slimnets.data.pipeline",
    "slimnets.data.random_crops",
    "slimnets.data.mixing",
    "slimnets.training.data_sets",
    "slimnets.training.scene_sets",
    "slimnets.optimization",
)
# Networks build on any backend of Keras.
ANY_BACKEND = tuple(
    f"slimnets.{unit}" for row in SLIMNETS[-9:] for unit in row if unit != "weights"
)

# Modules of one name that mean one thing in two places; everything else has a name of its own.
SAME_NAME: dict[str, str] = {
    "benchmark": "a command is called as what it runs",
    "export": "the same",
}

# --- The rules -----------------------------------------------------------------------------------


def violations(root: Path) -> list[str]:
    modules, imports = read(root, PACKAGES)
    running = [item for item in imports if item.when != TYPING]
    wrong = [message for item in running for message in wrong_arrows(item)]
    return sorted({*wrong, *circles(modules, imports), *same_names(modules)})


def wrong_arrows(item: Import) -> Iterator[str]:
    for rule in (through_doors, between_packages, in_slimnets, in_data, in_tflite, frameworks):
        yield from map(item.wrong, rule(item.module, item))


def unit(module: str) -> str:
    """What stands directly in the package: "weights" of "slimnets.weights.pth"."""
    return module.split(".")[1] if "." in module else ""


def row(module: str) -> int | None:
    return next((i for i, units in enumerate(SLIMNETS) if unit(module) in units), None)


def through_doors(module: str, item: Import) -> Iterator[str]:
    for package in ("slimnets", "tflite"):
        # A package's lazy names lead anywhere: behind the door they would hide any arrow.
        if within(module, package) and item.target == package and item.names != ("__version__",):
            yield f"inside {package}, import from the module that has the name"


def between_packages(module: str, item: Import) -> Iterator[str]:
    if within(module, "tflite") and within(item.target, "slimnets", "configs"):
        yield "tflite knows nothing of slimnets"
    if within(module, "slimnets") and within(item.target, "configs"):
        yield "a config is read by its path"
    if (
        within(module, "slimnets")
        and within(item.target, "tflite")
        and not within(item.target, *TFLITE_LEAVES)
        and unit(module) not in TFLITE_USERS
    ):
        yield f"outside {', '.join(TFLITE_USERS)} only {', '.join(TFLITE_LEAVES)} may be imported"
    if (
        within(module, "slimnets.sidecar")
        and within(item.target, "tflite")
        and not within(item.target, "tflite.images")
    ):
        yield "the sidecar, which all may read, reads tflite.images only"
    if within(module, "configs") and (
        within(item.target, "tflite")
        or (within(item.target, "slimnets") and not within(item.target, "slimnets.training"))
    ):
        yield "a config imports slimnets.training and nothing else of ours"


def in_slimnets(module: str, item: Import) -> Iterator[str]:
    ours, theirs = unit(module), unit(item.target)
    if not within(module, "slimnets") or not ours or not within(item.target, "slimnets"):
        return
    if row(module) is None:
        yield f"{ours} stands in no row of SLIMNETS in {Path(__file__).name}; give it one"
    elif not theirs:
        return
    elif row(item.target) is None:
        yield f"{theirs} stands in no row of SLIMNETS in {Path(__file__).name}; give it one"
    elif row(item.target) < row(module):
        yield f"{theirs} stands above {ours}"
    elif ours in ALONE and theirs not in (ours, "lazy_keras") and (ours, theirs) not in ALONE_BUT:
        yield f"{ours} imports nothing else of slimnets"
    elif ours == theirs == "nets" and module not in (item.target, "slimnets.nets"):
        yield "a family imports no other family"


def in_data(module: str, item: Import) -> Iterator[str]:
    if not within(item.target, "slimnets.data") or not within(module, "slimnets.data"):
        return
    ours, theirs = (name.removeprefix("slimnets.data").strip(".") for name in (module, item.target))
    if not theirs:
        yield "inside slimnets.data, import from the module that has the name"
    elif ours == DATA_WORDS:
        yield f"{DATA_WORDS} is what all others import"
    elif ours == DATA_PIPELINE and theirs in (DATA_WORDS, *DATA_STEPS):
        return
    elif ours in DATA_SHARED and theirs not in (DATA_WORDS, *DATA_SHARED):
        yield f"{ours} is what kinds of source share"
    elif ours and ours not in DATA_REGISTRY and theirs not in (DATA_WORDS, *DATA_SHARED):
        yield f"a kind of source imports {DATA_WORDS} only, or {', '.join(DATA_SHARED)}"


def in_tflite(module: str, item: Import) -> Iterator[str]:
    if not within(module, "tflite") or not within(item.target, "tflite"):
        return
    ours, theirs = unit(module), unit(item.target)
    if within(item.target, *TFLITE_DOOR) and not within(module, *TFLITE_DOOR):
        yield "the converter and the predictor are the door; nothing behind it imports them"
    elif theirs in TFLITE_ROOMS and ours in TFLITE_ROOMS:
        if ours != theirs and (ours, theirs) not in TFLITE_ROOM_ARROWS:
            yield f"the room {ours} does not know of the room {theirs}"
    elif theirs in TFLITE_ROOMS and module != "tflite" and not within(module, *TFLITE_DOOR):
        yield f"{ours} lies under the rooms"


def frameworks(module: str, item: Import) -> Iterator[str]:
    if within(item.target, *TENSORFLOW):
        if item.when == IMPORT_TIME and not within(module, *WHOLLY_TENSORFLOW):
            yield "import TensorFlow inside the function that needs it"
        if within(module, *ANY_BACKEND):
            yield "networks are built with keras alone, on any of its backends"
        if not within(item.target, "tensorflow") and not within(module, "slimnets.optimization"):
            yield "the legacy Keras belongs to slimnets.optimization alone"
    if (
        within(item.target, "keras")
        and item.when == IMPORT_TIME
        and within(module, "tflite")
        and not within(module, *TFLITE_KERAS)
    ):
        yield "what reads files works where Keras is not installed; import it in the function"


def same_names(modules: Iterable[str]) -> list[str]:
    homes: dict[str, list[str]] = {}
    for module in sorted(modules):
        if within(module, "slimnets", "tflite") and "." in module:
            homes.setdefault(module.rpartition(".")[2], []).append(module)
    return [
        f"{' and '.join(places)} have one name: rename one, or say in SAME_NAME why"
        for name, places in homes.items()
        if len(places) > 1 and name not in SAME_NAME
    ]


def test_every_arrow_goes_the_right_way():
    found = violations(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_all_modules_and_the_statements_inside_functions_were_seen():
    modules, imports = read(ROOT, PACKAGES)
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(modules) == len(files) > 50
    assert {item.module for item in imports} <= modules
    lazy = {item.target for item in imports if item.module == "tflite.converter"}
    assert "tflite.rewriting" in lazy


# --- Planted violations --------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path):
    """A small house in order, into which a test plants files."""

    def build(**files: str) -> list[str]:
        whole = {
            "slimnets/__init__": "",
            "slimnets/layers": "import keras\nfrom slimnets.arg_scope import scope",
            "slimnets/arg_scope": "scope = 1",
            "slimnets/catalog": "from slimnets.nets import one",
            "slimnets/nets/__init__": "",
            "slimnets/nets/one": "from slimnets import layers\nfrom tflite.images import read",
            "slimnets/evaluation": "def run():\n    from tflite import Predictor",
            "slimnets/data/__init__": "from slimnets.data.registry import load",
            "slimnets/data/registry": "from slimnets.data import folder, splits\nload = 1",
            "slimnets/data/folder": "from .splits import Split",
            "slimnets/data/splits": "Split = 1",
            "tflite/__init__": "",
            "tflite/images": "read = 1",
            "tflite/converter": "def convert():\n    from tflite.rewriting import graph",
            "tflite/rewriting/__init__": "import keras",
            "tflite/rewriting/graph": "from tflite import images",
            "tflite/measuring/__init__": "",
            "tflite/measuring/costs": "def f():\n    import keras, tensorflow",
            "configs/digits": "from slimnets.training import default_config",
            "slimnets/training": "default_config = 1",
        }
        for name, text in {**whole, **files}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return violations(tmp_path)

    return build


def test_a_house_in_order_has_no_violation(house):
    assert house() == []


@pytest.mark.parametrize(
    ("file", "text", "place", "rule"),
    [
        ("slimnets/layers", "from slimnets import catalog", 1, "catalog stands above layers"),
        ("slimnets/layers", "x = 1\ndef f():\n    import slimnets.nets.one", 3, "nets stands"),
        ("slimnets/layers", "class A:\n async def f(self):\n  from . import catalog", 3, "above"),
        ("slimnets/layers", "f = lambda: import_module('slimnets.catalog')", 1, "above layers"),
        ("slimnets/attic", "from slimnets import layers", 1, "attic stands in no row"),
        ("slimnets/catalog", "from slimnets import data", 1, "data stands above catalog"),
        ("slimnets/complexity", "from slimnets import layers", 1, "nothing else of slimnets"),
        ("slimnets/sidecar", "from tflite.files import writing", 1, "reads tflite.images only"),
        ("slimnets/catalog", "def f():\n    import slimnets", 2, "inside slimnets, import from"),
        ("slimnets/nets/two", "from slimnets.nets.one import x", 1, "no other family"),
        ("slimnets/nets/two", "from tflite.converter import x", 1, "only tflite.images"),
        ("slimnets/nets/two", "def f():\n    import tensorflow as tf", 2, "any of its backends"),
        ("slimnets/nets/two", "def f():\n    import tf_keras.layers", 2, "optimization alone"),
        ("slimnets/evaluation", "import tensorflow.nn", 1, "inside the function that needs it"),
        ("slimnets/data/folder", "from slimnets.data import registry", 1, "imports splits only"),
        ("slimnets/data/examples", "from slimnets.data import folder", 1, "kinds of source share"),
        ("slimnets/data/splits", "from slimnets.data import folder", 1, "what all others import"),
        ("slimnets/data/folder", "from . import load", 1, "inside slimnets.data, import from"),
        ("slimnets/data/folder", "from slimnets import nets", 1, "data imports nothing else"),
        ("tflite/images", "def f():\n    from slimnets.data import load", 2, "nothing of slimnets"),
        ("tflite/images", "import tflite.rewriting.graph", 1, "images lies under the rooms"),
        ("tflite/images", "from .converter import convert", 1, "nothing behind it imports them"),
        ("tflite/rewriting/graph", "from ..measuring import costs", 1, "does not know of the room"),
        ("tflite/measuring/costs", "import keras", 1, "where Keras is not installed"),
        ("tflite/measuring/costs", "if True:\n    import tensorflow", 2, "inside the function"),
        ("configs/digits", "import tflite", 1, "slimnets.training and nothing else"),
        ("configs/digits", "from slimnets import data", 1, "slimnets.training and nothing else"),
    ],
)  # fmt: skip
def test_a_wrong_arrow_is_named_by_its_place_and_rule(house, file, text, place, rule):
    found = [
        message for message in house(**{file: text}) if message.startswith(f"{file}.py:{place}:")
    ]
    assert any(rule in message for message in found), found


def test_what_only_type_checkers_read_is_allowed_and_its_alternative_is_not(house):
    guarded = """
        import typing
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import tensorflow as tf
            from slimnets import catalog
        if typing.TYPE_CHECKING:
            from slimnets.nets import one
        {}
    """
    assert house(**{"slimnets/layers": guarded.format("")}) == []
    (message,) = house(**{"tflite/images": guarded.format("else:\n            import tensorflow")})
    assert message.startswith("tflite/images.py:10: tflite.images imports tensorflow")


def test_a_circle_of_lazy_imports_is_told_with_all_its_statements(house):
    (message,) = house(
        **{
            "tflite/files/__init__": "",
            "tflite/files/a": "from tflite.files import b",
            "tflite/files/b": "def f():\n    from tflite.files.c import x",
            "tflite/files/c": "def g():\n    return 1\ndef h():\n    import tflite.files.a",
            "tflite/files/d": "from tflite.files import a, b, c",
        }
    )
    assert message == (
        "tflite/files/a.py:1: a circle of imports: "
        "tflite.files.a → tflite.files.b (tflite/files/a.py:1), "
        "tflite.files.b → tflite.files.c (tflite/files/b.py:2), "
        "tflite.files.c → tflite.files.a (tflite/files/c.py:4)"
    )


def test_two_modules_of_one_name_are_named(house):
    (message,) = house(**{"tflite/files/__init__": "", "tflite/files/layers": ""})
    assert message.startswith("slimnets.layers and tflite.files.layers have one name")
