"""Progress is shown to people, on standard error, and to nobody else."""

import contextlib
import io

import pytest

from tflite import progress


class Terminal(io.StringIO):
    """Standard error as a terminal that keeps what is written."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def test_no_progress_bar_where_nobody_looks(capsys):
    assert list(progress.steps(range(3), "calibrating")) == [0, 1, 2]
    with progress.bar("loading", None, of_bytes=True) as advance:
        advance(5)
        advance(5, "half")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_title_count_and_note_on_standard_error(terminal, capsys):
    with contextlib.redirect_stderr(terminal):
        assert list(progress.steps(range(3), "calibrating [all]")) == [0, 1, 2]
        with progress.bar("epoch 2/9", 4) as advance:
            advance(1, "loss 0.125")
    assert capsys.readouterr().out == ""
    for shown in ("calibrating [all]", "3/3", "epoch 2/9", "1/4", "loss 0.125"):
        assert shown in terminal.getvalue()


def test_bytes_are_counted_in_their_own_units(terminal):
    with (
        contextlib.redirect_stderr(terminal),
        progress.bar("v2.pth", 4_000_000, of_bytes=True) as advance,
    ):
        advance(1_000_000)
    assert "1.0/4.0 MB" in terminal.getvalue()


def test_an_error_takes_the_bar_away(terminal):
    with contextlib.redirect_stderr(terminal):
        steps = progress.steps(range(3), "evaluating")
        next(steps)
        with pytest.raises(KeyError):
            steps.throw(KeyError())
    shows_the_cursor_again = "\x1b[?25h"
    assert shows_the_cursor_again in terminal.getvalue()
