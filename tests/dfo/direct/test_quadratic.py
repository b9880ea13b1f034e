"""Quadratic models and the trust-region step against brute force."""

import numpy as np
import pytest
from scipy.optimize import minimize

from dfo.direct.quadratic import Quadratic, fit, minimize_in_ball


def random_quadratic(rng, k):
    H = rng.standard_normal((k, k))
    return rng.standard_normal(), rng.standard_normal(k), H + H.T


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("extra", [0, 4])
def test_enough_points_recover_the_quadratic(k, extra):
    rng = np.random.default_rng(k)
    a, g, H = random_quadratic(rng, k)
    P = 1e-3 * rng.standard_normal(((k + 1) * (k + 2) // 2 + extra, k))
    model = Quadratic(np.zeros(k), a, g, H)
    found = fit(P, model.at(P)[:, None])
    np.testing.assert_allclose(found[1][0], g, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[2][0], H, rtol=1e-4, atol=1e-4)


def test_few_points_are_interpolated_with_the_least_change():
    rng = np.random.default_rng(0)
    k = 4
    a, g, H = random_quadratic(rng, k)
    P = np.vstack([np.zeros(k), rng.standard_normal((7, k))])
    truth = Quadratic(np.zeros(k), a, g, H)
    for prior in (None, H, H + 0.1 * np.eye(k)):
        b, d, M = (part[0] for part in fit(P, truth.at(P)[:, None], prior))
        np.testing.assert_allclose(
            Quadratic(np.zeros(k), b, d, M).at(P), truth.at(P), atol=1e-9
        )
    # With the true Hessian as prior nothing is left to change.
    np.testing.assert_allclose(fit(P, truth.at(P)[:, None], H)[2][0], H, atol=1e-9)


def test_points_on_a_line_do_not_break_the_fit():
    P = np.outer(np.linspace(-1, 1, 8), [1.0, 2.0, -1.0])
    a, g, H = fit(P, (P[:, :1] ** 2))
    assert np.isfinite(H).all()
    np.testing.assert_allclose(
        Quadratic(np.zeros(3), a[0], g[0], H[0]).at(P), P[:, 0] ** 2, atol=1e-8
    )
    assert fit(np.zeros((4, 3)), np.ones((4, 1))) is None


@pytest.mark.parametrize("seed", range(30))
def test_the_step_minimises_in_the_ball(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 5))
    _, g, H = random_quadratic(rng, k)
    if seed % 3 == 0:
        H = H @ H.T
    if seed % 5 == 0:  # the hard case: no component along the lowest eigenvector
        lowest = np.linalg.eigh(H)[1][:, 0]
        g -= (g @ lowest) * lowest
    radius = float(10.0 ** rng.uniform(-3, 1))
    p = minimize_in_ball(g, H, radius)
    assert np.linalg.norm(p) <= radius * (1 + 1e-8)

    def value(q):
        return g @ q + 0.5 * q @ H @ q

    best = 0.0
    for start in rng.standard_normal((12, k)):
        start *= radius / np.linalg.norm(start)
        found = minimize(
            value,
            start,
            constraints={"type": "ineq", "fun": lambda q: radius**2 - q @ q},
            method="SLSQP",
        )
        q = found.x * min(1.0, radius / max(np.linalg.norm(found.x), 1e-300))
        best = min(best, value(q))
    assert value(p) <= best + 1e-6 * (1 + abs(best))
    assert minimize_in_ball(np.zeros(k), np.eye(k), 1.0) == pytest.approx(np.zeros(k))
