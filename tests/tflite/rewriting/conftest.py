"""A network with most of what the rewrites change."""

import keras
import pytest

from tests.helpers.small_networks import v3_block


@pytest.fixture(scope="module")
def v3() -> keras.Model:
    return v3_block()
