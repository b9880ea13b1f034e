"""The factor is the data, the u-step is exact, and a fixed point is optimal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexnn._measure_losses import LOSSES
from convexnn.admm import ADAPT_AT, RHO_RANGE, Iteration, factorize
from farkas.checkpoint import load, save

losses = pytest.mark.parametrize("loss", LOSSES)
activations = pytest.mark.parametrize("activation", ["relu", "gated"])


def program(seed, activation="relu", *, n=12, d=3, P=5):
    """A factor with its labels, and what it was made of."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n)
    D = X @ rng.standard_normal((d, P)) >= 0
    D[:, 0] = rng.random(n) < 0.5  # realised by no gate
    return factorize(X, D, activation), y, X, D


def dense(factor):
    """The matrix F of all blocks, which the solver never forms."""
    F = np.concatenate([d[:, None] * factor.A for d in factor.D], axis=1)
    return np.concatenate([F, -F], axis=1) if factor.relu else F


def advanced(iteration, steps):
    for _ in range(steps):
        iteration.advance()
    return iteration


@activations
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_factor_is_the_data_in_other_coordinates(activation, seed):
    rng = np.random.default_rng(seed)
    n, d, P = rng.integers(1, 8, 3)
    X = rng.standard_normal((n, d))
    if seed % 3 == 0:
        X[:, -1] = X[:, 0]
    X[rng.random(n) < 0.2] = 0.0
    X *= 10.0 ** rng.uniform(-200, 200)
    D = rng.random((n, P)) < 0.5
    factor = factorize(X, D, activation)
    r = len(factor.basis)
    size = np.abs(X).max() or 1.0
    assert factor.A @ factor.basis / size / factor.scale == pytest.approx(X / size)
    assert factor.basis @ factor.basis.T == pytest.approx(np.eye(r))
    assert r == max(np.linalg.matrix_rank(X / size), 1)
    if X.any():
        assert np.mean(np.sum(factor.A**2, axis=1)) == pytest.approx(1.0)
    assert factor.n_blocks == (2 if activation == "relu" else 1) * P
    F, Q, e = dense(factor), factor.eigenvectors, factor.eigenvalues
    assert (e >= 0).all()
    assert (Q * e) @ Q.T == pytest.approx(F @ F.T, abs=1e-12 * P * n)
    weights = basis_part = rng.standard_normal((d, P))
    basis_part = factor.basis.T @ (factor.basis @ weights)
    back = factor.to_user(factor.to_internal(weights))
    assert back == pytest.approx(basis_part)


def test_rows_of_zeros_stay_zero():
    X = np.random.default_rng(0).standard_normal((6, 4))
    X[[1, 4]] = 0.0
    factor = factorize(X, np.ones((6, 2)), "relu")
    assert not factor.A[[1, 4]].any()
    assert not factorize(np.zeros((3, 2)), np.ones((3, 1)), "gated").A.any()


@losses
@activations
@pytest.mark.parametrize("rho", [1e-6, 1e-2, 1.0, 1e3, 1e6])
def test_u_step_solves_the_dense_system(activation, loss, rho):
    factor, y, _, _ = program(2, activation)
    iteration = advanced(Iteration(factor, y, 0.1, loss, rho=rho), 4)
    iteration._apply_prox()
    iteration._minimize_loss()
    assert iteration.rho == rho
    F = dense(factor)
    size = F.shape[1]
    reflected = 2 * iteration.prox - iteration.point
    center, target = reflected[:size], reflected[size:]
    weight = 1.0
    if loss == "squared":
        weight, target = 1.0 / rho, y
    matrix = np.eye(size) + weight * F.T @ F
    u = np.linalg.solve(matrix, center + weight * F.T @ target)
    size_of_terms = max(np.abs(u).max(), np.abs(F @ center[:size]).max(), 1.0)
    digits = 1e-14 * np.linalg.cond(matrix) * size_of_terms
    assert iteration._image[:size] == pytest.approx(u, abs=digits)
    assert iteration.prediction == pytest.approx(F @ u, abs=10 * digits)
    if loss != "squared":
        assert np.array_equal(iteration._image[size:], iteration.prediction)


@losses
@activations
def test_a_fixed_point_meets_the_optimality_conditions(activation, loss):
    factor, y, _, _ = program(3, activation)
    alpha = 0.3
    iteration = advanced(Iteration(factor, y, alpha, loss), 3000)
    assert iteration.is_stationary() or np.linalg.norm(iteration._step) < 1e-8
    iteration._apply_prox()
    D = np.concatenate([factor.D] * (2 if factor.relu else 1))
    signs = np.repeat([1.0, -1.0], len(factor.D))[: len(D), None]
    v, theta = iteration.blocks(), iteration.theta()
    z = dense(factor) @ v.ravel()
    if loss == "hinge":
        assert (y * theta * (y * z - 1) <= 1e-6).all()
        assert (np.abs(y * theta - 0.5) <= 0.5 + 1e-9).all()
        assert ((y * z < 1 - 1e-6) <= (y * theta > 1 - 1e-6)).all()
    else:
        assert theta == pytest.approx(LOSSES[loss].theta(z, y), abs=1e-6)
    pull = signs * ((D * theta) @ factor.A)
    if factor.relu:
        inside = (2 * D - 1) * (v @ factor.A.T)
        lam = iteration.multipliers()
        assert (lam >= 0).all()
        assert (inside >= -1e-10).all()
        assert np.abs(np.sum(inside * lam, axis=1)).max() <= 1e-8
        pull += ((2 * D - 1) * lam) @ factor.A
    else:
        assert iteration.multipliers().shape == (0, 0)
    norms = np.linalg.norm(pull, axis=1) / (alpha * factor.scale)
    sizes = np.linalg.norm(v, axis=1)
    active = sizes > 1e-3
    assert norms.max() <= 1 + 1e-6
    assert active.any()
    assert norms[active] == pytest.approx(1.0, abs=1e-6)
    along = np.sum(pull * v, axis=1)[active] / (norms * sizes)[active]
    assert along == pytest.approx(alpha * factor.scale, rel=1e-6)


