"""The textbook method: its step window, its rate, and what happens outside."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

import farkas
from farkas import Status
from sdl import lpgd
from sdl._measure_data import problem_of
from sdl.textbook import step_window

OPTIMUM = 2693.3735374833


@pytest.fixture(scope="module")
def data():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


def run(data, step, **changes):
    common = {"xi": 0.5, "fit_intercept": False, "tol": 0.0, "max_iter": 60}
    return lpgd(*data, 3, model="feature", step=step, **common | changes)


@pytest.mark.parametrize("step", ["fixed", 1.0])
def test_inside_the_window_it_contracts(data, step):
    result = run(data, step)
    assert result.history["objective"][-1] == pytest.approx(OPTIMUM, rel=1e-12)
    change = result.history["gradient_mapping"] * result.history["step"]
    assert change[24] < 1e-9
    assert result.step_window == pytest.approx((0.5, 1.2))
    assert result.condition_ratio == pytest.approx(1.25)
    farkas.verify(result, *data).check()
    assert result.certificate.gap <= 1e-9 * OPTIMUM


def test_a_short_step_is_slow(data):
    result = run(data, 0.2)
    change = result.history["gradient_mapping"] * 0.2
    assert change[47] == pytest.approx(8e-4, rel=0.1)


def test_a_long_step_cycles_and_a_longer_one_diverges(data):
    assert run(data, 1.4).history["objective"][-1] == pytest.approx(3225.93, abs=0.01)
    assert run(data, 2.2).history["objective"][-1] > 1e9


def test_overflow_keeps_the_last_finite_matrix(data):
    result = run(data, 1e200)
    assert result.status is Status.NUMERICAL
    assert np.isfinite(result.fun)


def test_a_decaying_step_is_not_compounded(data):
    result = run(data, 1.0, decay=0.5)
    expected = np.arange(1.0, 61.0) ** -0.5
    # the row of an iteration shows the step of the next one
    assert result.history["step"][:-1] == pytest.approx(expected[1:])


def test_the_stopping_rule_of_the_textbook(data):
    result = run(data, "fixed", tol=1e-6)
    assert result.status is Status.CONVERGED
    assert result.nit < 60


def test_the_rate_of_theory_holds(data):
    result = run(data, "fixed", max_iter=20)
    distance = np.sqrt(np.maximum(result.history["objective"] - OPTIMUM, 0.0))
    # the objective is 1.25-smooth and 1-strongly convex around the optimum
    assert (distance[2:15] <= 2 * 0.4444445 * distance[1:14] + 1e-4).all()


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_it_agrees_with_long_steps(model):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4)) / 5
    y = (X[:, 0] + 0.1 * rng.standard_normal(30) > 0).astype(int)
    Z = rng.standard_normal(30) / 5
    weights = rng.uniform(0.8, 1.2, 30)
    common = {"Z": Z, "sample_weight": weights, "model": model, "fit_intercept": False}
    common["xi"] = 0.5
    slow = lpgd(X, y, 2, step="fixed", tol=1e-14, max_iter=2000, **common)
    fast = lpgd(X, y, 2, tol=1e-10, **common)
    assert slow.history["objective"][-1] == pytest.approx(fast.fun, rel=1e-8)


def test_hessian_bounds_hold_for_weights_and_classes():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((20, 3)), rng.integers(0, 3, 20)
    parameters = {
        "model": "filter", "n_components": 2, "xi": 0.1, "alpha": 0.3,
        "alpha_covariates": 0.2, "fit_intercept": True, "baseline": 0,
        "class_weight": "balanced", "missing": "error",
    }  # fmt: skip
    C, v = rng.standard_normal((20, 1)), rng.uniform(0.5, 2, 20)
    task = problem_of(X, y, C, v, {}, parameters)
    window = step_window(task)
    Phi = np.sqrt(task.omega)[:, None] * np.hstack([X, task.Z])
    assert window.L == pytest.approx(0.3 + 0.5 * np.linalg.norm(Phi, 2) ** 2)
    assert window.mu == 0.0
    assert window.low == np.inf
