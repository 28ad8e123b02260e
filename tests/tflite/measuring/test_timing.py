"""Timing by turns, by a clock that the tests set."""

import numpy as np
import pytest

from tests.helpers.flatgraph import FlatGraph
from tflite.measuring import timing


class Clock:
    """A clock that stands still except where a call takes its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def taking(self, name: str, *seconds: float):
        """A call that takes these seconds, one after the other and from the first on again."""
        turns = iter(seconds * 1000)

        def call() -> None:
            self.calls.append(name)
            self.now += next(turns)

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "perf_counter", lambda: clock.now)
    return clock


def test_calls_take_turns_there_and_back(clock):
    calls = [clock.taking(name, 1) for name in "abc"]
    timing.time_calls(calls, warm_up=1, runs=3)
    assert "".join(clock.calls) == "cba" + "abc" + "cba" + "abc"


def test_medians_and_spreads_are_those_of_each_call_in_milliseconds(clock):
    steady = clock.taking("steady", 0.002)
    # 11 numbers, so that a tenth of them is one: 0, 1 … 10 ms.
    spread = clock.taking("spread", *(np.arange(11) / 1000))
    first, second = timing.time_calls([steady, spread], warm_up=0, runs=11)
    assert (first.median, first.p10, first.p90) == pytest.approx((2, 2, 2))
    assert (second.median, second.p10, second.p90) == pytest.approx((5, 1, 9))
    assert first.runs == second.runs == 11
    assert str(second) == "5.000 (1.000–9.000)"


def test_a_slow_minute_does_not_decide_which_call_is_faster(clock):
    """Everything takes ten times as long in the second half of the measurement."""
    slow = [0.001] * 10 + [0.010] * 10
    first, second = timing.time_calls(
        [clock.taking("a", *slow), clock.taking("b", *slow)], warm_up=0, runs=20
    )
    assert first == second


def test_warm_up_and_preparation_are_not_timed(clock):
    call = clock.taking("call", 9, 9, 1, 1, 1)
    (found,) = timing.time_calls([call], warm_up=2, runs=3, before=clock.taking("preparation", 100))
    assert found.p90 == pytest.approx(1000)
    assert clock.calls == ["preparation", "call"] * 5


@pytest.mark.parametrize(
    ("limits", "runs"),
    [
        ({"runs": 4}, 4),
        ({"runs": 4, "least_seconds": 0.7}, 6),
        ({"runs": 4, "least_seconds": 0.3}, 4),
        ({"runs": 4, "most_seconds": 0.2}, 2),
        ({"runs": 4, "most_seconds": 0.0}, 1),
    ],
)
def test_it_ends_after_runs_or_seconds(clock, limits, runs):
    """A call takes an eighth of a second."""
    (found,) = timing.time_calls([clock.taking("call", 0.125)], warm_up=1, **limits)
    assert found.runs == runs


def test_an_invocation_runs_the_file_on_what_it_is_given():
    graph = FlatGraph()
    output = graph.activation((1, 4), "float32")
    graph.op("LOGISTIC", [graph.input((1, 4), "float32")], output)
    run = timing.invocation(graph.bytes(), [np.zeros((1, 4), np.float32)])
    interpreter = run.__self__
    run()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(result, 0.5)
    assert timing.invocation(graph.bytes())() is None
