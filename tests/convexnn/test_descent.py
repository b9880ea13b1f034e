import numpy as np
import pytest

from convexnn import enumerate_patterns, solve_relu
from convexnn.descent import descend, network_objective, without_negligible

RNG = np.random.default_rng(1)
X = np.column_stack([RNG.standard_normal((12, 2)), np.ones(12)])
LABELS = np.where(X[:, 0] * X[:, 1] > 0, 1.0, -1.0)
U, A = RNG.standard_normal((3, 20)), RNG.standard_normal(20)


@pytest.mark.parametrize("loss", ["squared", "logistic", "huber", "hinge"])
def test_descent_lowers_the_objective_and_stays_above_the_optimum(loss):
    before = network_objective(X, LABELS, U, A, 0.1, loss)
    V, b = descend(X, LABELS, U, A, alpha=0.1, loss=loss, max_iter=500)
    after = network_objective(X, LABELS, V, b, 0.1, loss)
    optimum = solve_relu(X, LABELS, enumerate_patterns(X), alpha=0.1, loss=loss)
    assert optimum.certificate.lower <= after < before
    if loss != "hinge":  # whose kinks stop L-BFGS early
        assert after <= 1.02 * optimum.fun


def test_objective_of_a_network():
    z = np.maximum(X @ U, 0) @ A
    expected = 0.5 * np.sum((z - LABELS) ** 2) + 0.05 * (np.sum(U**2) + np.sum(A**2))
    value = network_objective(X, LABELS, U, A, 0.1, "squared")
    assert value == pytest.approx(expected)


def test_units_without_weight_are_dropped():
    small = A.copy()
    small[3] = 0.0
    small[5] *= 1e-9
    V, b = without_negligible(U, small)
    assert V.shape == (3, 18)
    assert b.tolist() == np.delete(A, [3, 5]).tolist()
    assert without_negligible(np.zeros((3, 0)), np.zeros(0))[1].size == 0
