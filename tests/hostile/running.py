"""Tries numbered inputs in a process of its own, and tells how each ended.

A crash, an endless loop or a swallowed memory must be seen from outside: the child says which
input it begins, and the parent notes what it was at when it died or fell silent.

    python -m tests.hostile.running tflite_inputs 0 1000
"""

import collections
import importlib
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

SECONDS = 90
# Of address space. TensorFlow alone takes more: its inputs are measured by what they occupy.
ADDRESS_SPACE = 6 << 30
RESIDENT = 3 << 30


class Outcome(NamedTuple):
    """How one attempt ended: "ok", "refused" with a clear message, or what went wrong."""

    seed: int
    way: str
    kind: str
    message: str = ""


def run(generator: str, seeds: range, *, limit_address_space: bool = True) -> list[Outcome]:
    """All attempts of a module of this package: its `make(seed)`, then its `use(path, rng)`."""
    outcomes: list[Outcome] = []
    start = seeds.start
    while start < seeds.stop:
        current, way, ended = start, "?", ""
        for line in _lines(generator, range(start, seeds.stop), limit_address_space):
            if line is None:
                ended = "hung"
                break
            kind, *rest = json.loads(line)
            if kind == "begin":
                current, way = rest
            elif kind == "end":
                return outcomes
            else:
                outcomes.append(Outcome(current, way, kind, rest[0]))
        outcomes.append(Outcome(current, way, ended or "died"))
        start = current + 1
    return outcomes


def _lines(generator: str, seeds: range, limit: bool) -> Iterator[str | None]:
    """The child's lines; None where it fell silent."""
    command = [
        sys.executable,
        "-m",
        "tests.hostile.running",
        "--child",
        generator,
        str(seeds.start),
    ]
    command += [str(seeds.stop), str(int(limit))]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": folder, "TF_CPP_MIN_LOG_LEVEL": "3"},
        ) as child,
    ):
        pending = b""
        try:
            while True:
                if not select.select([child.stdout], [], [], SECONDS)[0]:
                    yield None
                    return
                chunk = os.read(child.stdout.fileno(), 1 << 16)
                if not chunk:
                    return
                *lines, pending = (pending + chunk).split(b"\n")
                yield from (line.decode() for line in lines)
        finally:
            child.kill()


# --- In the child. -----------------------------------------------------------------------------

_seed = 0
_file_name = ""
# What a user's mistake or a damaged file may end in, exactly: a KeyError is a LookupError, but a
# JSONDecodeError is a ValueError that nobody worded. Our own classes may derive from them.
_CLEAR = (ValueError, TypeError, FileNotFoundError, PermissionError, OSError, ConnectionError)
_CLEAR += (NotADirectoryError, IsADirectoryError, ImportError)
_report: Callable[..., None] = print


def attempts(ways: Mapping[str, Callable[[], object]]) -> None:
    """Tries one file in several ways; each begins anew, whatever the others end in."""
    for way, function in ways.items():
        _report("begin", _seed, way)
        _report(*_attempt(function, _file_name))


def _attempt(function: Callable[[], object], word: str | None) -> tuple[str, str]:
    """`word` is what a clear message must name; None: it must at least be one of ours."""
    try:
        function()
    except Exception as error:
        message = str(error)
        text = f"{type(error).__name__}: {message}"
        ours = type(error).__module__.partition(".")[0] in ("slimnets", "tflite")
        if not (isinstance(error, _CLEAR) if ours else type(error) in _CLEAR):
            where = traceback.extract_tb(error.__traceback__)[-1]
            return "crash", f"{text} [{where.filename.split('/')[-1]}:{where.lineno}]"[:400]
        # A list of all weights that do not fit takes several lines.
        clear = _is_ours(error) if word is None else word in message and "\n" not in message
        if not message or not clear:
            return "unclear", text[:400]
        if len(message) > 2000:
            return "unclear", f"{len(message)} letters: {text[:200]}"
        return "refused", text[:400]
    if _peak_bytes() > RESIDENT:
        return "memory", ""
    return "ok", ""


def _peak_bytes() -> int:
    """This program's own; `ru_maxrss` would count what started it as well."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("the system does not tell how much memory was occupied.")


def _is_ours(error: Exception) -> bool:
    """Raised by this project, or by Python with the name of a file."""
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    home = Path(__file__).parents[2]
    ours = any(home / name in raised_in.parents for name in ("slimnets", "tflite"))
    return ours or getattr(error, "filename", None) is not None


def _child(generator: str, start: int, stop: int, limit: bool) -> None:
    global _seed, _file_name, _report
    # Libraries print to the file descriptor; the report goes to a copy of it.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def report(*line: object) -> None:
        channel.write(json.dumps(line) + "\n")
        channel.flush()

    _report = report
    import numpy as np

    module = importlib.import_module(f"tests.hostile.{generator}")
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    folder = Path(tempfile.mkdtemp())
    for seed in range(start, stop):
        _seed = seed
        report("begin", seed, "make")
        content = module.make(seed)
        if isinstance(content, bytes):
            content = (module.SUFFIX, content)
        if isinstance(content, tuple):
            path = folder / f"input-{seed}{content[0]}"
            path.write_bytes(content[1])
            _file_name = path.name
            module.use(path, np.random.default_rng(seed))
            path.unlink()
        else:
            for way, (function, word) in content.items():
                report("begin", seed, way)
                report(*_attempt(function, word))
    report("end")


def main() -> None:
    if sys.argv[1] == "--child":
        generator, start, stop, limit = sys.argv[2:]
        # Under its own name, so that the generators see the same module.
        importlib.import_module("tests.hostile.running")._child(
            generator, int(start), int(stop), bool(int(limit))
        )
        return
    generator, start, stop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    outcomes = run(generator, range(start, stop), limit_address_space="--tf" not in sys.argv)
    print(collections.Counter(outcome.kind for outcome in outcomes))
    for outcome in outcomes:
        if outcome.kind not in ("ok", "refused") or "-v" in sys.argv:
            print(*outcome)


if __name__ == "__main__":
    main()
