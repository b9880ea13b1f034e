"""The kernels against textbook loops, NumPy and the head of the lifted solver."""

import array_api_compat.numpy as xp
import numpy as np
import pytest

from farkas.kernels import prepare
from sdl._kernels import (
    _log_one_plus,
    atom_moments,
    atom_sweeps,
    code_moments,
    hals_sweeps,
    label_values,
    newton_head,
)
from sdl._measure import label_losses
from sdl._measure_stationarity import probabilities
from sdl.head import Head


def textbook(H, L, T, a, C, b, l1, l2, nonnegative, sweeps):
    for i in range(len(H)):
        matrix = a[i] * T + b[i] * C + l2 * np.eye(len(T))
        for _ in range(sweeps):
            before = H[i].copy()
            for j in range(len(T)):
                if matrix[j, j] <= 0:
                    continue
                rest = matrix[j] @ H[i] - matrix[j, j] * H[i, j]
                z = (L[i, j] - rest) / matrix[j, j]
                t = l1 / matrix[j, j]
                H[i, j] = (
                    max(z - t, 0) if nonnegative else np.sign(z) * max(abs(z) - t, 0)
                )
    return np.abs(H[i] - before).max()


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("l1", [0.0, 0.3])
def test_sweeps_are_those_of_the_textbook(nonnegative, l1):
    rng = np.random.default_rng(0)
    T, C = (B.T @ B for B in rng.standard_normal((2, 5, 3)))
    T[2] = T[:, 2] = C[2] = C[:, 2] = 0.0  # a dead atom is left alone
    L, a, b = rng.standard_normal((4, 3)), rng.random(4), rng.random(4)
    L[:, 2] = 0.0
    mine, other = prepare(np.ones((3, 4))), np.ones((4, 3))
    rest = (T, a, C, b, l1, 0.0, nonnegative, 2)
    hals_sweeps(mine, prepare(L.T), *rest)
    textbook(other, L, *rest)
    assert mine.T == pytest.approx(other, abs=1e-13)


def test_the_largest_change_is_that_of_the_last_sweep():
    H = np.zeros((1, 1))
    one = np.ones((1, 1))
    a = np.ones(1)
    assert hals_sweeps(H, 5.0 * one, one, a, 0 * one, 0 * a, 0.0, 0.0, True, 1) == 5.0
    assert hals_sweeps(H, 5.0 * one, one, a, 0 * one, 0 * a, 0.0, 0.0, True, 2) == 0.0


def descent(W, W0, XtH, pull, S, G, beta, xi, nu, bend, l1, l2):
    """Value that atom_sweeps descends on, rows of W being atoms."""
    E, A = (W - W0).T @ beta, W.T @ beta
    value = xi * (np.trace(W.T @ S @ W) - 2 * np.sum(W * XtH)) + l1 * np.abs(W).sum()
    value += 0.5 * l2 * np.sum(W * W)
    if len(G):
        value += np.sum(pull * E.T) + 0.5 * bend * np.trace(E.T @ G @ E)
        value += 0.5 * nu * np.sum(A * A)
    return value


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("K", [1, 2])
def test_atom_sweeps_reach_the_minimum_of_their_model(nonnegative, seen, K):
    rng = np.random.default_rng(K)
    r, p = 3, 7
    S, G = (B.T @ B for B in (rng.standard_normal((9, r)), rng.standard_normal((9, p))))
    G = G if seen else np.empty((0, 0))
    XtH, pull = 3 * rng.standard_normal((r, p)), rng.standard_normal((K, p))
    beta = rng.standard_normal((r, K))
    W0 = np.abs(rng.standard_normal((r, p)))
    rest = (XtH, pull, S, G, beta, 0.7, 0.3, 0.2, 0.1, 0.05)
    values = [descent(W0, W0, *rest)]
    for sweeps in (1, 2, 3, 3000):
        W = W0.copy()
        atom_sweeps(W, *rest, nonnegative, sweeps)
        values.append(descent(W, W0, *rest))
    assert (np.diff(values) <= 0).all()
    best = values[-1]
    assert W.min() >= 0 or not nonnegative
    for _ in range(200):  # a convex problem: no small feasible move is better
        other = W + 1e-3 * rng.standard_normal(W.shape)
        other = np.maximum(other, 0.0) if nonnegative else other
        assert descent(other, W0, *rest) >= best - 1e-10 * abs(best)


