"""A long step that says nothing is not taken for a dead program."""

import io
import sys
import threading

import pytest
from absl import logging

from slimnets.cli.heartbeat import heartbeat


@pytest.fixture
def lines(monkeypatch):
    """What the log says, and an event that is set at its third line."""
    said, third = [], threading.Event()

    def info(text, *values):
        said.append(text % values)
        if len(said) >= 3:
            third.set()

    monkeypatch.setattr(logging, "info", info)
    return said, third


def test_silence_is_filled_and_ends_with_the_block(lines):
    said, third = lines
    before = threading.active_count()
    with heartbeat(seconds=0.01):
        assert third.wait(60)
    assert all("working" in line for line in said)
    assert threading.active_count() == before


def test_a_log_that_speaks_needs_no_filling(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "info", lambda *words: said.append(words))
    with heartbeat(seconds=3600):
        logging.warning("a line")
    assert said == []


def test_a_terminal_has_bars_instead(lines, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    before = threading.active_count()
    with heartbeat(seconds=0.001):
        assert threading.active_count() == before


def test_the_end_is_not_waited_for():
    with pytest.raises(KeyboardInterrupt), heartbeat(seconds=3600):
        raise KeyboardInterrupt
