"""What "the same numbers" means: relative to what is compared, and no finer than rounding is.

Processors add in different orders (AVX2, AVX-512, NEON; oneDNN on or off; one thread or eight), so
float32 results differ by rounding that grows with the numbers added, not with the differences that
a test is about. Two ways to compare:

- `double_precision`: two spellings of one network, both built in float64. What is left of rounding
  is some 1e-14, so that 1e-10 finds any mistake and no processor.
- float32 results, where the file or the network under test is float32: FLOAT32. The noise was
  measured against the same networks in float64, with oneDNN, without it and with SSE4.1 code only:
  at most 3e-6 of the largest logit for a whole network of this suite (20 to 60 layers), 1e-6 for
  MobileNetV1 at 0.25 and what is shorter. Two such results may differ by twice that, and FLOAT32
  is three times as much again, for the processors that were not at hand. Short networks and single
  layers pass a smaller `relative` of their own.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

FLOAT32 = 2e-5
FLOAT64 = 1e-10


def assert_close(found, expected, relative: float = FLOAT32) -> None:
    """No element differs by more than `relative` times the largest magnitude expected.

    One scale for the whole array, since a sum near 0 carries the rounding of its large summands.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    assert 0 < scale < np.inf, "what is all 0 or infinite proves nothing"
    error = np.abs(found.astype(np.float64) - expected).max() / scale
    assert error <= relative, f"{error:.1e} of the largest value, allowed are {relative:.1e}"


def assert_same_probabilities(found, expected, relative: float = FLOAT32) -> None:
    """The same for softmax outputs, compared as logarithms: where rounding happened, in the logits.

    A probability of 0.001 is then checked as sharply as one of 0.9, and none may be wrong in sum.
    """
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert expected.min() > 0, "a softmax that is saturated proves nothing"
    assert_close(np.log(found), np.log(expected), relative)


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Networks that are built inside compute in float64."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
