"""Rates of contraction: published numbers, quadrature and simulation."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from dfo._measure_rates import decay_rate, expected_log_factor, mean_square_factor


@pytest.mark.parametrize(
    ("drift", "noise", "expected"),
    [
        (0.01, 0.51, -0.191120),
        (0.6, 1.2, -0.398318),
        (0.1, 1.0, -0.279429),
        (1.0, 1.0, -0.635181),
        (0.1, 2.5, 0.344533),
    ],
)
def test_published_rates(drift, noise, expected):
    assert expected_log_factor(drift, noise) == pytest.approx(expected, abs=1e-6)


def test_pure_noise_in_closed_form():
    exact = -(np.euler_gamma + math.log(2)) / 2
    assert expected_log_factor(1.0, 1.0) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(("drift", "noise"), [(0.3, 0.05), (0.8, 1.3), (0.01, 0.02)])
def test_quadrature_agrees(drift, noise):
    def integrand(xi):
        density = math.exp(-0.5 * xi * xi) / math.sqrt(2 * math.pi)
        return math.log(abs(1 - drift + noise * xi)) * density

    zero = -(1 - drift) / noise
    ends = sorted({-12.0, 12.0, min(max(zero, -12.0), 12.0)})
    total = sum(
        quad(integrand, a, b, limit=400)[0]
        for a, b in zip(ends, ends[1:], strict=False)
    )
    assert expected_log_factor(drift, noise) == pytest.approx(total, abs=1e-6)


def test_default_isotropic_noise_would_diverge_at_the_anisotropic_strength():
    rates = [expected_log_factor(0.8, 1.3, d) for d in (2, 4, 20)]
    assert rates == pytest.approx([0.326, 0.823, 1.735], abs=1e-3)
    assert expected_log_factor(0.8, 1.3) < 0 < math.log(mean_square_factor(0.8, 1.3))


def test_simulation_of_isotropic_noise_agrees():
    rng = np.random.default_rng(0)
    xi = rng.standard_normal((200_000, 4))
    xi = 0.5 * xi
    xi[:, 0] += 0.7
    simulated = np.log(np.linalg.norm(xi, axis=1)).mean()
    assert expected_log_factor(0.3, 0.5, 4) == pytest.approx(simulated, abs=5e-3)


def test_without_noise():
    assert expected_log_factor(0.25, 0.0) == math.log(0.75)
    assert expected_log_factor(1.0, 0.0) == -math.inf
    assert expected_log_factor(0.25, 1e-9) == pytest.approx(math.log(0.75))


def test_decay_rate_ignores_the_ends_and_zeros():
    t = np.arange(100) * 0.1
    v = np.exp(-1.7 * t)
    v[:10], v[90:] = 5.0, 0.0
    assert decay_rate(v, 0.1) == pytest.approx(1.7)
    assert math.isnan(decay_rate(np.zeros(50), 0.1))
    assert math.isnan(decay_rate(np.ones(2), 0.1))
