"""The flags of one command: absl's, but in a set of their own."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from slimnets.cli import recipes


class Flags:
    """Defines a command's flags: `define.string("out", None, "the file to write")`.

    `string`, `integer`, `float`, `boolean` and `enum` are absl's `DEFINE_…` functions for the set
    `values`. absl's global set is not used: importing TensorFlow or tfds adds dozens of flags
    there, which would show up in --help and be accepted by mistake.
    """

    def __init__(self, argv: list[str]) -> None:
        """`argv` is what was typed; ml_collections looks up `--config.field=value` in it."""
        self.values = flags.FlagValues()
        self.values.set_gnu_getopt(True)
        self._argv = argv
        self.string = partial(flags.DEFINE_string, flag_values=self.values)
        self.integer = partial(flags.DEFINE_integer, flag_values=self.values)
        self.float = partial(flags.DEFINE_float, flag_values=self.values)
        self.boolean = partial(flags.DEFINE_boolean, flag_values=self.values)
        self.enum = partial(flags.DEFINE_enum, flag_values=self.values)

    def config_file(self, name: str, default: str | None, help: str) -> None:
        """A flag for a Python file with get_config(), whose fields have flags too."""
        from ml_collections import config_flags

        config_flags.DEFINE_config_file(
            name, default, help, flag_values=self.values, sys_argv=self._argv
        )
        # ml_collections tells of a missing file only when a field is asked for, and of an error
        # in it by a whole traceback.
        self.values[name].parser.parse = load_recipe

    def config_fields(self, name: str, defaults: ConfigDict, help: str) -> None:
        """Flags for the fields of a config that comes from no file: `changed_fields` reads them."""
        from ml_collections import config_flags

        config_flags.DEFINE_config_dict(
            name, defaults, help, flag_values=self.values, sys_argv=self._argv
        )

    def gives(self, pattern: str) -> bool:
        """Whether a word that was typed is a flag whose name is matched by `pattern` as a whole."""
        return any(re.fullmatch(f"--?{pattern}(=.*)?", word, re.DOTALL) for word in self._argv)


def changed_fields(values: flags.FlagValues, name: str) -> dict[str, Any]:
    """What `--NAME.field=value` said: field → value; nothing without such words."""
    return {
        flag.removeprefix(f"{name}."): values[flag].value
        for flag in values
        if flag.startswith(f"{name}.")
    }


def load_recipe(text: str) -> ConfigDict:
    """What get_config() of a recipe gives, locked: a wrong field's name is an error.

    Args:
        text: a file or the name of a recipe that comes with slimnets, and behind a colon, if there
            is one, the argument of get_config().

    Raises:
        ValueError: there is no such file, or it is no recipe; one line that says where.
    """
    name, *arguments = text.split(":", 1)
    path = recipes.find(name)
    try:
        # runpy knows no module, which a dataclass in the recipe would look for.
        spec = importlib.util.spec_from_loader(
            "slimnets_recipe", importlib.machinery.SourceFileLoader("slimnets_recipe", str(path))
        )
        module = sys.modules["slimnets_recipe"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config(*arguments) if hasattr(module, "get_config") else None
    except (Exception, SystemExit) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{_place(error, path)}: {type(error).__name__}: {said}") from error
    if not hasattr(module, "get_config"):
        raise ValueError(f"{name} has no function get_config(), so it is no recipe")
    if not isinstance(config, ConfigDict):
        raise ValueError(
            f"get_config() in {name} must return a ConfigDict, got {type(config).__name__}"
        )
    return config.lock()


def _place(error: BaseException, path: Path) -> str:
    """File and line: where the recipe was when it failed."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == path
    ]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f"{path}, line {lines[-1]}" if lines else str(path)
