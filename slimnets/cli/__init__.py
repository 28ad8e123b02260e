"""The command line: `slimnets COMMAND …`.

A command is one line in `COMMANDS` and one module `slimnets/cli/<command>.py` (dashes become
underscores) with

    a docstring                          what `slimnets COMMAND --help` shows, with an example
    define_flags(define)                 adds the command's own flags by `command_flags.Flags`
    run(args, flags, console) -> dict    does the work: `args` are the words that are not flags,
                                         `flags` the parsed `absl.flags.FlagValues`. Tables go to
                                         `console` (silent with --json), logs to `absl.logging`,
                                         progress bars to standard error. The returned dict is what
                                         --json prints. Raises `UsageError` for a wrong command line
                                         and any other exception for a failure.

Command modules import TensorFlow and Keras inside `run` only, so that `--help` stays quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from slimnets.cli.outcomes import EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE, UsageError
from tflite.hints import nearest

__all__ = ["COMMANDS", "UsageError", "main"]

COMMANDS = {
    "models": "the catalogue: networks, their sizes and published accuracy",
    "summary": "per-layer parameters and multiply-adds of a network or a model file",
    "train": "train a network on a folder of images or another data set",
    "evaluate": "top-1, top-5 and confusion matrix of a .keras, .tflite or .onnx file",
    "predict": "the most probable classes of images",
    "convert": "turn a trained model into a .tflite file for a device",
    "benchmark": "how fast files run here, side by side, and whether int8 pays",
    "export": "an ONNX file, a SavedModel or PyTorch's weights of a trained model",
    "compile": "run Coral's compiler on an int8 .tflite file, where it is installed",
    "optimize": "train on to fit int8, to have zeros or few values: smaller files, compared",
    "inspect": "what is inside a .tflite file and how LiteRT would run it",
    "import-weights": "load weights from elsewhere and save them as a file of ours",
    "demo": "train, convert, evaluate and report on handwritten digits, in minutes",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the process's exit code.

    Args:
        argv: the words after the program's name; `sys.argv[1:]` when None.

    Returns:
        0 success, 1 failure (one line on standard error), 2 wrong usage, 130 interrupted,
        143 ended by SIGTERM with what is needed to go on (train).
    """
    _open_what_is_closed()
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) went away: not worth a message.
        _drop_stdout()
        return EXIT_FAILURE
    except OSError as error:  # CannotPrint, or of the help: a command's own errors end in it
        _drop_stdout()
        message = f"error: cannot write to standard output: {error.strerror}"
        return _fail("slimnets", message, EXIT_FAILURE)
    return code


def _open_what_is_closed() -> None:
    """Started without standard streams (`>&-`), or the next file opened would become one."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  for as long as we live


def _drop_stdout() -> None:
    """Python must not try again to write what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview(), file=sys.stdout if words else sys.stderr)
        return EXIT_SUCCESS if words else EXIT_USAGE
    if words[0] == "--version":
        from slimnets import __version__

        print(f"slimnets {__version__}")
        return EXIT_SUCCESS

    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        near = nearest(name, COMMANDS)
        hint = f", did you mean {near!r}?" if near else ""
        return _fail("slimnets", f"unknown command {name!r}{hint}; see slimnets --help", EXIT_USAGE)
    command = importlib.import_module(f"slimnets.cli.{name.replace('-', '_')}")
    from slimnets.cli import running

    return running.run(name, command, rest)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "Mobile image networks: build, train, convert, measure.",
            "",
            "Usage: slimnets COMMAND [ARGUMENTS] [--flag=value …]",
            "",
            *lines,
            "",
            "slimnets COMMAND --help shows a command's flags and an example.",
        ]
    )


def _fail(program: str, message: str, code: int) -> int:
    print(f"{program}: {message}", file=sys.stderr)
    return code