def test_moments_are_those_of_numpy():
    rng = np.random.default_rng(0)
    H, v = rng.standard_normal((3, 8)), rng.random(8)
    P, Y, omega = rng.random((2, 8)), rng.random((2, 8)), rng.random(8)
    S, rows = np.empty((3, 3)), np.empty((5, 8))
    code_moments(H, v, P, Y, omega, S, rows)
    assert rows == pytest.approx(np.vstack([H * v, omega * (P - Y)]))
    assert pytest.approx((H * v) @ H.T) == S
    W, XtH, T = (
        rng.standard_normal((3, 7)),
        rng.standard_normal((3, 7)),
        np.empty((3, 3)),
    )
    value = atom_moments(W, XtH, S, T)
    assert pytest.approx(W @ W.T) == T
    assert value == pytest.approx(np.sum(S * T) - 2 * np.sum(W * XtH))


def test_the_logarithm_without_a_call_is_exact_to_rounding():
    e = np.r_[0.0, 1e-300, 10.0 ** -np.arange(20.0), np.linspace(0.0, 1.0, 999)]
    found = np.array([_log_one_plus(x) for x in e])
    assert found == pytest.approx(np.log1p(e), rel=1e-15, abs=0.0)


@pytest.mark.parametrize("K", [1, 3])
def test_label_values_are_those_of_the_measure(K):
    rng = np.random.default_rng(K)
    M, theta = rng.standard_normal((4, 30)), rng.standard_normal((4, K))
    theta[0] = 300.0  # saturated scores must not overflow
    Y = np.eye(K + 1)[rng.integers(0, K + 1, 30)][:, 1:].T.copy()
    omega, P = rng.random(30), np.empty((K, 30))
    loss = label_values(M, theta, Y, omega, P)
    assert loss == pytest.approx(omega @ label_losses(M.T @ theta, Y.T), rel=1e-12)
    assert P.T == pytest.approx(probabilities(M.T @ theta), abs=1e-14)


@pytest.mark.parametrize("K", [1, 2])
def test_newton_reaches_the_head_of_the_lifted_solver(K):
    rng = np.random.default_rng(K)
    n, r = 60, 3
    F, Z = rng.standard_normal((n, r)), np.ones((n, 1))
    Y = np.eye(K + 1)[rng.integers(0, K + 1, n)][:, 1:]
    omega = rng.random(n) + 0.5
    head = Head(Y, Z, omega, np.array([False]), 0.3, 1.0, xp, "cpu")
    best = head.minimise(F, np.zeros((r, K)), np.zeros((1, K)))
    M, Q = prepare(np.vstack([F.T, Z.T])), np.diag([0.3, 0.3, 0.3, 0.0])
    theta, P = np.full((r + 1, K), 2.0), np.empty((K, n))
    arguments = (M, theta, Q, prepare(Y.T), omega, P)
    assert (
        newton_head(*arguments, 1.0, 5)[0] == np.inf
    )  # the start lies above the limit
    assert (theta == 2.0).all()
    values = [newton_head(*arguments, np.inf, 1)[0] for _ in range(12)]
    assert (np.diff(values) <= 1e-12 * values[0]).all()
    assert values[-1] == pytest.approx(best.value, rel=1e-12)
    loss = newton_head(*arguments, np.inf, 1)[1]
    assert loss == pytest.approx(best.label_loss, rel=1e-6)
    assert theta == pytest.approx(np.vstack([best.beta, best.Gamma]), abs=1e-6)


def test_newton_leaves_flat_directions_alone():
    M = np.zeros((2, 6))
    M[0] = [1, 2, 3, -1, -2, 1]
    Y = np.array([[1.0, 1, 0, 0, 1, 0]])
    theta = np.zeros((2, 1))
    newton_head(M, theta, np.zeros((2, 2)), Y, np.ones(6), np.empty((1, 6)), np.inf, 9)
    assert theta[1, 0] == 0.0
    assert np.isfinite(theta[0, 0])
    assert theta[0, 0] != 0.0
