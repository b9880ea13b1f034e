"""No point and no multipliers, however bad, make a bound cross the optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexnn import solve_gated, solve_relu
from convexnn._measure_losses import LOSSES
from convexnn.admm import factorize
from convexnn.bounds import Bounds
from convexnn.cones import project_blocks

OPTIMA = {}


def program(loss, activation):
    """A fixed small program, its factor and its optimum."""
    key = loss, activation
    if key not in OPTIMA:
        rng = np.random.default_rng(7)
        X = rng.standard_normal((9, 3))
        X[4] = 0.0
        y = np.where(rng.random(9) < 0.5, -1.0, 1.0)
        if not LOSSES[loss].labels:
            y = y + rng.standard_normal(9)
        D = rng.random((9, 4)) < 0.5
        D[:, :3] = X @ rng.standard_normal((3, 3)) >= 0
        solver = solve_relu if activation == "relu" else solve_gated
        found = solver(X, y, D, alpha=0.3, loss=loss, tol=1e-10, max_iter=20_000)
        OPTIMA[key] = factorize(X, D, activation), y, found
    return OPTIMA[key]


everything = pytest.mark.parametrize("loss", LOSSES)
activations = pytest.mark.parametrize("activation", ["relu", "gated"])


@everything
@activations
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.floats(-4, 4))
def test_no_offer_crosses_the_optimum(loss, activation, seed, exponent):
    factor, y, best = program(loss, activation)
    bounds = Bounds(factor, y, 0.3, loss)
    rng, scale = np.random.default_rng(seed), 10.0**exponent
    shape = factor.n_blocks, factor.A.shape[1]
    bounds.try_primal(scale * rng.standard_normal(shape))
    theta = scale * rng.standard_normal(len(y))  # outside the domain, too
    lam = scale * rng.exponential(size=(factor.n_blocks, len(y)))
    for project in (False, True):
        bounds.try_dual(theta, lam, project=project)
        assert bounds.lower <= best.fun, best.certificate
        assert bounds.upper >= best.lower_bound, best.certificate
    if activation == "relu":
        inside = (2 * bounds.patterns - 1) * (bounds.blocks @ factor.A.T)
        sizes = np.linalg.norm(bounds.blocks, axis=1)[:, None]
        assert (inside >= -1e-12 * sizes * np.linalg.norm(factor.A, axis=1)).all()


@everything
def test_projecting_never_loosens_the_lower_bound(loss):
    factor, y, _ = program(loss, "relu")
    theta = LOSSES[loss].theta(np.zeros_like(y), y)
    none = np.zeros((factor.n_blocks, len(y)))
    plain, exact = (Bounds(factor, y, 0.3, loss) for _ in range(2))
    plain.try_dual(theta, none)
    exact.try_dual(theta, none, project=True)
    assert exact.lower >= plain.lower


@everything
@activations
def test_the_best_of_all_offers_is_kept(loss, activation):
    factor, y, best = program(loss, activation)
    bounds = Bounds(factor, y, 0.3, loss)
    if activation == "relu":
        blocks = np.concatenate([factor.to_internal(part) for part in best.x])
    else:
        blocks = factor.to_internal(best.x)
    lam = np.zeros((factor.n_blocks, len(y)) if activation == "relu" else (0, 0))
    theta = best.certificate.witness["theta"]
    bounds.try_primal(blocks)
    bounds.try_dual(theta, lam, project=True)
    upper, lower = bounds.upper, bounds.lower
    assert upper == pytest.approx(best.fun, rel=1e-9), best.certificate
    assert bounds.gap <= 1e-6 * upper, best.certificate
    bounds.try_primal(2 * blocks)
    bounds.try_dual(0.5 * theta, lam)
    assert (bounds.upper, bounds.lower) == (upper, lower)
    again = Bounds(factor, y, 0.3, loss, state=bounds.state())
    assert (again.upper, again.lower) == (upper, lower)
    for name, array in bounds.witness().items():
        assert np.array_equal(again.witness()[name], array), name


def test_a_block_whose_cone_is_the_origin_becomes_zero():
    # x >= 0 and x <= 0 at once
    factor = factorize(np.array([[1.0], [1.0]]), np.array([[True], [False]]), "relu")
    bounds = Bounds(factor, np.array([3.0, 1.0]), 0.1, "squared")
    bounds.try_primal(np.array([[1.0], [0.0]]))
    assert not bounds.blocks.any()
    assert bounds.upper == 5.0


@everything
@activations
def test_zero_is_optimal_exactly_from_alpha_max_on(loss, activation):
    factor, y, _ = program(loss, activation)
    low, high = 0.0, 1e3
    for _ in range(60):  # alpha_max by bisection of the answer
        middle = 0.5 * (low + high)
        if Bounds(factor, y, middle, loss).zero_is_optimal():
            high = middle
        else:
            low = middle
    theta = LOSSES[loss].theta(np.zeros_like(y), y)
    half = (factor.D * theta) @ factor.A / factor.scale
    gradients = np.concatenate([half, -half]) if activation == "relu" else half
    if activation == "relu":
        D = np.concatenate([factor.D, factor.D])
        gradients, _ = project_blocks(factor.A, D, gradients)
    expected = np.linalg.norm(gradients, axis=1).max()
    assert high == pytest.approx(expected, rel=1e-9)
    bounds = Bounds(factor, y, high, loss)
    assert bounds.zero_is_optimal()
    assert bounds.gap <= 1e-11 * bounds.upper  # and a proof comes along
