"""The second opinion states what it solved, and says so when it could not."""

import warnings

import numpy as np
import pytest

from convexnn import reference_robust, sample_robust_patterns
from convexnn._measure_robust import ROBUST_LOSSES
from farkas.status import Status

X = np.column_stack([np.random.default_rng(0).standard_normal((12, 3)), np.ones(12)])
Y = np.where(X[:, 0] > 0, 1.0, -1.0)
EPS = 0.05
PATTERNS = sample_robust_patterns(X, 5, eps=EPS, random_state=0)


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
def test_value_dual_point_and_weights_belong_together(loss):
    result = reference_robust(X, Y, PATTERNS, alpha=0.3, eps=EPS, loss=loss)
    assert result.status is Status.CONVERGED
    assert result.certificate is None
    eps = np.array([EPS, EPS, EPS, 0.0])
    zeta = PATTERNS.D @ (result.x[0] - result.x[1]).T
    z, size = np.sum(X * zeta, axis=1), np.abs(zeta) @ eps
    penalty = 0.3 * sum(np.linalg.norm(part, axis=0).sum() for part in result.x)
    value = ROBUST_LOSSES[loss].value(z, size, Y).sum() + penalty
    assert result.fun == pytest.approx(value, rel=1e-6)
    dual = ROBUST_LOSSES[loss].project(result.theta, result.amplitude, Y)
    np.testing.assert_allclose(dual[0], result.theta, atol=1e-5)
    assert ROBUST_LOSSES[loss].dual(*dual, Y).sum() == pytest.approx(value, rel=1e-4)
    outside = np.abs(result.Theta - result.theta[:, None] * X)
    assert (outside <= result.amplitude[:, None] * eps + 1e-5).all()


def test_a_solver_that_gives_up_returns_no_numbers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = reference_robust(X, Y, PATTERNS, alpha=0.3, eps=EPS, max_iter=1)
    assert result.status is Status.NUMERICAL
    assert np.isnan(result.fun)
    assert result.x == (None, None)
    assert result.Theta is result.theta is result.amplitude is None


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="loss='huber'"):
        reference_robust(X, Y, PATTERNS, alpha=0.3, eps=EPS, loss="huber")
