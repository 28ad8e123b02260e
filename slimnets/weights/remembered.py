"""What images the weights of a model learned from, for as long as this process has the model.

Published weights differ in it though they fit one network. A file of ours has its description
beside it; a model in memory has this.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from tflite.images import Preprocessing

_KNOWN: WeakKeyDictionary[Any, Preprocessing] = WeakKeyDictionary()


def remember(model: Any, preprocessing: Preprocessing | None) -> None:
    """Note it for a model whose weights were just loaded; None: the source did not say."""
    if preprocessing is None:
        _KNOWN.pop(model, None)
    else:
        _KNOWN[model] = preprocessing


def preprocessing_of(model: Any) -> Preprocessing | None:
    """What was noted; None: nothing."""
    try:
        return _KNOWN.get(model)
    except TypeError:  # what only looks like a model cannot be referred to weakly
        return None
