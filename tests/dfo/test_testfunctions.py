"""Test functions: minima, gradients, and the compiled twins."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from dfo import _kernels as k
from dfo.testfunctions import NAMES, SUITE, get, shifted

TWO = [name for name in NAMES if name not in SUITE and name != "rastrigin_cbo"]
CASES = [(name, d) for name in NAMES for d in ((2,) if name in TWO else (2, 5))]
by_case = pytest.mark.parametrize(("name", "d"), CASES)


def points(f, n=40):
    rng = np.random.default_rng(0)
    return rng.uniform(f.bounds[:, 0], f.bounds[:, 1], (n, len(f.bounds)))


@by_case
def test_rows_points_and_compiled_rows_agree(name, d):
    f = get(name, d)
    X = points(f)
    values = f(X)
    assert values.shape == (40,)
    assert np.array([f.fun_row(x) for x in X]) == pytest.approx(values, rel=1e-10)
    assert f(X[3]) == pytest.approx(values[3], rel=1e-12)


@by_case
def test_the_minimum_is_one(name, d):
    f = get(name, d)
    assert f(f.x_star) == pytest.approx(f.f_star, rel=1e-9, abs=1e-9)
    assert f(points(f, 2000)).min() >= f.f_star - 1e-9 * abs(f.f_star)
    rng = np.random.default_rng(1)
    near = f.x_star + 1e-3 * rng.normal(size=(200, d))
    near = np.clip(near, f.bounds[:, 0], f.bounds[:, 1])
    assert f(near).min() >= f.f_star - 1e-8 * max(1.0, abs(f.f_star))


@pytest.mark.parametrize(
    "name", ["sphere", "rastrigin", "ackley", "alpine1", "salomon"]
)
def test_minima_at_zero_are_exact(name):
    assert get(name, 4).fun_row(np.zeros(4)) == 0


@by_case
def test_gradients(name, d):
    f = get(name, d)
    if f.jac is None:
        pytest.skip("no gradient")
    for x in points(f, 5):
        g = approx_fprime(x, f.fun, 1e-7)
        assert f.jac(x) == pytest.approx(g, rel=1e-3, abs=1e-4 * np.abs(g).max() + 1e-4)


def test_fast_cosine_is_accurate():
    x = np.linspace(-3.3, 3.3, 2001)
    fast = np.array([k.versine(v) for v in x])
    assert np.abs(fast - (1 - np.cos(2 * np.pi * x))).max() < 5e-15
    assert [k.versine(v) for v in (-2.0, 0.0, 7.0)] == [0, 0, 0]


def test_canyon_at_the_corner():
    f = get("canyon")
    assert f([8.0, 8.0]) == pytest.approx(39.0125366353719, rel=1e-14)
    assert f.fun_row(np.array([8.0, 8.0])) == pytest.approx(39.0125366353719, rel=1e-13)
    assert f([0.0, 0.0]) == 0


def test_schwefel_outside_of_its_box():
    f = get("schwefel", 2)
    edge, out = f([500.0, 0.0]), f([503.0, 0.0])
    assert out == pytest.approx(edge + 9.0)


@pytest.mark.parametrize("name", SUITE)
def test_shifted_instances_keep_their_minimum_inside(name):
    f, twin, other = (shifted(name, 3, i) for i in (4, 4, 5))
    assert (np.abs(f.x_star) < f.bounds[:, 1]).all()
    assert f(f.x_star) == pytest.approx(f.f_star, abs=1e-9)
    assert f.fun_row(f.x_star) == pytest.approx(f.f_star, abs=1e-9)
    assert np.array_equal(f.x_star, twin.x_star)
    assert not np.array_equal(f.x_star, other.x_star)
    if f.jac is not None:
        assert np.abs(f.jac(f.x_star)).max() < 1e-6


@pytest.mark.parametrize(
    ("name", "d"), [("banana", 2), ("easom", 3), ("rosenbrock", 1)]
)
def test_bad_requests_are_named(name, d):
    with pytest.raises(ValueError, match=f"{name}|d="):
        get(name, d)
