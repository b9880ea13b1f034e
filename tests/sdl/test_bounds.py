"""Bounds: published values, their order, and the Fantope program."""

import warnings

import numpy as np
import pytest
from scipy.linalg import eigh
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import scale

import farkas
from sdl import dual_bound, fantope_bound, lpgd, sandwich_bound
from sdl.fantope import project_on_fantope


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


def test_the_published_dual_bound_of_wine():
    X, y = load_wine(return_X_y=True)
    X = scale(X)
    result = lpgd(X, y, 4, tol=1e-12)
    D = X @ result.x["W"] @ result.x["beta"] + result.x["Gamma"]
    e = np.exp(np.column_stack([np.zeros(len(D)), D]))
    alpha = (np.eye(3)[y] - e / e.sum(axis=1, keepdims=True))[:, 1:]
    assert dual_bound(X, y, 4, alpha) == pytest.approx(626.335589, rel=1e-7)
    assert result.lower_bound >= 626.335589  # a better dual point on the way


@pytest.mark.parametrize(
    ("r", "xi", "alpha", "expected"),
    [(2, 0.1, 1.0, 688.8718), (5, 0.01, 1.0, 67.90909)],
)
def test_the_published_refinement(cancer, r, xi, alpha, expected):
    X, y = cancer
    refined = lpgd(X, y, r, xi=xi, alpha=alpha, certificate="refine")
    assert refined.lower_bound == pytest.approx(expected, rel=2e-6)
    assert refined.relative_gap <= 0.03
    assert not refined.is_global  # the relaxation itself has a gap
    farkas.verify(refined, X, y).check()
    assert refined.lower_bound > lpgd(X, y, r, xi=xi, alpha=alpha).lower_bound


def test_the_refinement_of_a_weak_ridge(cancer):
    bound = fantope_bound(*cancer, 2, xi=0.1, alpha=0.1)
    assert bound.lower_bound == pytest.approx(673.33, rel=1e-4)
    assert bound.lower_bound <= 688.994042
    assert bound.fractional >= 2
    again = dual_bound(*cancer, 2, bound.dual, xi=0.1, alpha=0.1)
    assert again == bound.lower_bound


def test_the_refinement_of_the_feature_model(cancer):
    X, y = cancer[0][::3], cancer[1][::3]
    problem = {"model": "feature", "xi": 0.05, "alpha": 0.01}
    plain = lpgd(X, y, 4, **problem)
    refined = lpgd(X, y, 4, certificate="refine", **problem)
    assert plain.lower_bound < refined.lower_bound <= refined.fun
    assert refined.fun <= plain.fun * (1 + 1e-12)


def test_the_fantope_program_is_tight_where_the_gap_is_closed(cancer):
    X, y = cancer
    bound = fantope_bound(X, y, 2, alpha=10.0)
    optimum = lpgd(X, y, 2, alpha=10.0)
    assert bound.lower_bound == pytest.approx(optimum.fun, rel=2e-6)
    assert bound.success


def test_the_sandwich_holds_the_optimum():
    X, y = load_wine(return_X_y=True)
    X = scale(X)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    for alpha in (0.0, 1.0):
        problem = {"xi": 0.3, "alpha": alpha, "sample_weight": weights}
        lower, upper = sandwich_bound(X, y, 3, **problem)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # alpha=0
            optimum = lpgd(X, y, 3, max_iter=30, **problem).fun
        assert lower <= optimum <= upper * (1 + 1e-9)
    assert sandwich_bound(X, y, 1).upper == np.inf


def test_bounds_of_a_constrained_fit_hold_for_free_factors(cancer):
    from sdl import bcd

    X, y = cancer
    result = bcd(X, y, 2, nonnegative="W", max_iter=5)
    assert result.lower_bound <= lpgd(X, y, 2).fun <= result.fun * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_the_projection_on_the_fantope(seed):
    import cvxpy as cp

    rng = np.random.default_rng(seed)
    S = rng.standard_normal((5, 5))
    S = S + S.T if seed else np.eye(5)
    r = 1 + seed % 4
    P = project_on_fantope(S, r)
    values = eigh(P, eigvals_only=True)
    assert values.min() >= -1e-12
    assert values.max() <= 1 + 1e-12
    assert values.sum() == pytest.approx(r, abs=1e-12)
    V = cp.Variable((5, 5), symmetric=True)
    constraints = [V >> 0, np.eye(5) - V >> 0, cp.trace(V) == r]
    problem = cp.Problem(cp.Minimize(cp.sum_squares(V - S)), constraints)
    problem.solve(solver=cp.CLARABEL)
    assert np.sum((P - S) ** 2) <= problem.value + 1e-6


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda X, y: dual_bound(X, y, 2, np.zeros(3)), "dual must hold"),
        (lambda X, y: dual_bound(X, y, 2, np.full(len(y), np.nan)), "dual must hold"),
        (lambda X, y: sandwich_bound(X, y, 2, model="feature"), "sandwich bound"),
        (lambda X, y: fantope_bound(X, y, 2, alpha=0.0), "alpha=0"),
        (lambda X, y: fantope_bound(X, y, 2, tol=-1.0), "tol"),
        (
            lambda X, y: fantope_bound(
                np.tile(X, (3, 1)), np.tile(y, 3), 2, model="feature"
            ),
            "too large",
        ),
    ],
)
def test_bad_input_is_named(cancer, work, message):
    with pytest.raises(ValueError, match=message):
        work(*cancer)
