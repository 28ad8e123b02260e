"""Ways to end that the runner must see; for the test of the runner alone."""

import os

from tests.hostile import running


def _leave() -> None:
    os.abort()


def _deep() -> None:
    {}["inside"]


def _vague() -> None:
    raise ValueError("one line\nand another")


def _fine() -> None:
    pass


def _greedy() -> None:
    bytearray(running.ADDRESS_SPACE)


_WAYS = (_fine, _leave, _deep, _vague, _greedy, _fine)


def make(seed: int):
    """One way to end."""
    return {_WAYS[seed].__name__: (_WAYS[seed], "")}
