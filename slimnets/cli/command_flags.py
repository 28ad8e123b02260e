"""The flags of one command: absl's, but in a set of their own."""

from __future__ import annotations

from functools import partial

from absl import flags

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
        recipes.accept_names(self.values[name])
