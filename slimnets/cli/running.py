"""How a command runs: flags, logs, standard output, exit codes. The same for every command."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging as python_logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict
from rich.console import Console

from slimnets.cli.command_flags import Flags
from slimnets.cli.outcomes import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_SUCCESS,
    EXIT_TERMINATED,
    EXIT_USAGE,
    CannotPrint,
    Ended,
    PartialFailure,
    UsageError,
)
from tflite import native_output
from tflite.hints import did_you_mean

# Names that ml_collections cannot add to a config, one by one.
_PART_OF_A_SECTION = re.compile(
    r"--?config\.(model\.kwargs|optimizer\.kwargs|data\.class_weights)\."
)
# Errors whose text says what happened; of others the kind is told too.
_TOLD_FULLY = (ValueError, TypeError, OSError, PartialFailure, UsageError, Ended)


class _Console(Console):
    def print(self, *args: Any, **kwargs: Any) -> None:
        with _on_stdout():
            super().print(*args, **kwargs)


def _print_json(result: dict[str, Any]) -> None:
    text = json.dumps(result)
    with _on_stdout():
        print(text, flush=True)


@contextlib.contextmanager
def _on_stdout() -> Iterator[None]:
    """Tells a failure to print from that of the work, which may be an OSError too."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CannotPrint(error.errno, error.strerror) from error


def run(name: str, command: ModuleType, words: list[str]) -> int:
    """Parses the command's flags, runs it and returns the exit code (see `slimnets.cli.main`)."""
    program = f"slimnets {name}"
    debug = "--debug" in words
    asked_for_help = any(word in ("-h", "--help") for word in words)
    argv = [program, *words]
    # Not absl.app.run: it insists on absl's global flags and exits 1 on wrong usage.
    define = Flags(argv)
    flag_values = define.values
    try:
        define.boolean("json", False, "print one JSON object on stdout, nothing else")
        define.boolean("debug", False, "show the traceback of a failure")
        command.define_flags(define)
        args = [] if asked_for_help else flag_values(argv)[1:]
    # Of whatever kind: ml_collections reports a wrong field as an AttributeError.
    except Exception as error:
        message = f"{program}: {_wrong_usage(error, words)}; see {program} --help"
        return _report(message, EXIT_USAGE, debug)

    if asked_for_help:
        print(_help(program, command, flag_values))
        return EXIT_SUCCESS
    _quiet_libraries(debug)
    # No markup: brackets in a path or a class name are brackets.
    # A pipe has no width, and rich would cut tables at 80 columns.
    width = None if sys.stdout.isatty() else 160
    console = _Console(
        quiet=flag_values.json, width=width, markup=False, emoji=False, highlight=False
    )
    reserved = _reserved_stdout() if flag_values.json else contextlib.nullcontext()
    try:
        with reserved:
            result = command.run(args, flag_values, console)
        if flag_values.json:
            _print_json(result)
    except PartialFailure as failure:
        if flag_values.json:
            _print_json(failure.result)
        for message in failure.messages[:-1]:
            print(f"{program}: error: {_in_one_line(message)}", file=sys.stderr)
        return _report(f"{program}: error: {_one_line(failure)}", EXIT_FAILURE, debug)
    except UsageError as error:
        return _report(f"{program}: {_one_line(error)}; see {program} --help", EXIT_USAGE, debug)
    except KeyboardInterrupt:
        return _report(f"{program}: interrupted", EXIT_INTERRUPTED, debug)
    except Ended as error:
        return _report(f"{program}: {_one_line(error)}", EXIT_TERMINATED, debug)
    except (BrokenPipeError, CannotPrint):
        raise
    except Exception as error:
        return _report(f"{program}: error: {_one_line(error)}", EXIT_FAILURE, debug)
    return EXIT_SUCCESS


def _wrong_usage(error: Exception, words: list[str]) -> str:
    """In one line, what is wrong with flags that could not be parsed."""
    if any(_PART_OF_A_SECTION.match(word) for word in words):
        return (
            "what a section of free names does not have yet is given with the whole section: "
            "--config.model.kwargs=\"{'depth_multiplier': 0.5}\""
        )
    # An AttributeError of ml_collections holds the text of a KeyError, with every quote escaped.
    text = str(error).replace("\\n", ". ").replace("\\'", "'")
    if text[:1] == text[-1:] == "'":
        text = text[1:-1]
    return _in_one_line(text)


def _report(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(message, file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    text = _in_one_line(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if isinstance(error, _TOLD_FULLY) and text:
        return text
    return f"{type(error).__name__}: {text}".rstrip(": ")


def _in_one_line(message: object) -> str:
    return " ".join(str(message).split()).rstrip(".")


def _help(program: str, command: ModuleType, flag_values: flags.FlagValues) -> str:
    lines = [(command.__doc__ or program).strip(), "", "Flags:"]
    for name in flag_values:
        flag = flag_values[name]
        default = (
            "" if flag.default is None else f" (default: {flag.default_as_str.strip(chr(39))})"
        )
        values = getattr(flag.parser, "enum_values", None)
        choices = f" {'|'.join(values)}." if values else ""
        lines.append(f"  --{name}: {flag.help}.{choices}{default}")
    return "\n".join(lines)


def _quiet_libraries(debug: bool) -> None:
    # TensorFlow reads this once, when it is imported. Its C++ code logs start-up notes (missing
    # GPU, oneDNN) as errors, and failures that matter come back as Python exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if debug else "3")
    logging.use_absl_handler()
    logging.set_verbosity(logging.DEBUG if debug else logging.INFO)
    # absl's logging looks at the global flags, of which none are used here.
    flags.FLAGS.mark_as_parsed()
    handler = logging.get_absl_handler()
    handler.setFormatter(python_logging.Formatter("%(message)s"))
    if not debug:
        handler.addFilter(_is_for_users)


def _is_for_users(record: python_logging.LogRecord) -> bool:
    """TensorFlow tells through absl, as information, which converter it is about to use."""
    return record.levelno > python_logging.INFO or "/tensorflow/" not in record.pathname


def loaded_config(flag_values: flags.FlagValues) -> ConfigDict:
    """A copy of what --config holds.

    Raises:
        UsageError: no --config.
    """
    if flag_values.config is None:
        raise UsageError("--config is missing, for example --config=configs/digits.py")
    return ConfigDict(flag_values.config)


def check_network(name: object) -> None:
    """Raises what `create_model` would, in the command line's words.

    Raises:
        ValueError: no network of the catalogue has that name; the nearest is named.
    """
    from slimnets.catalog import CATALOG

    if isinstance(name, str) and name not in CATALOG:
        raise ValueError(
            f"no network is called {name!r}.{did_you_mean(name, CATALOG)} `slimnets models` lists "
            f"all {len(CATALOG)}."
        )


def start_keras() -> None:
    """Imports Keras and TensorFlow without the notes that they print while they start."""
    with native_output.intercepted(logging.debug):
        importlib.import_module("keras")


@contextlib.contextmanager
def _reserved_stdout() -> Iterator[None]:
    """Sends whatever libraries print, from Python or from C++, to standard error meanwhile."""
    sys.stdout.flush()
    with contextlib.redirect_stdout(sys.stderr):
        saved = os.dup(1)
        os.dup2(2, 1)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 1)
            os.close(saved)
