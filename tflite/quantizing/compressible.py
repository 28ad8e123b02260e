"""Whether a model was trained to be compressed: what int8 makes of its zeros and shared values."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

# Large enough a kernel, values so few and zeros so many that nobody came by them in plain training.
_LARGE_KERNEL, _FEW_VALUES, _PRUNED = 1024, 64, 0.3


def pruned_or_clustered(model: "keras.Model") -> list[str]:
    """A doubt about what refitted weights undo: zeros of pruning, equal values of clustering."""
    kernels = [each for each in model.weights if len(each.shape) > 1]
    values = [np.asarray(each).ravel() for each in kernels]
    values = [each for each in values if len(each) >= _LARGE_KERNEL]
    count = sum(map(len, values))
    zeros = sum(len(each) - np.count_nonzero(each) for each in values)
    few = any(1 < len(np.unique(each[:_LARGE_KERNEL])) <= _FEW_VALUES for each in values)
    if zeros <= _PRUNED * count and not few:
        return []
    what = f"{zeros / count:.0%} of its weights are zero" if not few else "its weights share values"
    return [
        f"the model looks pruned or clustered ({what}), which effort='fast' keeps in an int8 file "
        "and any other does not: they fit each weight anew, and the file compresses less."
    ]
