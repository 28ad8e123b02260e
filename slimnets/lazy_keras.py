"""Keras, imported at the first use: `from slimnets import lazy_keras as keras`.

Tables, published figures and weight sources are read without building anything, and importing
Keras takes seconds.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("keras"), name)
