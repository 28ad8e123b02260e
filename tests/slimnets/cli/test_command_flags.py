"""A command's flags are its own."""

import pytest
from absl import flags

from slimnets.cli.command_flags import Flags


@pytest.fixture
def define():
    define = Flags(["slimnets test"])
    define.string("out", None, "a file")
    define.integer("top", 5, "a number", lower_bound=1)
    define.float("share", 0.5, "a part")
    define.boolean("strict", True, "yes or no")
    define.enum("kind", "a", ["a", "b"], "one of")
    return define


def test_every_kind_is_parsed_between_and_after_the_arguments(define):
    words = ["file", "--out=x", "--top=2", "more", "--share=.25", "--nostrict", "--kind=b"]
    args = define.values(["slimnets test", *words])[1:]
    values = define.values
    assert args == ["file", "more"]
    assert (values.out, values.top, values.share) == ("x", 2, 0.25)
    assert (values.strict, values.kind) == (False, "b")


@pytest.mark.parametrize("word", ["--top=0", "--kind=c", "--share=half", "--unknown=1"])
def test_values_out_of_range_are_refused(define, word):
    with pytest.raises(flags.Error):
        define.values(["slimnets test", word])


def test_nothing_is_added_to_the_global_flags(define):
    assert "share" not in flags.FLAGS


def test_the_fields_of_a_config_are_flags_too(tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n"
        "    return ConfigDict({'epochs': 3, 'seed': 1})\n"
    )
    argv = ["slimnets test", f"--config={path}", "--config.epochs=7"]
    define = Flags(argv)
    define.config_file("config", None, "the recipe")
    define.values(argv)
    assert define.values.config.to_dict() == {"epochs": 7, "seed": 1}
