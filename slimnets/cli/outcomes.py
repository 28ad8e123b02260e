"""How a command can end."""

from collections.abc import Sequence
from typing import Any

EXIT_SUCCESS, EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 2, 130, 143


class PartialFailure(Exception):
    """Some of the work is done and told, some failed: a line each on standard error. Exit code 1.

    Attributes:
        result: what --json prints.
        messages: what failed; not empty.
    """

    def __init__(self, result: dict[str, Any], messages: Sequence[str]) -> None:
        super().__init__(messages[-1])
        self.result = result
        self.messages = tuple(messages)


class CannotPrint(OSError):
    """Standard output cannot be written."""


class UsageError(Exception):
    """The command line is wrong: one sentence that says what to write instead. Exit code 2."""


class Ended(Exception):
    """SIGTERM came, and what is needed to go on later is kept. Exit code 143, as by the signal."""
