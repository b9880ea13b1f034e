"""Every form of objective gives the same values, and every call is counted."""

import math

import joblib
import numpy as np
import pytest

from dfo.objective import Objective
from dfo.testfunctions import get

X = np.random.default_rng(0).normal(size=(6, 2))
PROBE = X[:2]


def scalar(x):
    return float(x[0] ** 2 + abs(x[1]))


def rows(X):
    return X[:, 0] ** 2 + np.abs(X[:, 1])


EXPECTED = rows(X)


def test_auto_recognises_rows_and_points():
    for fun, vectorized in ((rows, True), (scalar, False)):
        objective = Objective(fun, vectorized="auto", probe=PROBE)
        assert objective.vectorized is vectorized
        assert objective.nfev in (2, 4)
        assert objective.rows(X) == pytest.approx(EXPECTED)


def test_auto_compares_values_where_shapes_agree():
    def misleading(x):  # of one point, but rows have a shape that would fit
        return x[0] ** 2 + np.abs(x[1]) if x.ndim == 1 else np.zeros(len(x))

    assert not Objective(misleading, vectorized="auto", probe=PROBE).vectorized

    def first_of_two(x):  # x[0] is a row if x holds two
        return x[0]

    assert not Objective(first_of_two, vectorized="auto", probe=PROBE).vectorized


def test_compiled_functions_are_recognised():
    f = get("sphere", 2)
    objective = Objective(f.fun_row, vectorized="auto", probe=PROBE)
    assert objective.compiled
    assert objective.nfev == 0
    assert objective.rows(X) == pytest.approx(f.fun(X))
    assert not Objective(scalar).compiled
    assert not Objective(f.fun_row, (1.0,)).compiled


@pytest.mark.parametrize(
    "workers", [1, 2, map, joblib.Parallel(n_jobs=2, backend="threading")]
)
def test_workers_agree_to_the_bit(workers):
    assert np.array_equal(Objective(scalar, workers=workers).rows(X), EXPECTED)


def test_arguments_and_counting():
    objective = Objective(lambda x, a, b: a * x[0] + b, (2.0, 1.0))
    assert objective.rows(X) == pytest.approx(2 * X[:, 0] + 1)
    assert objective.point(X[0]) == pytest.approx(2 * X[0, 0] + 1)
    assert objective.nfev == 7
    assert Objective(lambda x, a: a * x[0], 2.0).point(X[0]) == 2 * X[0, 0]


def test_the_function_cannot_change_the_points():
    def spoil(x):
        x[:] = 0.0
        return 1.0

    before = X.copy()
    Objective(spoil).rows(X)
    Objective(lambda Z: spoil(Z) + np.zeros(len(Z)), vectorized=True).rows(X)
    assert np.array_equal(X, before)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(6, 1\)"):
        Objective(lambda X: X[:, :1], vectorized=True).rows(X)
    with pytest.raises(ValueError, match=r"\(2,\)"):
        Objective(lambda x: x).rows(X)
    assert Objective(lambda x: np.array([[1.0]])).point(X[0]) == 1.0


def test_exceptions_and_missing_values_pass_through():
    def broken(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        Objective(broken).rows(X)
    assert math.isnan(Objective(lambda x: math.nan).point(X[0]))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"fun": 3.0}, TypeError, "callable"),
        ({"fun": scalar, "vectorized": "yes"}, ValueError, "vectorized"),
        ({"fun": scalar, "workers": "all"}, TypeError, "workers"),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    with pytest.raises(error, match=match):
        Objective(**arguments)
