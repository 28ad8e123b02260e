"""slimnets: mobile networks in Keras 3, from their table to a device file.

Names load on first use: importing this package imports neither TensorFlow nor Keras.
"""

import sys
from importlib import import_module
from types import ModuleType

from slimnets.names import PUBLIC

__version__ = "0.1.0"

_HOME = {name: module for module, names in PUBLIC.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'slimnets' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


class _Package(ModuleType):
    """Keeps `slimnets.arg_scope` the function when Python binds the submodule of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
