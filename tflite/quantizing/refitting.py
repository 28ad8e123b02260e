"""Integer weights that give the least error on the inputs a layer really has.

Rounding each weight to the nearest step ignores that errors add up along a row: what counts is

    e' H e,   e = W - s·Q,   H = cov(x) + λ·mean(diag cov(x))·I,

with the second moments of the quantized network's own inputs x (as Frantar et al., OPTQ, arXiv
2210.17323, and Nagel et al., arXiv 2004.10568, have it). It is minimized over the integers of a row
by coordinate descent, one column after the other, each step exact:

    Q_j ← round(Q_j - (H (s·Q - W))_j / (H_jj·s))

λ holds weights back where few images would decide about many of them: without it a classifier
learns its calibration images by heart.
"""

import numpy as np

LIMIT = 127
_SHARES_OF_MAXIMUM = np.linspace(0.7, 1.0, 7)
_SWEEPS = 3
_FEW_CHANGES = 1e-3
_BLOCK = 64
_LEAST_LAMBDA, _MOST_LAMBDA = 0.01, 1.0


def fit(
    weights: np.ndarray, rows: np.ndarray, least_scales: np.ndarray, one_scale: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scales for the weights of a layer.

    Args:
        weights: float (groups, out, in); channels of a group read the same inputs.
        rows: float32 (groups, n, in), a sample of what they read.
        least_scales: (groups, out), below which a channel's bias would not fit int32.
        one_scale: a single scale for the whole layer.

    Returns:
        int8 (groups, out, in) and float32 (groups, out).
    """
    weights = weights.astype(np.float32)
    moments = _moments(rows)
    scales = _scales(weights, moments, least_scales, one_scale)
    return _descend(weights, moments, scales), scales


def nearest(weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Integers, as floating numbers, without regard to anything but the weights themselves."""
    return np.clip(np.rint(weights / scales[..., np.newaxis]), -LIMIT, LIMIT)


def _moments(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=1, keepdims=True)
    moments = np.matmul(centred.transpose(0, 2, 1), centred) / rows.shape[1]
    size = rows.shape[2]
    held_back = np.clip(0.1 * size / rows.shape[1], _LEAST_LAMBDA, _MOST_LAMBDA)
    added = np.maximum(held_back * np.trace(moments, axis1=1, axis2=2) / size, 1e-9)
    return moments + added.astype(np.float32)[:, np.newaxis, np.newaxis] * np.eye(size, dtype="f4")


def _scales(
    weights: np.ndarray, moments: np.ndarray, least: np.ndarray, one_scale: bool
) -> np.ndarray:
    """Of seven shares of max|w|/127 the one whose nearest integers err least."""
    largest = np.abs(weights).max(axis=2)
    if one_scale:
        largest = np.full_like(largest, largest.max())
    candidates, costs = [], []
    for share in _SHARES_OF_MAXIMUM:
        scales = np.maximum(share * np.maximum(largest, 1e-9) / LIMIT, least).astype(np.float32)
        error = nearest(weights, scales) * scales[..., np.newaxis] - weights
        candidates.append(scales)
        costs.append((np.matmul(error, moments) * error).sum(axis=2))
    if one_scale:
        return candidates[int(np.argmin([cost.sum() for cost in costs]))]
    return np.take_along_axis(np.stack(candidates), np.argmin(costs, axis=0)[np.newaxis], 0)[0]


def _descend(weights: np.ndarray, moments: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Blocks of columns, so that the gradient of all others is brought up to date at once."""
    integers = np.ascontiguousarray(nearest(weights, scales).transpose(0, 2, 1))
    scales = scales[:, np.newaxis]  # (groups, 1, out) beside integers (groups, in, out)
    gradient = np.matmul(moments, integers * scales - weights.transpose(0, 2, 1))
    curvature = np.diagonal(moments, axis1=1, axis2=2)[..., np.newaxis] * scales
    for _ in range(_SWEEPS):
        changed = 0
        for start in range(0, integers.shape[1], _BLOCK):
            block = slice(start, start + _BLOCK)
            now, local = integers[:, block].copy(), gradient[:, block].copy()
            for j in range(now.shape[1]):
                step = np.rint(now[:, j] - local[:, j] / curvature[:, start + j])
                step = np.clip(step, -LIMIT, LIMIT) - now[:, j]
                now[:, j] += step
                influence = moments[:, start + j, block, np.newaxis]
                local += influence * (step[:, np.newaxis] * scales)
            difference = now - integers[:, block]
            integers[:, block] = now
            changed += np.count_nonzero(difference)
            gradient += np.matmul(moments[:, :, block], difference * scales)
        if changed < _FEW_CHANGES * integers.size:
            break
    return np.ascontiguousarray(integers.transpose(0, 2, 1)).astype(np.int8)
