"""What a network's numbers are, told by the operations that made them: one rule for every format.

"probabilities" of a softmax or a sigmoid; "logits" where several numbers come from a linear layer,
scores of classes before a softmax; "numbers" where one does (an age, an angle), or where another
activation made them.

A format says which of its operations has which effect, and which it takes a stranger for.
"""

from collections.abc import Iterable
from enum import Enum, auto


class Effect(Enum):
    """What an operation makes of what it reads."""

    PROBABILITIES = auto()  # a softmax, a sigmoid
    ACTIVATION = auto()  # another one; or numbers divided by their own sum or norm
    LINEAR = auto()  # a layer with weights; a logarithm, which makes logits of probabilities
    KEEPS = auto()  # moves numbers, or mixes them so that probabilities stay such
    ARITHMETIC = auto()  # makes of probabilities something that is neither


def kind_after(effect: Effect, before: Iterable[str | None] = ()) -> str | None:
    """The kind of what an operation makes of numbers of other kinds.

    Args:
        effect: of the operation.
        before: the kinds of what it reads, None of a network's input; not asked for where all are
            made into one, so that whoever walks a network need not walk all of it.
    """
    if effect is Effect.PROBABILITIES:
        return "probabilities"
    if effect is Effect.ACTIVATION:
        return "numbers"
    if effect is Effect.LINEAR:
        return "logits"
    kinds = set(before)
    if effect is Effect.KEEPS:
        return kinds.pop() if len(kinds) == 1 else "logits"
    return "numbers" if "probabilities" in kinds or kinds == {"numbers"} else "logits"


def kind_of_output(kind: str | None, size: int | None) -> str:
    """The kind of a network's output; `size`: of its last axis, None where it is open."""
    # A single number of a linear layer is no score among others.
    return "numbers" if kind != "probabilities" and size == 1 else kind or "logits"
