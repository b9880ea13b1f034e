"""Robust kernels against brute force: all half-spaces of a cone, corners of a box."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from convexnn._measure_robust import ROBUST_LOSSES
from convexnn.robust import _kernels
from convexnn.robust.admm import _PROX
from convexnn.robust.cones import RobustConeProjector

SEEDS = st.integers(0, 2**32 - 1)


def brute_projection(g, A, d, eps):
    """Project onto all half-spaces of the cone at once."""
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(g))))
    S = 2.0 * d - 1.0
    B = (S[:, None, None] * A[:, None, :] - signs * eps).reshape(-1, len(g))
    lam, _ = nnls(B.T, -g, maxiter=100_000)
    return g + B.T @ lam


def largest_loss(z, x, y, eps, loss):
    """The loss of a linear prediction on the worst corner of the box."""
    corners = np.array(list(itertools.product((1.0, -1.0), repeat=len(x)))) * eps
    value = ROBUST_LOSSES[loss].value
    none = np.zeros(len(corners))
    return value((x + corners) @ z, none, np.full(len(corners), y)).max()


@settings(max_examples=150)
@given(SEEDS)
def test_projection_equals_that_onto_all_half_spaces(seed):
    rng = np.random.default_rng(seed)
    n, d, m = int(rng.integers(1, 8)), int(rng.integers(1, 5)), 3
    A = rng.standard_normal((n, d))
    A[rng.random((n, d)) < 0.2] = 0.0
    eps = rng.choice([0.0, 0.03, 0.2, 0.5]) * rng.random(d) * (rng.random(d) < 0.8)
    D = (rng.random((m, n)) < 0.5).astype(float)
    D[0] = A @ rng.standard_normal(d) >= 0
    D[1] = 1.0
    project = RobustConeProjector(A, eps, D)
    for _ in range(3):  # from nothing, then from what the call before left
        g = rng.standard_normal((m, d))
        p = project(g)
        lam = project.multipliers()
        for i in range(m):
            expected = brute_projection(g[i], A, D[i], eps)
            np.testing.assert_allclose(p[i], expected, atol=1e-8)
            S = 2.0 * D[i] - 1.0
            assert (S * (A @ p[i])).min() >= np.abs(p[i]) @ eps - 1e-10
            assert abs(p[i] @ (g[i] - p[i])) <= 1e-10 * (g[i] @ g[i])  # Moreau
            h = g[i] + A.T @ (S * lam[i])
            soft = np.maximum(np.abs(h) - eps * lam[i].sum(), 0.0)
            assert np.linalg.norm(soft) <= np.linalg.norm(p[i]) + 1e-9


def test_a_start_below_the_threshold_is_left_alone():
    A, eps, D = np.eye(2), np.full(2, 0.1), np.ones((1, 2))
    project = RobustConeProjector(A, eps, D)
    g = np.array([[-3.0, 0.1]])
    exact = project(g).copy()
    fresh = RobustConeProjector(A, eps, D)
    assert np.linalg.norm(fresh(g, 10.0)) <= 10.0
    np.testing.assert_allclose(fresh(g), exact)


def test_a_trivial_cone_projects_to_zero():
    A, eps = np.array([[1.0, 0.2], [0.5, -0.1]]), np.array([2.0, 2.0])
    project = RobustConeProjector(A, eps, np.ones((1, 2)))
    assert np.abs(project(np.array([[3.0, -1.0]]))).max() <= 1e-12


def test_restored_state_continues_bit_for_bit():
    rng = np.random.default_rng(0)
    A, eps = rng.standard_normal((9, 4)), np.full(4, 0.05)
    D = (A @ rng.standard_normal((4, 5)) >= 0).T.astype(float)
    first = RobustConeProjector(A, eps, D)
    points = rng.standard_normal((2, 5, 4))
    first(points[0])
    second = RobustConeProjector(A, eps, D)
    second.restore(first.state())
    np.testing.assert_array_equal(first(points[1]), second(points[1]))


@pytest.mark.parametrize("loss", _PROX)
@settings(max_examples=100)
@given(seed=SEEDS, exponent=st.floats(-3, 3))
def test_prox_is_optimal_and_its_subgradient_is_in_the_box(loss, seed, exponent):
    rng = np.random.default_rng(seed)
    n, d, rho = 4, int(rng.integers(1, 5)), 10.0**exponent
    a, X = rng.standard_normal((n, d)), rng.standard_normal((n, d))
    eps = 0.4 * rng.random(d) * (rng.random(d) < 0.8)
    y = rng.standard_normal(n)
    if ROBUST_LOSSES[loss].labels:
        y = np.where(y > 0, 1.0, -1.0)
    if seed % 4 == 0:  # the kinks: x'a = y, and a on the axes
        y = np.sum(a * X, axis=1) if not ROBUST_LOSSES[loss].labels else y
        a[:, 0] = 0.0
    z, theta, b = np.empty((n, d)), np.empty(n), np.empty(n)
    _PROX[loss](a, X, eps, y, rho, z, theta, b)
    Theta = rho * (z - a)
    width = b[:, None] * eps + 1e-9 * (1 + rho)
    assert (np.abs(Theta - theta[:, None] * X) <= width).all()
    inside, amplitude = ROBUST_LOSSES[loss].project(theta, b, y)
    np.testing.assert_allclose(inside, theta, atol=1e-12 * (1 + rho))
    np.testing.assert_allclose(amplitude, b, atol=1e-12 * (1 + rho))
    # Weak duality of each row closes: z minimises, and (theta, b, Theta) proves it.
    value = [largest_loss(z[k], X[k], y[k], eps, loss) for k in range(n)]
    primal = np.array(value) + rho / 2 * np.sum((z - a) ** 2, axis=1)
    dual = ROBUST_LOSSES[loss].dual(theta, b, y)
    dual = dual - np.sum(Theta * a, axis=1) - np.sum(Theta**2, axis=1) / (2 * rho)
    np.testing.assert_allclose(primal, dual, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", _PROX)
def test_prox_without_a_radius_is_that_of_the_loss(loss):
    from convexnn.prox import PROX

    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 1))
    x[x[:, 0] == 0] = 1.0
    y = np.where(rng.random(50) > 0.5, 1.0, -1.0)
    a, rho = rng.standard_normal((50, 1)), 0.7
    z, theta, b = np.empty((50, 1)), np.empty(50), np.empty(50)
    _PROX[loss](a, np.ones((50, 1)), np.zeros(1), y, rho, z, theta, b)
    np.testing.assert_allclose(z[:, 0], PROX[loss](a[:, 0], y, rho), atol=1e-12)


def test_kernels_compile_in_the_warm_up():
    _kernels.compile_all()
