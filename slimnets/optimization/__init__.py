"""Networks made smaller by training on: aware of their quantization, pruned, clustered.

Names load on first use: importing the package imports neither TensorFlow nor tf_keras.
"""

from importlib import import_module

_HOME = {
    "quantize_aware": "awareness",
    "prune": "pruning",
    "pruning_step": "pruning",
    "cluster": "clustering",
    "optimize": "procedure",
    "to_tf_keras": "bridge",
    "from_tf_keras": "bridge",
}

__all__ = [*_HOME]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'slimnets.optimization' has no attribute {name!r}")
    value = getattr(import_module(f"slimnets.optimization.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
