"""A line now and then while a long step says nothing: a silent program looks like a dead one."""

from __future__ import annotations

import contextlib
import logging as python_logging
import sys
import threading
import time
from collections.abc import Iterator

from absl import logging

_SECONDS = 15.0


class _Listener(python_logging.Handler):
    """Remembers when the log last said something."""

    def __init__(self) -> None:
        super().__init__()
        self.last = time.monotonic()

    def emit(self, record: python_logging.LogRecord) -> None:
        self.last = time.monotonic()


@contextlib.contextmanager
def heartbeat(seconds: float = _SECONDS) -> Iterator[None]:
    """While the block runs, logs a line after each `seconds` without one.

    Not on a terminal: progress bars move there, and a line would break them.
    """
    if sys.stderr is None or sys.stderr.isatty():
        yield
        return
    listener, ended = _Listener(), threading.Event()
    start = listener.last

    def beat() -> None:
        while not ended.wait(max(0.0, listener.last + seconds - time.monotonic())):
            if time.monotonic() - listener.last >= seconds:
                logging.info("… working, %.0f s since the start", time.monotonic() - start)

    logger = logging.get_absl_logger()
    logger.addHandler(listener)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        logger.removeHandler(listener)
