"""Bounds of a robust program: the best of what is offered, never too good."""

import numpy as np
import pytest

import farkas
from convexnn import reference_robust, sample_robust_patterns
from convexnn._measure_robust import ROBUST_LOSSES
from convexnn.robust.admm import Dual, factorize_robust
from convexnn.robust.bounds import RobustBounds
from convexnn.robust.program import RobustProgram
from convexnn.robust.programs import into_box, mint_robust

RNG = np.random.default_rng(0)
X = np.column_stack([RNG.standard_normal((18, 3)), np.ones(18)])
Y = np.where(X[:, 0] + 0.3 * RNG.standard_normal(18) > 0, 1.0, -1.0)
EPS = np.array([0.05, 0.02, 0.1, 0.0])
PATTERNS = sample_robust_patterns(X, 6, eps=EPS, random_state=0)
FACTOR = factorize_robust(X, EPS, PATTERNS.D)
ALPHA = 0.2


def program(loss):
    return RobustProgram.validated(X, Y, PATTERNS, ALPHA, EPS, loss)


def optimum(loss):
    return reference_robust(X, Y, PATTERNS, alpha=ALPHA, eps=EPS, loss=loss)


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
def test_the_certificate_says_what_the_bounds_say(loss):
    found = optimum(loss)
    bounds = RobustBounds(FACTOR, Y, ALPHA, loss)
    bounds.try_primal(np.concatenate([FACTOR.to_internal(x) for x in found.x]))
    dual = into_box(found.Theta, found.theta, found.amplitude, program(loss), FACTOR)
    bounds.try_dual(dual, np.zeros(bounds.patterns.shape), project=True)
    assert bounds.gap <= 1e-4 * found.fun
    assert bounds.lower <= found.fun * (1 + 1e-7) <= bounds.upper * (1 + 2e-7)
    certificate = mint_robust(
        [bounds], (X, Y), PATTERNS, EPS, program(loss).parameters(), 1e-4
    )
    assert certificate.upper == pytest.approx(bounds.upper, rel=1e-9)
    assert certificate.lower == pytest.approx(bounds.lower, rel=1e-9)
    assert farkas.verify(certificate, X, Y)


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
def test_arbitrary_offers_never_cross(loss):
    best = optimum(loss).fun
    rng = np.random.default_rng(1)
    bounds = RobustBounds(FACTOR, Y, ALPHA, loss)
    uppers, lowers = [bounds.upper], [bounds.lower]
    for k in range(30):
        blocks = rng.standard_normal((FACTOR.n_blocks, 4)) * 10.0 ** rng.integers(-3, 1)
        bounds.try_primal(blocks)
        theta = Y * rng.random(18)
        amplitude = np.abs(theta)
        shift = rng.uniform(-1, 1, X.shape) * amplitude[:, None] * FACTOR.eps
        dual = Dual(theta[:, None] * FACTOR.A + shift, theta, amplitude)
        multipliers = 0.01 * rng.random(bounds.patterns.shape)
        bounds.try_dual(dual, multipliers, project=bool(k % 2))
        uppers.append(bounds.upper)
        lowers.append(bounds.lower)
    assert uppers == sorted(uppers, reverse=True)
    assert lowers == sorted(lowers)
    assert bounds.lower <= best * (1 + 1e-7)
    assert bounds.upper >= best * (1 - 1e-7)
    restored = RobustBounds(FACTOR, Y, ALPHA, loss, state=bounds.state())
    for name, value in bounds.state().items():
        np.testing.assert_array_equal(value, restored.state()[name])


def test_zero_is_recognised_where_it_is_optimal():
    for loss in ROBUST_LOSSES:
        assert RobustBounds(FACTOR, Y, 1e4, loss).zero_is_optimal()
        assert not RobustBounds(FACTOR, Y, 1e-3, loss).zero_is_optimal()
