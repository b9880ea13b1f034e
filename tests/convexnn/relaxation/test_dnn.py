"""Projections of the relaxation, and that its steps reach the optimum."""

import numpy as np
import pytest

from convexnn._measure_losses import LOSSES
from convexnn.relaxation.dnn import (
    DouglasRachford,
    Level,
    Lift,
    Pull,
    cone_height,
    scaled,
)


def lift_of(seed=0, n=5, d=3, **options):
    X = np.random.default_rng(seed).standard_normal((n, d))
    data, _ = scaled(X)
    return Lift(data, 1.0, weight=2.0, **options), data


def random_symmetric(lift, seed=0):
    V = np.random.default_rng(seed).standard_normal((lift.size, lift.size))
    return V + V.T


def in_the_sets(lift, K, tol=1e-12):
    n, block = lift.n, K[lift.rows, lift.rows]
    sample = np.arange(n)
    assert (np.abs(block[sample, n + sample]) <= tol).all()
    if lift.products:
        assert (block >= -tol).all()
    assert (block.diagonal() >= -tol).all()
    assert (K[0, lift.rows] >= -tol).all()
    if lift.cone:
        norms = np.linalg.norm(K[lift.rows, lift.u], axis=1)
        assert (norms <= K[0, lift.rows] + tol).all()
    assert (np.abs(K[1 + lift.zero]) <= tol).all()
    assert np.array_equal(K, K.T)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "options",
    [{}, {"cone": False}, {"products": False}, {"zero": np.array([1, 5 + 3])}],
    ids=str,
)
def test_the_proximal_point_is_the_nearest_in_the_sets(options, seed):
    """V - P(V) is normal to the sets: no point of them has a positive product."""
    lift, _ = lift_of(seed, **options)
    V = random_symmetric(lift, seed)
    K = lift.project(V, np.zeros(lift.n), Level(price=0.0), 1.0)
    in_the_sets(lift, K)
    assert np.trace(K[lift.u, lift.u]) <= K[0, 0] + 1e-12
    normal = V - K
    assert abs(np.vdot(normal, K)) <= 1e-10 * np.vdot(V, V)
    for other in range(20):
        point = lift.project(
            random_symmetric(lift, 100 + other), np.zeros(lift.n), Level(), 1.0
        )
        assert np.vdot(normal, point) <= 1e-10 * np.linalg.norm(V)


def test_units_of_a_network_lie_in_both_sets():
    lift, data = lift_of()
    U = np.random.default_rng(1).standard_normal((3, 4))
    K = lift.of_network(U, data)
    in_the_sets(lift, K)
    projected, rank = lift.onto_psd(K.copy())
    assert np.allclose(projected, K)
    assert rank >= 4  # rounding may leave tiny positive eigenvalues
    assert K[0, 0] == pytest.approx(np.sum(U**2))


def test_the_projection_onto_semidefinite_matrices_is_the_nearest():
    lift, _ = lift_of()
    V = random_symmetric(lift)
    K, _ = lift.onto_psd(V)
    assert np.linalg.eigvalsh(K)[0] >= -1e-10
    S = lift.Q.T @ V @ lift.Q
    assert np.linalg.eigvalsh(S - lift.Q.T @ K @ lift.Q)[-1] <= 1e-10
    assert abs(np.vdot(V - K, K)) <= 1e-10 * np.vdot(V, V)


def test_the_blocks_of_the_compression_are_right():
    lift, _ = lift_of(n=4, d=3)
    V = random_symmetric(lift, 5)
    assert np.allclose(lift._compressed(V), lift.T.T @ V @ lift.T)


def test_cone_height_is_that_of_the_projection():
    rng = np.random.default_rng(0)
    first, vectors = rng.standard_normal(50), rng.standard_normal((50, 3))
    norms = np.linalg.norm(vectors, axis=1)
    heights = cone_height(first, norms)
    scale = np.minimum(heights / norms, 1.0)
    away = np.column_stack([first - heights, vectors * (1 - scale)[:, None]])
    onto = np.column_stack([heights, vectors * scale[:, None]])
    assert np.abs(np.sum(away * onto, axis=1)).max() < 1e-12
    assert (np.linalg.norm(away[:, 1:], axis=1) <= -away[:, 0] + 1e-12).all()


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("cone", [True, False])
def test_theta_is_the_slope_of_the_loss_where_it_leads(loss, cone):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((30, 3))
    data, _ = scaled(X)
    y = rng.standard_normal(30)
    if LOSSES[loss].labels:
        y = np.sign(y)
    lifts = [Lift(data, sign, weight=3.0, cone=cone) for sign in (1.0, -1.0)]
    V = [random_symmetric(lift, 7) for lift in lifts]
    rho = 0.7
    theta = Pull(y, loss)(lifts, V, rho)

    def output(theta):
        z = 0.0
        for lift, v in zip(lifts, V, strict=True):
            shift = lift.sign * theta / (2 * rho * lift.weight)
            K = lift.project(v, shift, Level(), rho)
            z = z + lift.sign * K[0, lift.p] / lift.weight
        return z

    step = 1e-7  # the hinge jumps: between just below and just above
    low = LOSSES[loss].theta(output(theta + step), y) - 1e-6
    high = LOSSES[loss].theta(output(theta - step), y) + 1e-6
    assert ((low <= theta) & (theta <= high)).all()


def test_the_steps_reach_the_optimum_of_one_sample():
    """min 1/2 (5t - 2)^2 + t has its minimum 0.38 at t = 0.36, where theta is 0.2."""
    data, unit = scaled(np.array([[3.0, 4.0]]))
    lifts = [Lift(data, sign) for sign in (1.0, -1.0)]
    splitting = DouglasRachford(
        lifts, Pull(np.array([2.0]), "squared"), Level(1.0 / unit), rho=1.0
    )
    for _ in range(300):
        splitting.step()
    assert splitting.theta == pytest.approx(0.2, abs=1e-6)
    assert splitting.primal + splitting.dual < 1e-6
    # Y_aa of the positive units, in the scaled data
    assert splitting.K[0][0, 0] == pytest.approx(0.36 * unit, rel=1e-5)


def test_multipliers_are_admissible_at_every_iteration():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((8, 3)), rng.standard_normal(8)
    data, unit = scaled(X)
    zero = np.array([2])
    lifts = [Lift(data, 1.0, zero), Lift(data, -1.0)]
    splitting = DouglasRachford(lifts, Pull(y, "squared"), Level(0.3 / unit), rho=0.05)
    sample = np.arange(8)
    for _ in range(15):
        splitting.step()
        for lift, dual in zip(lifts, splitting.duals(), strict=True):
            free = np.zeros(dual.products.shape, dtype=bool)
            free[2 + sample, 10 + sample] = free[10 + sample, 2 + sample] = True
            free[2 + lift.zero] = free[:, 2 + lift.zero] = True
            assert (dual.products[~free] >= 0).all()
            assert np.allclose(dual.products, dual.products.T)


def test_a_failed_decomposition_is_told_and_not_raised(monkeypatch):
    data, _ = scaled(np.array([[3.0, 4.0]]))
    lift = Lift(data, 1.0)
    splitting = DouglasRachford(
        [lift], Pull(np.array([2.0]), "squared"), Level(0.1), rho=1.0
    )
    splitting.step()
    assert np.isfinite(splitting.primal)

    def fails(*args, **options):
        raise np.linalg.LinAlgError("no convergence")

    monkeypatch.setattr("convexnn.relaxation.dnn.eigh", fails)
    splitting.step()
    assert np.isnan(splitting.primal)
