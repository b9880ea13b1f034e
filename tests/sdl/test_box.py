"""Projected quasi-Newton steps against SciPy's L-BFGS-B."""

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from sdl.box import minimise_in_box


def test_rosenbrock_in_a_box():
    def f(x):
        return float(rosen(x)), rosen_der(x)

    free = np.zeros(4, dtype=bool)
    x = minimise_in_box(f, np.full(4, 2.0), free, steps=300)
    assert x == pytest.approx(np.ones(4), abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_quadratic_with_active_bounds(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((12, 8))
    H, b = A.T @ A + 0.1 * np.eye(8), 3 * rng.standard_normal(8)
    positive = np.arange(8) < 6

    def f(x):
        return float(0.5 * x @ H @ x - b @ x), H @ x - b

    x = minimise_in_box(f, np.ones(8), positive, steps=400)
    bounds = [(0, None) if p else (None, None) for p in positive]
    exact = minimize(
        f, np.ones(8), jac=True, bounds=bounds, method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    assert x[positive].min() >= 0
    assert (x[positive] == 0).any()
    assert f(x)[0] == pytest.approx(exact.fun, rel=1e-9)


def test_it_stays_where_nothing_is_gained():
    def f(x):
        return float(x @ x), 2 * x

    start = np.zeros(3)
    assert np.array_equal(minimise_in_box(f, start, start == 0, steps=5), start)
