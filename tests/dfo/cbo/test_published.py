"""Rates of success that papers print, each within three standard errors.

Fewer runs than in the papers; larger numbers are in the benchmark's tables.
"""

import math

import numpy as np
import pytest
from numba import config

from dfo import CBO
from dfo.objective import Objective
from dfo.testfunctions import get

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="takes minutes without")

# Nothing ends these runs before their last step.
ENDLESS = {
    "boundary": None,
    "cooling": 1.0,
    "xtol": 0.0,
    "ftol": 0.0,
    "patience": 10**9,
}


def within_three_errors(hits, runs, rate):
    """Tell whether hits fit a rate known to a hundredth or so."""
    error = math.sqrt(max(rate * (1 - rate), 0.01) / runs)
    return abs(hits / runs - rate) <= 3 * error


def truncated_run(name, truncation, sigma, seed):
    """One run of arXiv:2310.16610, table 1; whether the consensus is at the minimum."""
    f = get(name, 4)
    rng = np.random.default_rng([7, seed])
    swarm = CBO(
        4,
        x0=1 + math.sqrt(2000) * rng.standard_normal((100, 4)),
        noise="isotropic",
        lam=1.0,
        sigma=sigma,
        dt=0.01,
        alpha=1e5,
        truncation=truncation,
        random_state=seed,
        **ENDLESS,
    )
    swarm.advance(Objective(f.fun_row), 5000, 10**9)
    return bool(f.fun(swarm.consensus) < 0.1)


@pytest.mark.parametrize(
    ("name", "truncation", "sigma", "rate"),
    [
        ("rastrigin_cbo", None, 0.3, 0.50),
        ("rastrigin_cbo", None, 1.2, 0.02),
        ("rastrigin_cbo", 1.0, 1.2, 1.00),
        ("rastrigin_cbo", 1.0, 3.0, 0.42),
        ("rastrigin_cbo", 5.0, 3.0, 0.00),
        ("ackley", None, 0.5, 1.00),
    ],
)
def test_truncated_noise(name, truncation, sigma, rate):
    runs = 20
    with np.errstate(over="ignore", invalid="ignore"):
        hits = sum(truncated_run(name, truncation, sigma, seed) for seed in range(runs))
    assert within_three_errors(hits, runs, rate)


def test_annealed_langevin_in_the_canyon():
    """All runs at once: gradients by differences, noise 10 / log(k + 1) sqrt(dt)."""
    f, runs, h = get("canyon").fun, 200, 1e-5 * np.eye(2)
    x, rng = np.full((runs, 2), 8.0), np.random.default_rng(0)
    shifts = np.concatenate([h, -h])[:, None, :]
    for k in range(1, 10_001):
        values = f((x + shifts).reshape(-1, 2)).reshape(4, runs)
        slope = (values[:2] - values[2:]).T / 2e-5
        noise = 10 / math.log(k + 1) * math.sqrt(1e-3)
        x = x - 1e-3 * slope + noise * rng.standard_normal((runs, 2))
    hits = int((np.linalg.norm(x, axis=1) < 0.5).sum())
    assert within_three_errors(hits, runs, 0.405)


def sensing_error(M, seed, *, lam_grad=1.0, d=200, s=8):
    """Compressed sensing of arXiv:2211.12184: relative error after thresholding."""
    rng = np.random.default_rng([7, seed])
    x = np.zeros(d)
    support = rng.choice(d, s, replace=False)
    x[support] = rng.uniform(0.5, 1.5, s) * rng.choice([-1, 1], s)
    A = rng.standard_normal((M, d)) / math.sqrt(M)
    y = A @ x

    def fun(X):
        return np.sum((X @ A.T - y) ** 2, axis=1) + 0.25 * np.abs(X).sum(axis=1)

    def jac(X):
        return 2 * (X @ A.T - y) @ A + 0.25 * np.sign(X)

    jac.vectorized = True
    swarm = CBO(
        d,
        x0=np.random.default_rng(seed).standard_normal((10, d)),
        memory=True,
        lam=1.0,
        lam_grad=lam_grad,
        jac=jac,
        sigma=math.sqrt(1.6),
        dt=0.02,
        alpha=100.0,
        random_state=seed,
        **ENDLESS,
    )
    for _ in range(1000):
        X = swarm.ask()
        swarm.tell(X, fun(X))
    kept = np.abs(swarm.consensus) > 0.01
    found = np.zeros(d)
    found[kept] = np.linalg.lstsq(A[:, kept], y, rcond=None)[0]
    return float(np.linalg.norm(found - x) / np.linalg.norm(x))


@pytest.mark.parametrize(
    ("M", "lam_grad", "rate"),
    [(40, 1.0, 0.73), (60, 1.0, 0.98), (80, 1.0, 1.0), (80, 0.0, 0.0)],
)
def test_compressed_sensing(M, lam_grad, rate):
    runs = 40 if M == 40 else 4
    errors = [sensing_error(M, seed, lam_grad=lam_grad) for seed in range(runs)]
    hits = sum(error < 1e-12 for error in errors)
    assert within_three_errors(hits, runs, rate)
