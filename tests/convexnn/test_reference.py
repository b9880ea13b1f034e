"""The second opinion states what it solved, and says so when it could not."""

import warnings

import numpy as np
import pytest

from convexnn import reference_cvxpy, sample_patterns
from convexnn._measure_losses import LOSSES
from farkas.status import Status

X = np.random.default_rng(0).standard_normal((12, 3))
Y = np.where(X[:, 0] > 0, 1.0, -1.0)
PATTERNS = sample_patterns(X, 5, random_state=0)


@pytest.mark.parametrize("activation", ["relu", "gated"])
@pytest.mark.parametrize("loss", LOSSES)
def test_value_dual_point_and_weights_belong_together(loss, activation):
    result = reference_cvxpy(
        X, Y, PATTERNS, alpha=0.3, loss=loss, activation=activation
    )
    assert result.status is Status.CONVERGED
    assert result.certificate is None
    V, W = result.x if activation == "relu" else (result.x, np.zeros_like(result.x))
    z = np.sum(PATTERNS.D * (X @ (V - W)), axis=1)
    penalty = 0.3 * sum(np.linalg.norm(part, axis=0).sum() for part in (V, W))
    value = LOSSES[loss].value(z, Y).sum() + penalty
    assert result.fun == pytest.approx(value, rel=1e-6)
    theta = result.theta * np.sign(result.theta @ Y)  # cvxpy's sign is its own
    inside = LOSSES[loss].project(theta, Y)
    assert LOSSES[loss].dual(inside, Y).sum() == pytest.approx(value, rel=1e-5)
    if activation == "relu":
        signs = 2.0 * PATTERNS.D - 1
        assert (signs * (X @ V)).min() >= -1e-7
        assert (signs * (X @ W)).min() >= -1e-7


def test_unknown_activation_is_named():
    with pytest.raises(ValueError, match="activation='tanh'"):
        reference_cvxpy(X, Y, PATTERNS, alpha=0.3, activation="tanh")


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_solver_that_gives_up_returns_no_numbers(loss):
    # OSQP knows no second-order cones; one iteration of Clarabel is too few.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"solver": "OSQP"} if loss == "squared" else {"max_iter": 1}
        result = reference_cvxpy(X, Y, PATTERNS, alpha=0.3, loss=loss, **options)
    assert result.status is Status.NUMERICAL
    assert np.isnan(result.fun)
    assert result.x == (None, None)
    assert result.theta is None
