"""Kernels, projections, proximal maps, acceleration, iteration, bounds, network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar, nnls

from convexnn import _kernels, project_cone, recover_network, sample_patterns
from convexnn._measure import LOSSES
from convexnn.admm import Iteration, factorize
from convexnn.anderson import INTERVAL, MEMORY, Anderson
from convexnn.bounds import Bounds
from convexnn.cones import ConeProjector, project_blocks
from convexnn.network import gated_output, network_output
from convexnn.prox import PROX

seeds = st.integers(0, 10_000)


def program(seed, n=12, d=3, P=5, activation="relu"):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n)
    patterns = X @ rng.standard_normal((d, P)) >= 0
    return factorize(X, patterns, activation), y, X, patterns


def test_gated_sum_is_a_masked_sum():
    rng = np.random.default_rng(0)
    D = rng.integers(0, 2, (3, 5)).astype(float)
    products = rng.standard_normal((6, 5))
    out = np.empty(5)
    _kernels.gated_sum(D, products, out)
    assert out == pytest.approx(np.sum(D * (products[:3] - products[3:]), axis=0))
    _kernels.gated_sum(D, products[:3].copy(), out)
    assert out == pytest.approx(np.sum(D * products[:3], axis=0))


def test_shrink_blocks_is_the_prox_of_the_norms():
    x = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    out = np.empty_like(x)
    _kernels.shrink_blocks(x, 1.0, out)
    assert out == pytest.approx(np.array([[2.4, 3.2], [0, 0], [0, 0]]))


@given(seed=seeds, n=st.integers(1, 15), d=st.integers(1, 6))
def test_projection_satisfies_moreau_and_agrees_with_nnls(seed, n, d):
    rng = np.random.default_rng(seed)
    X, g = rng.standard_normal((n, d)), rng.standard_normal(d)
    pattern = rng.integers(0, 2, n)  # not always realisable
    signed = (2 * pattern - 1)[:, None] * X
    p = project_cone(g, X, pattern)
    assert (signed @ p).min() >= -1e-10
    assert abs(p @ (g - p)) <= 1e-10
    lam, _ = nnls(signed.T, -g, maxiter=1000)
    assert p == pytest.approx(g + signed.T @ lam, abs=1e-9)


def test_projection_names_bad_input():
    X = np.eye(2)
    for arguments, message in (
        (([1.0], X, [1, 1]), "g must have shape"),
        (([np.nan, 1.0], X, [1, 1]), "g must not contain"),
        (([1.0, 1.0], X, [1, 2]), "d must be a 0/1"),
        (([1.0, 1.0], X, [1]), "d must be a 0/1"),
    ):
        with pytest.raises(ValueError, match=message):
            project_cone(*arguments)


@given(seed=seeds)
def test_warm_projection_equals_a_cold_one(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((20, 4))
    A[3], A[5] = 0.0, A[4]
    D = (rng.random((6, 20)) < 0.5).astype(float)
    for gram in (None, A @ A.T):
        projector = ConeProjector(A, D, gram)
        x = rng.standard_normal((6, 4))
        for _ in range(5):
            x = x + 0.2 * rng.standard_normal((6, 4))
            warm = projector(x)
            cold, _ = project_blocks(A, D, x)
            assert warm == pytest.approx(cold, abs=1e-9)
            lam = projector.multipliers
            assert lam.min() >= 0
            assert warm == pytest.approx(x + ((2 * D - 1) * lam) @ A, abs=1e-9)
            started, _ = project_blocks(A, D, x, lam)
            assert started == pytest.approx(cold, abs=1e-9)


def test_projector_may_stop_below_the_threshold():
    factor, _, _, _ = program(0)
    D = np.concatenate([factor.D, factor.D])
    x = np.random.default_rng(0).standard_normal((len(D), 3))
    exact = ConeProjector(factor.A, D)(x)
    early = ConeProjector(factor.A, D)(x, threshold=1.0)
    small = np.linalg.norm(early, axis=1) <= 1.0
    assert small.any()
    assert (np.linalg.norm(exact, axis=1)[small] <= 1.0 + 1e-12).all()
    assert early[~small] == pytest.approx(exact[~small])


def test_projector_state_continues_bit_for_bit():
    factor, _, _, _ = program(1)
    D = np.concatenate([factor.D, factor.D])
    rng = np.random.default_rng(0)
    points = [rng.standard_normal((len(D), 3)) for _ in range(3)]
    one = ConeProjector(factor.A, D, factor.gram)
    for x in points[:2]:
        one(x)
    two = ConeProjector(factor.A, D, factor.gram)
    two.restore(one.state())
    assert np.array_equal(one(points[2]), two(points[2]))


@pytest.mark.parametrize("loss", PROX)
@pytest.mark.parametrize("rho", [1e-6, 1e-3, 0.5, 10.0, 1e6])
def test_prox_is_a_stationary_point(loss, rho):
    rng = np.random.default_rng(0)
    a = np.concatenate([20 * rng.standard_normal(200), [0.0, 1.0, -1.0, 800.0, -800.0]])
    y = rng.choice([-1.0, 1.0], len(a))
    z = PROX[loss](a, y, rho)
    assert np.isfinite(z).all()
    slope = rho * (z - a)
    if loss == "hinge":
        t = y * slope
        assert t.min() >= -1e-9 * max(1, rho)
        assert t.max() <= 1 + 1e-9 * max(1, rho)
        assert np.where(y * z < 1 - 1e-9, t - 1, 0) == pytest.approx(0, abs=1e-6)
        assert np.where(y * z > 1 + 1e-9, t, 0) == pytest.approx(0, abs=1e-6)
    else:
        room = 1e-9 * max(1.0, rho)
        assert slope == pytest.approx(LOSSES[loss].theta(z, y), abs=room)


def test_anderson_solves_a_linear_fixed_point_in_few_steps():
    rng = np.random.default_rng(0)
    M = rng.standard_normal((6, 6))
    M = 0.95 * (M + M.T) / np.abs(np.linalg.eigvalsh(M + M.T)).max()
    c = rng.standard_normal(6)
    exact = np.linalg.solve(np.eye(6) - M, c)
    plain, fast, anderson = np.zeros(6), np.zeros(6), Anderson(6)
    for _ in range(12):
        plain = M @ plain + c
        image = M @ fast + c
        fast = anderson.propose(image, image - fast)
    assert np.linalg.norm(fast - exact) < 1e-3 * np.linalg.norm(plain - exact)


def test_anderson_undoes_a_step_after_which_the_residual_grew():
    anderson = Anderson(2)
    first = anderson.propose(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    anderson.propose(np.array([1.5, 0.0]), np.array([0.5, 0.0]))
    undone = anderson.propose(np.array([9.0, 9.0]), np.array([50.0, 0.0]))
    assert first.tolist() == [1.0, 0.0]
    assert undone.tolist() == [1.5, 0.0]
    assert anderson.count == 0
    assert 1 < INTERVAL < MEMORY


def test_factor_is_the_data_in_other_coordinates():
    factor, _, X, patterns = program(0)
    rebuilt = factor.A @ factor.basis / factor.scale
    assert rebuilt == pytest.approx(X)
    assert np.mean(np.sum(factor.A**2, axis=1)) == pytest.approx(1.0)
    weights = np.random.default_rng(0).standard_normal((3, 5))
    assert factor.to_user(factor.to_internal(weights)) == pytest.approx(weights)
    F = np.concatenate([d[:, None] * factor.A for d in patterns.T], axis=1)
    F = np.concatenate([F, -F], axis=1)
    assert factor.eigenvalues == pytest.approx(np.linalg.eigvalsh(F @ F.T), abs=1e-10)


@pytest.mark.parametrize("activation", ["relu", "gated"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_u_step_solves_the_dense_system(activation, loss):
    factor, y, _, patterns = program(2, activation=activation)
    iteration = Iteration(factor, y, 0.1, loss)
    for _ in range(4):
        iteration.advance()
    F = np.concatenate([d[:, None] * factor.A for d in patterns.T], axis=1)
    if activation == "relu":
        F = np.concatenate([F, -F], axis=1)
    iteration._apply_prox()
    iteration._minimize_loss()
    rho, size = iteration.rho, F.shape[1]
    center = (2 * iteration.prox - iteration.point)[:size]
    if loss == "squared":
        matrix, target = np.eye(size) + F.T @ F / rho, center + F.T @ y / rho
    else:
        w = (2 * iteration.prox - iteration.point)[size:]
        matrix, target = np.eye(size) + F.T @ F, center + F.T @ w
    u = np.linalg.solve(matrix, target)
    assert iteration._image[:size] == pytest.approx(u)
    assert iteration.prediction == pytest.approx(F @ u)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_fixed_point_satisfies_the_optimality_conditions(loss):
    factor, y, _, _ = program(3)
    alpha = 0.3
    iteration = Iteration(factor, y, alpha, loss)
    for _ in range(3000):
        iteration.advance()
    iteration._apply_prox()
    D = np.concatenate([factor.D, factor.D])
    signs = np.repeat([1.0, -1.0], 5)[:, None]
    v = iteration.blocks()
    pull = signs * ((D[:, :] * iteration.theta()) @ factor.A)
    pull += ((2 * D - 1) * iteration.multipliers()) @ factor.A
    norms = np.linalg.norm(pull, axis=1) / (alpha * factor.scale)
    assert norms.max() <= 1 + 1e-4
    active = np.linalg.norm(v, axis=1) > 1e-3
    assert active.any()
    assert norms[active] == pytest.approx(1.0, abs=1e-4)
    cosines = np.sum(pull * v, axis=1)[active]
    cosines /= np.linalg.norm(pull[active], axis=1) * np.linalg.norm(v[active], axis=1)
    assert cosines == pytest.approx(1.0, abs=1e-4)


def test_changing_rho_keeps_the_duals():
    factor, y, _, _ = program(4)
    iteration = Iteration(factor, y, 0.1, "logistic", rho=1e-4)
    for _ in range(19):
        iteration.advance()
    iteration.nit = 19
    before = iteration.rho
    iteration.advance()  # number 20 adapts
    assert iteration.rho != before
    iteration._apply_prox()
    theta = iteration.theta()
    assert (y * theta).min() >= -1e-9
    assert (y * theta).max() <= 1 + 1e-9


def test_bounds_keep_the_best_and_repair_what_is_outside():
    factor, y, X, _ = program(5)
    bounds = Bounds(factor, y, 0.2, "squared")
    assert bounds.upper == pytest.approx(0.5 * y @ y)
    rng = np.random.default_rng(0)
    bounds.try_primal(0.1 * rng.standard_normal((10, 3)))  # far outside the cones
    D = np.concatenate([factor.D, factor.D])
    assert ((2 * D - 1) * (bounds.blocks @ factor.A.T)).min() >= -1e-12
    bounds.try_dual(0.1 * y, np.zeros((10, 12)))
    first = bounds.lower
    bounds.try_dual(np.zeros_like(y), np.zeros((10, 12)))
    assert bounds.lower == first
    bounds.try_dual(y, np.zeros((10, 12)), project=True)
    assert bounds.lower >= first
    assert bounds.gap >= 0
    assert not bounds.zero_is_optimal()
    assert Bounds(factor, y, 1e3, "squared").zero_is_optimal()


def test_recovered_network_merges_equal_units_and_prunes_dust():
    X = np.array([[1.0, 0.0], [0.0, 1.0]])
    V = np.array([[1.0, 2.0, 1e-14], [1.0, 1.0, 0.0]])
    W = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    U, a = recover_network(V, W)
    assert U.shape == (2, 3)
    merged, b = recover_network(V, W, X)
    assert merged.shape == (2, 2)
    assert b.tolist() == pytest.approx([13**0.25, -(3**0.5)])
    before, after = network_output(X, U, a), network_output(X, merged, b)
    assert before == pytest.approx(after)
    empty, none = recover_network(np.zeros((2, 1)), np.zeros((2, 1)), X)
    assert empty.shape == (2, 0)
    assert network_output(X, empty, none).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="alike"):
        recover_network(V, W[:, :1])


def test_gated_output_uses_its_gates():
    X = np.array([[1.0], [-1.0]])
    gates, weights = np.array([[1.0, -1.0]]), np.array([[[2.0, 5.0]]])
    assert gated_output(X, gates, weights).tolist() == [[2.0], [-5.0]]


def test_logistic_prox_minimises():
    for a, y, rho in ((0.3, 1.0, 0.1), (-4.0, 1.0, 2.0), (5.0, -1.0, 0.01)):
        z = PROX["logistic"](np.array([a]), np.array([y]), rho)[0]
        found = minimize_scalar(
            lambda z, a=a, y=y, rho=rho: (
                np.logaddexp(0, -y * z) + rho / 2 * (z - a) ** 2
            ),
            bracket=(a - 10 / rho, a + 10 / rho),
            tol=1e-12,
        )
        assert z == pytest.approx(found.x, abs=1e-5)


def test_sampled_patterns_feed_the_factor():
    X = np.random.default_rng(0).standard_normal((15, 3))
    patterns = sample_patterns(X, 6, random_state=0)
    factor = factorize(X, patterns.D, "gated")
    assert factor.n_blocks == 6
    assert not factor.relu