@losses
@activations
@pytest.mark.parametrize("rho", [1e-6, 1e4])
def test_changing_rho_keeps_primal_and_dual_points(activation, loss, rho):
    factor, y, _, _ = program(4, activation, n=20)
    before = advanced(Iteration(factor, y, 0.1, loss, rho=rho), ADAPT_AT[0] - 1)
    kept, changed = (
        Iteration(factor, y, 0.1, loss, state=before.state()) for _ in "12"
    )
    kept._adapt_rho = lambda: None
    kept.advance()
    changed.advance()
    assert kept.rho == rho
    assert 2 < max(changed.rho / rho, rho / changed.rho) <= 5 * (1 + 1e-12)
    assert changed.anderson.count == 0
    for iteration in (kept, changed):
        iteration._apply_prox()
    dual = rho * (kept.point - kept.prox)
    room = 1e-11 * max(np.abs(dual).max(), 1.0)
    assert changed.prox == pytest.approx(kept.prox, abs=room)
    assert changed.rho * (changed.point - changed.prox) == pytest.approx(dual, abs=room)
    assert changed.theta() == pytest.approx(kept.theta(), abs=room)
    assert changed.multipliers() == pytest.approx(kept.multipliers(), abs=room)


@losses
@activations
@pytest.mark.parametrize("first", [1, 19, 20, 23, 60, 75])
def test_a_restored_iteration_continues_bit_for_bit(activation, loss, first, tmp_path):
    factor, y, _, _ = program(5, activation, n=25, d=4, P=8)
    whole = Iteration(factor, y, 0.01, loss, rho=1e-3)
    advanced(whole, first)
    save(tmp_path / "state.npz", whole.state())
    state = load(tmp_path / "state.npz")
    # What the constructor is told about rho gives way to the state.
    resumed = Iteration(factor, y, 0.01, loss, rho=7.0, state=state)
    for _ in range(50):
        whole.advance()
        resumed.advance()
        assert np.array_equal(whole.point, resumed.point)
    assert whole.rho == resumed.rho
    assert np.array_equal(whole.theta(), resumed.theta())
    assert np.array_equal(whole.multipliers(), resumed.multipliers())


@losses
@activations
def test_a_start_is_taken_up(activation, loss):
    factor, y, _, _ = program(6, activation)
    v = advanced(Iteration(factor, y, 0.1, loss), 400).blocks()
    fresh = Iteration(factor, y, 0.1, loss, x0=v)
    assert fresh.prediction == pytest.approx(dense(factor) @ v.ravel(), abs=1e-12)
    assert np.array_equal(fresh._blocks(fresh.point), v)
    if loss != "squared":
        assert np.array_equal(fresh.point[v.size :], fresh.prediction)


@activations
@pytest.mark.parametrize("unit", [1e-9, 1e-4, 1e4, 1e9])
def test_units_of_the_targets_do_not_change_the_steps(activation, unit):
    # min over u of c^2 (program with y, alpha) has the solution c u.
    factor, _, X, _ = program(7, activation)
    y = X[:, 0] + 0.3
    plain = advanced(Iteration(factor, y, 0.1, "squared"), 100)
    scaled = advanced(Iteration(factor, unit * y, unit * 0.1, "squared"), 100)
    assert scaled.rho == pytest.approx(plain.rho, rel=1e-6)
    size = np.abs(plain.point).max()
    assert scaled.point / unit == pytest.approx(plain.point, abs=1e-6 * size)


def test_rho_stays_in_its_range():
    factor, y, _, _ = program(8)
    for alpha in (5e-324, 1e-30, 1e30, 1e300):
        iteration = Iteration(factor, y, alpha, "squared")
        assert RHO_RANGE[0] <= iteration.rho <= RHO_RANGE[1]
        advanced(iteration, 70)
        assert RHO_RANGE[0] <= iteration.rho <= RHO_RANGE[1]
        assert np.isfinite(iteration.point).all()


def test_the_iteration_writes_into_none_of_its_arguments():
    factor, y, _, _ = program(9)
    v = np.random.default_rng(0).standard_normal((factor.n_blocks, 3))
    arguments = [y, v, factor.A, factor.D, factor.gram, factor.eigenvectors]
    before = [array.copy() for array in arguments]
    advanced(Iteration(factor, y, 0.1, "hinge", x0=v), 65)
    for array, copy in zip(arguments, before, strict=True):
        assert np.array_equal(array, copy)


@losses
@activations
def test_an_exact_fixed_point_stays_where_it_is(activation, loss):
    # Nothing is on, so nothing depends on the weights, and z is the prox of itself.
    y = np.array([1.0, -1.0, 1.0]) if LOSSES[loss].labels else np.zeros(3)
    X, D = np.eye(3), np.zeros((3, 2))
    iteration = Iteration(factorize(X, D, activation), y, 0.1, loss)
    advanced(iteration, max(ADAPT_AT[:2]) + 5)
    assert not iteration.blocks().any()
    if loss in ("squared", "huber"):
        assert not iteration.point.any()
        assert iteration.is_stationary()
    assert np.isfinite(iteration.point).all()
