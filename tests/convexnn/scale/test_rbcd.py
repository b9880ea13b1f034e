"""The paper's splitting with its u-step finds the same optimum, more slowly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farkas
from convexnn import sample_patterns, solve_gated, solve_relu
from convexnn._measure_losses import HUBER_DELTA, LOSSES
from convexnn.admm import reduce
from convexnn.scale._kernels import descend_blocks
from convexnn.scale.rbcd import ARMIJO, GROW, SHRINK, SMOOTH, RandomizedIteration
from farkas.checkpoint import load, save

SOLVE = {"relu": solve_relu, "gated": solve_gated}


def data(n=30, P=6):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((n, 2)), np.ones(n)])
    y = np.where(np.abs(X[:, 0]) + 0.3 * X[:, 1] > 0.7, 1.0, -1.0)
    return X, y, sample_patterns(X, P, random_state=0)


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_the_optimum_is_that_of_the_factored_u_step(activation, loss):
    X, y, patterns = data()
    options = {"alpha": 0.3, "loss": loss}
    reference = SOLVE[activation](X, y, patterns, tol=1e-7, **options)
    result = SOLVE[activation](X, y, patterns, u_update="rbcd", tol=1e-4, **options)
    assert result.success
    assert result.fun == pytest.approx(reference.fun, rel=1e-4)
    assert farkas.verify(result.certificate, X, y)


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("activation", ["relu", "gated"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_descent_reaches_the_minimum(activation, loss, seed):
    rng = np.random.default_rng(seed)
    n, r, P, rho = 8, 2, 3, 0.7
    copies = 2 if activation == "relu" else 1
    A = rng.standard_normal((n, r))
    D = (rng.random((P, n)) < 0.6).astype(np.float64)
    B = np.eye(r) + A.T @ A
    centers, u = rng.standard_normal((2, copies * P, r))
    y = rng.choice([-1.0, 1.0], n)
    halves = [d[:, None] * A for d in D]
    F = np.concatenate(halves + [-half for half in halves][: P * (copies - 1)], axis=1)
    prediction = F @ u.ravel()

    def objective(u):
        quadratic = 0.5 * np.sum((u @ B) * u) - np.sum(centers * u)
        return LOSSES[loss].value(F @ u.ravel(), y).sum() + rho * quadratic

    values = [objective(u)]
    for _ in range(8):
        order = rng.integers(P, size=60)
        step, steps = descend_blocks(
            A, D, B, np.linalg.cholesky(B), centers, u, prediction, y, SMOOTH[loss],
            HUBER_DELTA, rho, order, 1.0, 1e-3, 60, 0.0, SHRINK, GROW, ARMIJO,
        )  # fmt: skip
        values.append(objective(u))
    assert step >= 1e-3
    assert steps <= 60
    assert (np.diff(values) <= 1e-12 * abs(values[0])).all()
    slope = -LOSSES[loss].theta(F @ u.ravel(), y)
    gradient = (F.T @ slope).reshape(u.shape) + rho * (u @ B - centers)
    assert gradient == pytest.approx(np.zeros_like(u), abs=1e-6)
    assert prediction == pytest.approx(F @ u.ravel(), abs=1e-10)


def test_a_loose_threshold_stops_early():
    rng = np.random.default_rng(0)
    A, D = rng.standard_normal((8, 2)), np.ones((3, 8))
    B, y = np.eye(2) + A.T @ A, rng.choice([-1.0, 1.0], 8)
    steps = []
    for threshold in (1e-3, 0.0):
        _, count = descend_blocks(
            A, D, B, np.linalg.cholesky(B), np.zeros((6, 2)), np.zeros((6, 2)),
            np.zeros(8), y, 0, 1.0, 1.0, rng.integers(3, size=300), 1.0, 0.1, 2,
            threshold, SHRINK, GROW, ARMIJO,
        )  # fmt: skip
        steps.append(count)
    assert steps[0] < steps[1]


def test_two_halves_equal_the_whole(tmp_path):
    X, y, patterns = data()
    options = {"alpha": 0.3, "u_update": "rbcd", "tol": 0.0}
    whole = solve_relu(X, y, patterns, max_iter=100, **options)
    half = solve_relu(X, y, patterns, max_iter=50, **options)
    save(tmp_path / "half.npz", half.state)
    state = load(tmp_path / "half.npz")
    other = solve_relu(X, y, patterns, max_iter=100, state=state, **options)
    assert other.nit == whole.nit == 100
    for name in ("rbcd_u", "rbcd_v", "rbcd_nu"):
        assert np.array_equal(other.state[name], whole.state[name])


def test_it_starts_where_it_is_told():
    X, y, patterns = data()
    found = solve_relu(X, y, patterns, alpha=0.3, tol=1e-8)
    factor = reduce(X, patterns.D, "relu")
    blocks = np.concatenate([factor.to_internal(part) for part in found.x])
    iteration = RandomizedIteration(factor, y, 0.3, "squared", x0=blocks)
    assert iteration.blocks() == pytest.approx(blocks)
    assert iteration.prediction == pytest.approx(
        np.sum(patterns.D * (X @ (found.x[0] - found.x[1])), axis=1)
    )


def test_the_hinge_loss_has_no_gradient():
    X, y, patterns = data()
    with pytest.raises(ValueError, match="needs a loss with a gradient"):
        solve_relu(X, y, patterns, alpha=0.3, loss="hinge", u_update="rbcd")
