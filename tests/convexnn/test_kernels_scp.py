"""Kernels of the sampled convex program against NumPy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from sklearn.linear_model import Lasso

from convexnn import _kernels_scp


def lasso(columns, y, alpha, *, nonnegative=False, tol=1e-10, start=None):
    a = np.zeros(len(columns)) if start is None else start.copy()
    _kernels_scp.lasso(
        columns @ columns.T, columns @ y, alpha, tol, 2000, nonnegative, a
    )
    return a


def test_prices_and_combinations_are_products():
    rng = np.random.default_rng(0)
    features, theta = rng.random((7, 5)), rng.standard_normal(5)
    coef = rng.standard_normal(7) * (rng.random(7) < 0.5)
    scores, out = np.full(7, 9.0), np.empty(5)
    _kernels_scp.price(features, np.array([1, 4]), theta, scores)
    assert scores[[1, 4]] == pytest.approx(features[[1, 4]] @ theta, rel=1e-14)
    assert (scores[[0, 2, 3, 5, 6]] == 9.0).all()
    _kernels_scp.combine(features, coef, out)
    assert out == pytest.approx(coef @ features, rel=1e-13)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.integers(1, 30),
    st.integers(1, 12),
    st.sampled_from([1e-3, 0.1, 2.0]),
    st.booleans(),
)
def test_kkt_conditions_hold(seed, k, n, alpha, nonnegative):
    rng = np.random.default_rng(seed)
    columns, y = np.maximum(rng.standard_normal((k, n)), 0), rng.standard_normal(n)
    columns[k // 2] = columns[0]  # a repeated column
    if seed % 3 == 0:
        columns[-1] = 0.0
    start = rng.standard_normal(k) if seed % 2 else None
    if nonnegative and start is not None:
        start = np.abs(start)
    a = lasso(columns, y, alpha, nonnegative=nonnegative, start=start)
    g = columns @ (y - a @ columns)
    room = 1e-7 * max(alpha, 1.0)
    used = np.linalg.norm(columns, axis=1) > 0
    assert (g <= alpha + room)[used].all()
    if nonnegative:
        assert (a >= 0).all()
    else:
        assert (g >= -alpha - room).all()
    on = (a != 0) & used
    assert g[on] == pytest.approx(alpha * np.sign(a[on]), abs=room)


def test_nonnegative_without_penalty_is_nnls():
    rng = np.random.default_rng(1)
    columns, y = rng.standard_normal((6, 20)), rng.standard_normal(20)
    expected, _ = nnls(columns.T, y)
    a = lasso(columns, y, 1e-12, nonnegative=True)
    assert a == pytest.approx(expected, abs=1e-8)


def test_correlated_columns_agree_with_scikit_learn():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((60, 3))
    columns = np.maximum(rng.standard_normal((150, 3)) @ X.T, 0)
    y = np.sin(2 * X[:, 0])
    peer = Lasso(0.3 / 60, fit_intercept=False, tol=1e-13, max_iter=10**6)
    peer.fit(columns.T, y)
    a = lasso(columns, y, 0.3)
    for coef in (a, peer.coef_):
        value = 0.5 * np.sum((y - coef @ columns) ** 2) + 0.3 * np.abs(coef).sum()
        assert value == pytest.approx(
            0.5 * np.sum((y - a @ columns) ** 2) + 0.3 * np.abs(a).sum(), rel=1e-9
        )


def test_the_number_of_epochs_is_returned_and_limited():
    G, q = np.eye(2), np.array([3.0, 0.1])
    a = np.zeros(2)
    assert _kernels_scp.lasso(G, q, 1.0, 1e-12, 50, False, a) == 1
    assert a.tolist() == [2.0, 0.0]
    a = np.zeros(2)
    G = np.array([[1.0, 0.99], [0.99, 1.0]])
    assert _kernels_scp.lasso(G, q + 3, 1.0, 1e-300, 3, False, a) == 3


def test_warmup_runs_them():
    _kernels_scp.compile_scp()
    assert _kernels_scp.lasso.signatures
