"""One rule for what a network's numbers are: what each effect makes of what was there."""

import pytest

from tflite.output_kinds import Effect, kind_after, kind_of_output


@pytest.mark.parametrize(
    ("effect", "before", "kind"),
    [
        (Effect.PROBABILITIES, ["logits"], "probabilities"),
        (Effect.ACTIVATION, ["logits"], "numbers"),
        (Effect.LINEAR, ["probabilities"], "logits"),
        (Effect.KEEPS, ["probabilities", "probabilities"], "probabilities"),  # an ensemble's mean
        (Effect.KEEPS, ["probabilities", "logits"], "logits"),
        (Effect.KEEPS, [None], None),
        (Effect.ARITHMETIC, ["logits", "logits"], "logits"),  # a residual
        (Effect.ARITHMETIC, ["probabilities", "logits"], "numbers"),
        (Effect.ARITHMETIC, ["numbers"], "numbers"),
    ],
)
def test_an_operation_makes_one_kind_of_others(effect, before, kind):
    assert kind_after(effect, before) == kind


@pytest.mark.parametrize("effect", [Effect.PROBABILITIES, Effect.ACTIVATION, Effect.LINEAR])
def test_what_makes_one_kind_of_all_does_not_ask_for_those_before(effect):
    def asked():
        raise AssertionError("a deep network would be walked to its input")
        yield

    kind_after(effect, asked())


@pytest.mark.parametrize(
    ("kind", "size", "told"),
    [
        ("logits", 1, "numbers"),  # an age, an angle
        ("probabilities", 1, "probabilities"),  # of one class
        ("logits", 10, "logits"),
        ("logits", None, "logits"),
        (None, 10, "logits"),
    ],
)
def test_one_number_of_a_linear_layer_is_no_score_among_others(kind, size, told):
    assert kind_of_output(kind, size) == told
