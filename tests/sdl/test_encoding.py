"""Codes of new data against least squares, NNLS and cvxpy."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls

from sdl import encode, make_sdl_classification

RNG = np.random.default_rng(0)
W = RNG.standard_normal((8, 3))
X = RNG.standard_normal((6, 8))


def test_free_codes_are_least_squares():
    exact = np.linalg.lstsq(W, X.T, rcond=None)[0].T
    assert encode(X, W).codes == pytest.approx(exact)
    assert encode(sparse.csr_matrix(X), W).codes == pytest.approx(exact)
    doubled = encode(X, np.hstack([W, W])).codes
    assert doubled[:, :3] + doubled[:, 3:] == pytest.approx(exact)


def test_nonnegative_codes_are_nnls():
    exact = np.array([nnls(W, x)[0] for x in X])
    assert encode(X, W, nonnegative=True).codes == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_penalised_codes_in_a_ball(nonnegative):
    import cvxpy as cp

    for max_norm in (0.0, 0.4):
        found = encode(
            X, W, xi=0.5, nonnegative=nonnegative, l1=0.3, l2=0.2, max_norm=max_norm
        ).codes
        for x, code in zip(X[:3], found, strict=False):
            h = cp.Variable(3)
            value = 0.5 * cp.sum_squares(x - W @ h) + 0.3 * cp.norm1(h)
            value = value + 0.1 * cp.sum_squares(h)
            limits = [h >= 0] * nonnegative + [cp.norm(h) <= max_norm] * bool(max_norm)
            cp.Problem(cp.Minimize(value), limits).solve(solver=cp.CLARABEL)
            assert code == pytest.approx(h.value, abs=1e-4)


def test_missing_entries_are_left_out():
    holes = X.copy()
    holes[0, :3] = np.nan
    codes = encode(holes, W).codes
    exact = np.linalg.lstsq(W[3:], X[0, 3:], rcond=None)[0]
    assert codes[0] == pytest.approx(exact)
    assert codes[1:] == pytest.approx(encode(X, W).codes[1:])


def test_alternating_settles_on_soft_labels():
    beta = RNG.standard_normal((3, 2))
    found = encode(
        X, W, method="alternate", beta=beta, Gamma=np.ones((1, 2)), Z=np.ones((6, 1))
    )
    D = found.codes @ beta + 1.0
    P = np.exp(np.column_stack([np.zeros(6), D]))
    assert found.probabilities == pytest.approx(P / P.sum(axis=1, keepdims=True))
    slope = 2.0 * (found.codes @ W.T @ W - X @ W) + found.codes @ beta @ beta.T
    assert np.abs(slope).max() <= 1e-4  # labels equal probabilities there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "guess"}, "method='guess'"),
        ({"method": "map"}, "needs beta"),
        ({"method": "map", "beta": np.ones((3, 1)), "nonnegative": True}, "free codes"),
        ({"W": np.ones((5, 2))}, "features differ"),
    ],
    ids=str,
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        encode(X, **{"W": W} | arguments)


def test_simulated_data_keep_their_promises():
    data = make_sdl_classification(
        2000, 20, 3, n_classes=3, n_covariates=2, noise=0.0, random_state=0
    )
    assert np.linalg.matrix_rank(data.X) == 3
    assert data.W.T @ data.W == pytest.approx(np.eye(3))
    assert np.bincount(data.y) == pytest.approx(
        2000 * data.probabilities.mean(axis=0), abs=90
    )
    rare = make_sdl_classification(4000, 10, 2, positive_rate=0.05, random_state=0)
    assert rare.probabilities[:, 1].mean() == pytest.approx(0.05, abs=1e-9)
    assert rare.y.mean() == pytest.approx(0.05, abs=0.015)
    images = make_sdl_classification(
        60, n_components=4, recipe="mismatch", random_state=1
    )
    assert images.X.shape == (60, 64)
    parts = make_sdl_classification(
        50, 9, 2, nonnegative=True, model="feature", noise=0
    )
    assert parts.X.min() >= 0


def test_estimates_approach_the_truth():
    from sdl import lpgd

    errors = []
    for n in (200, 3200):
        data = make_sdl_classification(n, 10, 2, noise=0.3, random_state=3)
        A = lpgd(data.X, data.y, 2, xi=10.0, alpha=0.1).x
        truth = data.W @ data.beta
        errors.append(
            np.linalg.norm(A["W"] @ A["beta"] - truth) / np.linalg.norm(truth)
        )
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "other"}, "recipe"),
        ({"n_samples": 1}, "n_samples"),
        ({"n_components": 51}, "n_components=51"),
        ({"noise": -1.0}, "noise"),
        ({"positive_rate": 1.0}, "positive_rate"),
        ({"positive_rate": 0.5, "n_classes": 3}, "n_classes=2"),
    ],
    ids=str,
)
def test_bad_recipes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_sdl_classification(**arguments)
