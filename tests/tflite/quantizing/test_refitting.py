"""Refitted weights err less on the layer's inputs than weights rounded to nearest."""

import itertools

import numpy as np

from tflite.quantizing import refitting


def correlated(groups=1, count=500, size=6, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(0, 1, (groups, size, size)) + 2
    return (rng.normal(0, 1, (groups, count, size)) @ mixing + 1).astype(np.float32)


def error(weights, stored, scales, rows) -> np.ndarray:
    """Variance of the output error of every output channel."""
    lost = stored * scales[..., np.newaxis] - weights
    return np.var(rows @ lost.transpose(0, 2, 1), axis=1)


def test_no_channel_is_worse_than_rounded_to_nearest():
    rows = correlated(groups=3, size=40)
    weights = np.random.default_rng(1).normal(0, 1, (3, 16, 40)).astype(np.float32)
    stored, scales = refitting.fit(weights, rows, np.zeros((3, 16)))
    nearest = refitting.nearest(weights, scales)
    refitted = error(weights, stored, scales, rows)
    assert (refitted <= error(weights, nearest, scales, rows) * 1.001).all()
    assert refitted.mean() < 0.3 * error(weights, nearest, scales, rows).mean()


def test_two_weights_are_the_best_integers_there_are():
    """Against all integers nearby, tried one by one, under the same moments."""
    rows = correlated(size=2)
    weights = np.array([[[0.31, -0.77]]], np.float32)
    stored, scales = refitting.fit(weights, rows, np.zeros((1, 1)))
    moments = np.cov(rows[0].T, bias=True)
    moments += 0.01 * np.trace(moments) / 2 * np.eye(2)
    start = np.rint(weights[0, 0] / scales[0, 0])

    def cost(integers):
        lost = np.asarray(integers) * scales[0, 0] - weights[0, 0]
        return lost @ moments @ lost

    around = itertools.product(*(np.arange(s - 6, s + 7) for s in start))
    best = min(around, key=cost)
    assert cost(stored[0, 0]) <= 1.05 * cost(best)


def test_a_huge_bias_gets_a_scale_that_it_fits():
    weights = np.full((1, 2, 6), 1e-6, np.float32)
    _, scales = refitting.fit(weights, correlated(), np.array([[0.5, 0.0]]))
    assert scales[0, 0] >= 0.5
    assert scales[0, 1] < 1e-7


def test_one_scale_for_all_channels_where_the_file_has_one():
    weights = np.random.default_rng(1).normal(0, 1, (1, 4, 6)).astype(np.float32)
    _, scales = refitting.fit(weights, correlated(), np.zeros((1, 4)), one_scale=True)
    assert len(set(scales.ravel().tolist())) == 1


def test_inputs_that_are_always_zero_do_no_harm():
    rows = correlated(size=6)
    rows[:, :, 2] = 0
    weights = np.random.default_rng(1).normal(0, 1, (1, 4, 6)).astype(np.float32)
    stored, scales = refitting.fit(weights, rows, np.zeros((1, 4)))
    assert np.isfinite(scales).all()
    assert np.abs(stored * scales[..., np.newaxis] - weights)[..., 2].max() < 0.1
