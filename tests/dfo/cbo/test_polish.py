"""Local methods within an exact budget."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from dfo.cbo.local.polish import polish
from dfo.objective import Objective
from dfo.testfunctions import get

LOWER, UPPER = np.full(3, -2.0), np.full(3, 2.0)
START = np.array([-1.0, 0.5, 1.5])


def polished(method="L-BFGS-B", fun=rosen, budget=10**5, **options):
    objective = Objective(fun)
    x, f = polish(method, objective, START, LOWER, UPPER, budget=budget, **options)
    return x, f, objective.nfev


@pytest.mark.parametrize("options", [{}, {"jac": rosen_der}])
def test_lbfgs_finds_the_minimum(options):
    x, f, nfev = polished(**options)
    assert x == pytest.approx(np.ones(3), abs=1e-3)
    assert f == pytest.approx(rosen(x))
    assert nfev <= 500 * 4


@pytest.mark.parametrize("method", ["L-BFGS-B", "cdsm"])
@pytest.mark.parametrize("budget", [1, 3, 4, 5, 37])
def test_budgets_are_exact(method, budget):
    x, f, nfev = polished(method, budget=budget)
    assert nfev <= budget
    if nfev:
        assert f == rosen(x) <= rosen(START)
    else:
        assert f == math.inf


def test_compiled_objectives_and_bounds():
    f = get("rosenbrock", 3)
    objective = Objective(f.fun_row)
    lower = np.array([-2.0, -2.0, 1.5])
    x, value = polish("L-BFGS-B", objective, START, lower, UPPER, budget=5000)
    expected = minimize(rosen, START, bounds=list(zip(lower, UPPER, strict=True)))
    assert value == pytest.approx(expected.fun, rel=1e-4)
    assert objective.nfev > 10


def test_targets_and_constraints():
    x, f, nfev = polished(ftarget=10.0)
    assert f <= 10
    assert nfev < 100
    for method in ("L-BFGS-B", "cdsm"):
        x, f, _ = polished(method, feasible=lambda x: x[0] <= 0.5)
        assert x[0] <= 0.5
    assert f < rosen(START)


def test_missing_values_do_not_stop_it():
    def holes(x):
        return math.nan if x[0] > 0.2 else rosen(x)

    x, f, _ = polished(fun=holes)
    assert f < rosen(START)
    assert x[0] <= 0.2


def test_hops_leave_a_local_minimum_of_a_sum():
    f = get("rastrigin", 3)
    rng = np.random.default_rng(4)
    stuck = np.array([0.994959, -1.989912, 0.994959])  # a local minimum
    for generator, bound in ((None, math.inf), (rng, 1.0)):
        objective = Objective(f.fun, vectorized=True)
        box = (f.bounds[:, 0], f.bounds[:, 1])
        x, value = polish(
            "L-BFGS-B", objective, stuck, *box, budget=2000, rng=generator
        )
        assert value < bound
        assert objective.nfev <= 2000
        if generator is None:
            assert value > 5


def test_direct_search_descends_where_gradients_do_not_help():
    def kink(x):
        return abs(x[0] - 0.3) + 3 * abs(x[1] + 0.1) + abs(x[0] + x[2])

    x, f, nfev = polished("cdsm", fun=kink)
    assert x == pytest.approx([0.3, -0.1, -0.3], abs=1e-5)
    assert nfev <= 2000

    def holes(x):
        return math.nan if x[0] > 0.2 else rosen(x)

    x, f, _ = polished("cdsm", fun=holes)
    assert x[0] <= 0.2
    assert f < rosen(START)
