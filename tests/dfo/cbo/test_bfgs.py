"""BFGS with differences: its pieces against formulas, and its precision."""

import math

import numpy as np
import pytest
from numba import config

from dfo.cbo.local import _kernels_bfgs as kb
from dfo.cbo.local.polish import polish
from dfo.objective import Objective
from dfo.testfunctions import get

LOWER, UPPER = np.full(4, -5.0), np.full(4, 5.0)


def polished(fun, x0, budget=10**5, lower=LOWER, upper=UPPER, **options):
    objective = Objective(fun)
    x, f = polish("BFGS", objective, np.array(x0, float), lower, upper, budget=budget,
                  **options)  # fmt: skip
    return x, f, objective.nfev


def scalars(width=0.0, phase=kb.DIFFERENCES):
    S, K = np.zeros(6), np.zeros(6, dtype=np.int64)
    S[kb.WIDTH], K[kb.PHASE] = width, phase
    return S, K


@pytest.mark.parametrize("x", [[0.3, -1.0], [1.0, -2.0], [0.99995, -1.99995]])
def test_central_differences_are_exact_for_parabolas(x):
    """Also at a bound, and so near to one that the steps are unequal."""
    x, lower, upper = np.array(x), np.full(2, -2.0), np.ones(2)
    S, K = scalars(width=1e-4)
    points, g = np.empty((4, 2)), np.empty(2)

    def fun(z):
        return 3 * z[..., 0] ** 2 - z[..., 0] + 5 * z[..., 1] ** 2 + 2 * z[..., 1]

    m = kb.ask(x, np.zeros(2), S, K, lower, upper, upper - lower, points)
    assert m == 4
    assert (points >= lower).all()
    assert (points <= upper).all()
    S[kb.F] = fun(x)
    assert kb.gradient(x, points, fun(points), S, g)
    exact = np.array([6 * x[0] - 1, 10 * x[1] + 2])
    inside = (x > lower) & (x < upper)
    assert g[inside] == pytest.approx(exact[inside], rel=1e-8)
    assert g[~inside] == pytest.approx(exact[~inside], abs=5e-3)  # one-sided


def test_forward_differences_turn_back_at_a_bound():
    x = np.array([5.0, 1.0, 0.0, -5.0])
    S, K = scalars()
    points, g = np.empty((8, 4)), np.empty(4)
    assert kb.ask(x, x, S, K, LOWER, UPPER, UPPER - LOWER, points) == 4
    assert points[:4].max() <= 5.0
    S[kb.F] = (x**2).sum()
    assert kb.gradient(x, points, (points**2).sum(axis=1), S, g)
    assert g == pytest.approx(2 * x, abs=1e-5)


def test_the_update_is_bfgs_and_satisfies_the_secant_equation():
    rng = np.random.default_rng(0)
    B = rng.normal(size=(4, 4))
    H, s = B @ B.T, rng.normal(size=4)
    y = s + 0.1 * rng.normal(size=4)
    V = np.eye(4) - np.outer(s, y) / (s @ y)
    expected = V @ H @ V.T + np.outer(s, s) / (s @ y)
    x, g = rng.normal(size=4), rng.normal(size=4)
    assert kb.update(x + s, g + y, x, g, H)
    assert pytest.approx(expected) == H
    assert pytest.approx(s) == H @ y
    before = H.copy()
    assert not kb.update(x + s, g - y, x, g, H)  # curved the wrong way
    assert np.array_equal(H, before)


def test_variables_at_a_bound_are_held():
    H, p = np.eye(2) + 0.5, np.zeros(2)
    x, g = np.array([0.0, 0.5]), np.array([1.0, 2.0])
    slope = kb.direct(x, g, H, p, np.zeros(2), np.ones(2))
    assert p == pytest.approx([0.0, -3.0])
    assert slope == pytest.approx(-6)
    x, f, _ = polished(
        lambda z: ((z - [7, 0, -7, 1]) ** 2).sum() + z[0] * z[1], np.zeros(4)
    )
    assert x == pytest.approx([5, -2.5, -5, 1], abs=1e-6)


def test_ill_conditioned_valleys_are_followed_to_the_end():
    Q = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    H = Q @ np.diag([1.0, 1e2, 1e4, 1e6]) @ Q.T
    x, f, nfev = polished(lambda z: 100 + (z - 1) @ H @ (z - 1), [3, -2, 0, 4])
    assert f - 100 < 1e-9
    assert nfev < 1500
    assert polished(get("rosenbrock", 4).fun, [-1, 2, 3, -2])[1] < 1e-12


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is fused")
@pytest.mark.parametrize("budget", [3, 40, 10**5])
def test_the_fused_loop_is_the_plain_one(budget):
    row = get("rosenbrock", 4).fun_row
    start = [-1.0, 2.0, 3.0, -2.0]
    for options in ({}, {"ftarget": 5.0}):
        fused = polished(row, start, budget, **options)
        plain = polished(lambda z: row(z), start, budget, **options)
        assert np.array_equal(fused[0], plain[0])
        assert fused[1] == plain[1]
        assert fused[2] <= budget
        if not options:
            assert fused[2] == plain[2]


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.0])
def test_flat_and_missing_values_end_it(value):
    _, f, nfev = polished(lambda z: value, np.zeros(4))
    assert nfev < 60
    assert f == (1.0 if value == 1.0 else math.inf)


def test_kinks_end_it_near_the_minimum():
    _, f, nfev = polished(lambda z: np.abs(z - 0.3).sum(), [1, 2, -3, 0.5])
    assert f < 1e-3
    assert nfev < 2500
