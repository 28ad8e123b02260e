"""Nothing that a stranger may hand over ends in anything but a clear error, or in success.

The files are made by seeded generators and tried in a process of its own. The slow tests try
more; `python -m tests.hostile.running GENERATOR FROM TO` tries as many as one likes.
"""

import pytest

from tests.hostile.running import run


def bad(outcomes):
    return [outcome for outcome in outcomes if outcome.kind not in ("ok", "refused")]


def assert_harmless(outcomes, inputs):
    assert len({outcome.seed for outcome in outcomes}) == inputs
    assert bad(outcomes) == []
    # A generator whose inputs are all refused at the door would prove nothing, nor all taken.
    kinds = [outcome.kind for outcome in outcomes]
    assert kinds.count("ok") > len(kinds) / 10
    assert kinds.count("refused") > len(kinds) / 10


@pytest.mark.parametrize(("generator", "inputs"), [("tflite_inputs", 40), ("weight_inputs", 100)])
def test_spoiled_files_are_read_or_refused_by_name(generator, inputs):
    assert_harmless(run(generator, range(inputs)), inputs)


@pytest.mark.slow
@pytest.mark.parametrize(("generator", "inputs"), [("tflite_inputs", 190), ("weight_inputs", 600)])
def test_hundreds_of_other_spoiled_files_are_read_or_refused_by_name(generator, inputs):
    assert_harmless(run(generator, range(10_000, 10_000 + inputs)), inputs)


def test_the_runner_sees_how_each_input_ended_and_goes_on():
    kinds = [outcome.kind for outcome in run("sick_inputs", range(6))]
    assert kinds == ["ok", "died", "crash", "unclear", "crash", "ok"]


@pytest.mark.slow
def test_spoiled_models_are_loaded_or_refused_by_name():
    assert_harmless(run("keras_inputs", range(150), limit_address_space=False), 150)


@pytest.mark.slow
def test_wrong_arguments_are_refused_in_words_of_our_own():
    outcomes = run("argument_inputs", range(4), limit_address_space=False)
    assert len(outcomes) > 800
    assert bad(outcomes) == []
