"""The head against scikit-learn's logistic regression and cvxpy."""

import array_api_compat.numpy as xp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sdl._array import hessian, label_loss, softmax
from sdl._measure import label_losses
from sdl._measure_data import problem_of
from sdl._measure_stationarity import probabilities
from sdl.block_head import solve_head
from sdl.head import Head
from sdl.head_refit import refit_head


def case(seed=0, n=60, r=3, K=1, **changes):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n, r))
    y = np.r_[np.arange(K + 1), rng.integers(0, K + 1, n - K - 1)]
    parameters = {
        "model": "feature", "n_components": r, "xi": 1.0, "alpha": 0.5,
        "alpha_covariates": 0.5, "fit_intercept": True, "baseline": 0,
        "class_weight": "none", "missing": "error",
    } | changes  # fmt: skip
    return F, y, problem_of(F, y, None, None, {}, parameters)


def head_of(task):
    return Head(
        task.Y, task.Z, task.omega, task.penalised, task.nu, task.nu_c, xp, "cpu"
    )


def test_it_is_logistic_regression():
    F, y, task = case()
    point = head_of(task).minimise(F, np.zeros((3, 1)), np.zeros((1, 1)))
    peer = LogisticRegression(C=2.0, tol=1e-12, max_iter=1000).fit(F, y)
    assert point.converged
    assert point.beta.ravel() == pytest.approx(peer.coef_.ravel(), abs=1e-6)
    assert point.Gamma.ravel() == pytest.approx(peer.intercept_, abs=1e-6)
    assert abs(point.alpha.sum()) <= 1e-12 * len(y)


def test_several_classes_against_cvxpy():
    import cvxpy as cp

    F, _, task = case(K=2)
    point = head_of(task).minimise(F, np.zeros((3, 2)), np.zeros((1, 2)))
    B, b = cp.Variable((3, 2)), cp.Variable((1, 2))
    D = F @ B + np.ones((60, 1)) @ b
    loss = cp.sum(cp.log_sum_exp(cp.hstack([np.zeros((60, 1)), D]), axis=1))
    loss = loss - cp.sum(cp.multiply(task.Y, D)) + 0.25 * cp.sum_squares(B)
    problem = cp.Problem(cp.Minimize(loss))
    problem.solve(solver=cp.CLARABEL)
    assert point.value == pytest.approx(problem.value, rel=1e-7)


def test_far_starts_and_separable_data_do_not_overflow():
    F, y, task = case(alpha=0.0)
    F[:, 0] = 100.0 * (2 * y - 1)
    head = head_of(task)
    start = head.at(np.hstack([F, task.Z]), np.full((4, 1), 50.0), 3)
    point = head.minimise(F, np.full((3, 1), 50.0), np.full((1, 1), 50.0))
    assert np.isfinite(point.value)
    assert point.value <= start.value


@pytest.mark.parametrize("K", [1, 3])
def test_array_code_is_the_measure(K):
    rng = np.random.default_rng(0)
    D, Y = (
        30 * rng.standard_normal((9, K)),
        np.eye(K + 1)[rng.integers(0, K + 1, 9)][:, 1:],
    )
    omega = rng.uniform(0.5, 2, (9, 1))
    assert softmax(xp, D) == pytest.approx(probabilities(D), abs=1e-15)
    expected = omega.ravel() @ label_losses(D, Y)
    assert label_loss(xp, D, Y, omega) == pytest.approx(expected, rel=1e-13)


def test_the_hessian_is_the_derivative_of_the_gradient():
    rng = np.random.default_rng(0)
    M, theta = rng.standard_normal((12, 3)), rng.standard_normal((3, 2))
    omega = rng.uniform(0.5, 2, (12, 1))

    def slope(flat):
        return (M.T @ (omega * softmax(xp, M @ flat.reshape(2, 3).T))).T.ravel()

    flat, step = theta.T.ravel(), 1e-6
    exact = [
        (slope(flat + step * e) - slope(flat - step * e)) / (2 * step)
        for e in np.eye(6)
    ]
    found = hessian(xp, M, softmax(xp, M @ theta), omega)
    assert found == pytest.approx(np.array(exact), abs=1e-8)


def test_the_ridge_of_a_product_and_a_bound_on_the_norm():
    import cvxpy as cp

    F, y, task = case()
    S = F.T @ F / 20
    for limit in (0.0, 0.1):
        beta, Gamma = solve_head(
            task, F, S, np.zeros((3, 1)), np.zeros((1, 1)), l2=0.3, limit=limit
        )
        B, b = cp.Variable(3), cp.Variable()
        D = F @ B + b
        loss = cp.sum(cp.logistic(D)) - cp.sum(cp.multiply(y, D))
        loss = loss + 0.25 * cp.quad_form(B, S) + 0.15 * cp.sum_squares(B)
        problem = cp.Problem(cp.Minimize(loss), [cp.norm(B) <= limit] if limit else [])
        problem.solve(solver=cp.CLARABEL)
        assert beta.ravel() == pytest.approx(B.value, abs=2e-5)
        assert Gamma.item() == pytest.approx(float(b.value), abs=2e-5)
        if limit:
            assert np.linalg.norm(beta) <= limit


def test_the_refitted_head_has_the_ridge_of_the_product():
    F, y, task = case()
    beta, Gamma = refit_head(task, F)
    direct = solve_head(task, F, F.T @ F, np.zeros((3, 1)), np.zeros((1, 1)))
    assert beta == pytest.approx(direct[0], abs=1e-8)
    doubled = refit_head(task, np.hstack([F, F]))[0]
    assert doubled[:3] + doubled[3:] == pytest.approx(beta, abs=1e-8)
    assert refit_head(task, 0.0 * F)[0] == pytest.approx(np.zeros((3, 1)))
