"""tensorflow-model-optimization, imported without what it does to the process.

Its import sets TF_USE_LEGACY_KERAS, by which `tf.keras`, if nobody has asked for it yet, and all
processes started from here would become tf_keras for good.
"""

import os

import tensorflow as tf

_VARIABLE = "TF_USE_LEGACY_KERAS"
_before = os.environ.get(_VARIABLE)
tf.keras.__version__  # noqa: B018  loads what it is, before anything is said of it
try:
    from tensorflow_model_optimization.clustering import keras as clustering
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import (
        cluster as sparse_clustering,
    )
    from tensorflow_model_optimization.sparsity import keras as sparsity
finally:
    os.environ.pop(_VARIABLE, None)
    if _before is not None:
        os.environ[_VARIABLE] = _before

__all__ = ["clustering", "sparse_clustering", "sparsity"]
