"""The least bound of given multipliers, against SciPy and a semidefinite program."""

import numpy as np
import pytest

from convexnn._measure_global import leaf_bound
from convexnn.relaxation.dnn import Dual, scaled
from convexnn.relaxation.elementary import elementary_dual
from convexnn.relaxation.level import Fitted, _Fraction, least_level, packed


def instance(seed, n=4, d=3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    F = rng.standard_normal((d + n, d + n))
    return X, 0.3 * F @ F.T, rng.standard_normal(d + n)


def test_derivatives_agree_with_differences():
    X, A, v = instance(0)
    function, rho = _Fraction(v, A, X), 0.3
    x = np.full(5, 0.2)
    gradient, hessian = function.derivatives(function.at(x), rho)
    h = 1e-5
    for i, e in enumerate(np.eye(5) * h):
        ends = [function.at(x + e), function.at(x - e)]
        slope = (ends[0].barrier(rho) - ends[1].barrier(rho)) / (2 * h)
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-6)
        slopes = [function.derivatives(end, rho)[0] for end in ends]
        assert hessian[i] == pytest.approx((slopes[0] - slopes[1]) / (2 * h), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_level_is_that_of_a_semidefinite_program(seed):
    cvxpy = pytest.importorskip("cvxpy")
    X, A, v = instance(seed)
    n, d = X.shape
    tau, s, mu = cvxpy.Variable(), cvxpy.Variable(n), cvxpy.Variable()
    M = np.zeros((1 + d + n, 1 + d + n))
    M[1:, 1:], M[0, 1:], M[1:, 0] = A, v, v
    aa, uu = np.zeros_like(M), np.zeros_like(M)
    aa[0, 0] = 1.0
    uu[1 : 1 + d, 1 : 1 + d] = np.eye(d)
    total = M + mu * aa + tau * uu
    for k in range(n):
        B = np.zeros_like(M)
        B[1 + d + k, 1 + d + k] = 1.0
        B[1 + d + k, 1 : 1 + d] = B[1 : 1 + d, 1 + d + k] = -0.5 * X[k]
        total = total + s[k] * B
    program = cvxpy.Problem(cvxpy.Minimize(mu + tau), [total >> 0])
    program.solve(solver="CLARABEL")
    found, _, level = least_level(v, A, X, 0.0, steps=60)
    assert found + level == pytest.approx(program.value, rel=1e-5)


def test_a_hopeless_matrix_gives_no_level():
    X, _, v = instance(0)
    A = np.full((7, 7), np.nan)
    assert least_level(v, A, X)[2] == np.inf


@pytest.mark.parametrize("seed", range(5))
def test_a_fitted_proof_is_accepted_at_its_bound(seed):
    rng = np.random.default_rng(seed)
    X, g = rng.standard_normal((6, 3)), rng.standard_normal(6)
    data, unit = scaled(X)
    fitted = Fitted(data, g, elementary_dual(data, g))
    proof = {
        "products": packed(fitted.products),
        "cone": fitted.cone,
        "level": fitted.level,
        "trace": fitted.trace,
    }
    bound = leaf_bound(X, g, proof)
    assert bound == pytest.approx(unit * fitted.bound, rel=1e-8)
    u = rng.standard_normal((3, 5000))
    u /= np.linalg.norm(u, axis=0)
    assert bound >= (g @ np.maximum(X @ u, 0.0)).max()


def test_no_weights_need_no_bound():
    data, _ = scaled(np.ones((3, 2)))
    nothing = Dual(np.zeros((8, 8)), np.zeros((7, 2)), 0.0)
    assert Fitted(data, np.zeros(3), nothing).bound < 1e-6
