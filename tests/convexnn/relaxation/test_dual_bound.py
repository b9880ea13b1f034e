"""Bounds on the dual constraint: above every unit vector, exact where they can be."""

import numpy as np
import pytest

from convexnn import global_bound
from convexnn._measure_global import leaf_bound
from convexnn.relaxation.dual_bound import METHODS
from farkas.status import Status


def instance(seed, n=None, d=None):
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(1, 13))
    d = d or int(rng.integers(1, 5))
    return rng.standard_normal((n, d)), rng.standard_normal(n)


def search(X, theta, seed=0, starts=200, steps=100):
    """Estimate max |theta'(Xu)_+| by projected gradient steps from many starts."""
    rng = np.random.default_rng(seed)
    best = 0.0
    for g in (theta, -theta):
        u = rng.standard_normal((X.shape[1], starts))
        u /= np.linalg.norm(u, axis=0)
        values, pace = g @ np.maximum(X @ u, 0), np.ones(starts)
        for _ in range(steps):
            slope = X.T @ ((X @ u > 0) * g[:, None])
            trial = u + pace * slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-12)
            trial /= np.maximum(np.linalg.norm(trial, axis=0), 1e-12)
            new = g @ np.maximum(X @ trial, 0)
            better = new > values
            u[:, better], values[better] = trial[:, better], new[better]
            pace = np.where(better, np.minimum(1.5 * pace, 4.0), 0.5 * pace)
        best = max(best, values.max())
    return best


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(6))
def test_no_unit_vector_exceeds_the_bound(method, seed):
    X, theta = instance(seed)
    result = global_bound(X, theta, method=method, max_iter=100)
    assert result.fun >= search(X, theta) * (1 - 1e-12)
    assert result.fun == result.bounds.max()


@pytest.mark.parametrize("seed", range(4))
def test_the_methods_are_ordered_by_tightness(seed):
    X, theta = instance(seed, n=8, d=3)
    bounds = [
        global_bound(X, theta, method=method, max_iter=400).fun
        for method in ("enumerate", "dnn", "shor", "elementary")
    ]
    assert (np.diff(bounds) >= -1e-3 * bounds[0]).all()
    assert bounds[0] == pytest.approx(search(X, theta), rel=1e-6)


def test_a_dual_point_of_a_large_penalty_is_bounded_exactly():
    rng = np.random.default_rng(0)
    X, theta = rng.standard_normal((10, 2)), rng.random(10)
    exact = global_bound(X, theta, method="enumerate").fun
    assert global_bound(X, theta, max_iter=600).fun == pytest.approx(exact, rel=1e-3)


def test_the_proof_can_be_redone():
    X, theta = instance(3, n=6, d=3)
    result = global_bound(X, theta, max_iter=100)
    for sign, bound, proof in zip(
        (1, -1), result.bounds, result.lower_certificate, strict=True
    ):
        assert leaf_bound(X, sign * theta, proof) == bound


def test_it_scales_with_the_data():
    X, theta = instance(2, n=6, d=3)
    one = global_bound(X, theta, max_iter=200).fun
    assert global_bound(2.0**40 * X, theta, max_iter=200).fun == pytest.approx(
        2.0**40 * one, rel=1e-9
    )
    assert global_bound(X, 1e-6 * theta, max_iter=200).fun == pytest.approx(
        1e-6 * one, rel=1e-3
    )


def test_zero_weights_and_zero_rows_are_bounded():
    X, theta = instance(5, n=5, d=2)
    assert global_bound(X, np.zeros(5)).fun < 1e-6
    assert global_bound(np.zeros((3, 2)), np.ones(3)).fun < 1e-6
    X[2] = 0.0
    result = global_bound(X, theta, max_iter=200)
    assert result.fun >= search(X, theta)


def test_it_stops_for_the_reason_it_says():
    X, theta = instance(7, n=8, d=3)
    loose = global_bound(X, theta, method="elementary")
    assert loose.status is Status.CONVERGED
    assert global_bound(X, theta, max_iter=3).status is Status.MAX_ITER
    assert global_bound(X, theta, max_time=0.0).status is Status.MAX_TIME
    assert global_bound(X, theta, target=1.1 * loose.fun).nit == 0
    tight = global_bound(X, theta, tol=1e-3)
    assert tight.success
    assert (np.diff(tight.history["iteration"]) >= 0).all()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"X": np.ones(3)}, "X"),
        ({"X": np.full((3, 2), np.nan)}, "X"),
        ({"theta": np.ones(2)}, "theta"),
        ({"theta": np.full(3, np.inf)}, "theta"),
        ({"method": "guess"}, "method"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": -1}, "max_iter"),
        ({"max_time": -1.0}, "max_time"),
        ({"target": -1.0}, "target"),
    ],
)
def test_bad_arguments_are_named(changes, name):
    arguments = {"X": np.ones((3, 2)), "theta": np.ones(3)} | changes
    with pytest.raises(ValueError, match=name):
        global_bound(arguments.pop("X"), arguments.pop("theta"), **arguments)


def test_too_many_rows_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="2001 rows.*scope='patterns'"):
        global_bound(np.ones((2001, 1)), np.ones(2001))
