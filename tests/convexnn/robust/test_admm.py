"""One step of the robust iteration, and what its fixed points are."""

import numpy as np
import pytest

from convexnn import sample_robust_patterns
from convexnn._measure_robust import ROBUST_LOSSES
from convexnn.robust.admm import COUPLING, RobustIteration, factorize_robust


def problem(loss="hinge", n=15, d=3, P=6, seed=0):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    y = np.where(X[:, 0] + 0.3 * rng.standard_normal(n) > 0, 1.0, -1.0)
    eps = np.append(np.full(d, 0.05), 0.0)
    patterns = sample_robust_patterns(X, P, eps=eps, random_state=seed)
    return X, y, eps, patterns.D


@pytest.mark.parametrize("n", [4, 15])  # more patterns than rows, and fewer
def test_the_coupling_step_is_the_nearest_point_of_the_subspace(n):
    X, y, eps, D = problem(n=n)
    factor = factorize_robust(X, eps, D)
    iteration = RobustIteration(factor, y, 0.1, "hinge")
    rng = np.random.default_rng(1)
    iteration.prox[:] = rng.standard_normal(len(iteration.prox))
    iteration.point[:] = rng.standard_normal(len(iteration.prox))
    wanted = 2 * iteration.prox - iteration.point
    iteration._couple()
    # The subspace Z = c F u by brute force: rows are coordinates of (u, Z).
    P, d = D.shape[1], X.shape[1]
    F = np.concatenate([1.0 * D, -1.0 * D], axis=1)
    basis = np.concatenate([np.eye(2 * P * d), COUPLING * np.kron(F, np.eye(d))])
    coefficients = np.linalg.lstsq(basis, wanted, rcond=None)[0]
    np.testing.assert_allclose(iteration._image, basis @ coefficients, atol=1e-10)


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
def test_a_fixed_point_satisfies_the_optimality_conditions(loss):
    X, y, eps, D = problem(loss)
    factor = factorize_robust(X, eps, D)
    alpha = 0.2
    iteration = RobustIteration(factor, y, alpha, loss)
    for _ in range(1500):
        iteration.advance()
        if iteration.is_stationary():
            break
    blocks, dual = iteration.blocks(), iteration.theta()
    P = D.shape[1]
    zeta = factor.D.T @ (blocks[:P] - blocks[P:])
    z, size = np.sum(factor.A * zeta, axis=1), np.abs(zeta) @ factor.eps
    # Theta is a subgradient: Fenchel's equality holds for every sample.
    value = ROBUST_LOSSES[loss].value(z, size, y)
    conjugate = ROBUST_LOSSES[loss].dual(dual.theta, dual.amplitude, y)
    product = np.sum(dual.Theta * zeta, axis=1)
    np.testing.assert_allclose(value, conjugate - product, atol=1e-6)
    # Active blocks have gradient norm alpha and point along it.
    half = factor.D @ dual.Theta
    G = np.concatenate([half, -half])
    scaled = alpha * factor.scale
    values = np.sum(G * blocks, axis=1)
    norms = np.linalg.norm(blocks, axis=1)
    np.testing.assert_allclose(values, scaled * norms, atol=1e-6)
    assert norms.max() > 0.1


def test_a_start_is_where_the_iteration_starts():
    X, y, eps, D = problem()
    factor = factorize_robust(X, eps, D)
    start = np.random.default_rng(0).standard_normal((factor.n_blocks, X.shape[1]))
    iteration = RobustIteration(factor, y, 0.1, "hinge", x0=start)
    q = start[: D.shape[1]] - start[D.shape[1] :]
    m = start.size
    np.testing.assert_allclose(iteration.point[:m], start.ravel())
    expected = COUPLING * (factor.D.T @ q).ravel()
    np.testing.assert_allclose(iteration.point[m:], expected)


def test_weights_there_and_back():
    X, _, eps, D = problem()
    factor = factorize_robust(1e6 * X, 1e6 * eps, D)
    weights = np.random.default_rng(0).standard_normal((X.shape[1], D.shape[1]))
    np.testing.assert_allclose(factor.to_user(factor.to_internal(weights)), weights)
    np.testing.assert_allclose(
        factor.A @ factor.to_internal(weights).T, 1e6 * X @ weights
    )
    assert np.mean(np.sum(factor.A**2, axis=1)) == pytest.approx(1.0)
    np.testing.assert_allclose(factor.eps / factor.scale, 1e6 * eps)
