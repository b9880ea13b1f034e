"""The evolution strategy against NumPy, and in valleys that need a covariance."""

import math

import numpy as np
import pytest
from numba import config

from dfo.cbo.local import _kernels_covariance as kc
from dfo.cbo.local.covariance import CovarianceSearch, strategy
from dfo.objective import Objective
from dfo.testfunctions import get

LOWER, UPPER = np.full(3, -5.0), np.array([5.0, 5.0, 3.0])
MANY = 10**9


def searched(seed=0, sigma=0.1, **options):
    start = np.array([2.0, -1.0, 1.5])
    return CovarianceSearch(
        start, sigma, LOWER, UPPER, np.random.SeedSequence(seed), **options
    )


def finished(search, objective, steps=1, budget=MANY):
    while not search.stop():
        search.advance(objective, steps, budget - objective.nfev)
    return search


def test_the_factor_is_that_of_cholesky():
    B = np.random.default_rng(0).normal(size=(4, 4))
    C, A = B @ B.T, np.zeros((4, 4))
    ratio = kc.factorise(C, A)
    expected = np.linalg.cholesky(C)
    assert A == pytest.approx(expected)
    assert ratio == pytest.approx(np.diag(expected).max() / np.diag(expected).min())
    assert kc.factorise(np.diag([1.0, -1.0]), np.zeros((2, 2))) == math.inf


def test_samples_are_transformed_and_mirrored():
    rng = np.random.default_rng(1)
    A, Z = np.tril(rng.normal(size=(3, 3))), rng.normal(size=(50, 3))
    mean, scale, X = np.array([4.0, 0.0, -4.0]), UPPER - LOWER, np.empty((50, 3))
    kc.sample(mean, A, 0.2, scale, Z, LOWER, UPPER, X)
    free = mean + 0.2 * scale * (Z @ A.T)
    mirrored = np.where(free < LOWER, 2 * LOWER - free, free)
    mirrored = np.where(free > UPPER, 2 * UPPER - free, mirrored)
    assert X == pytest.approx(np.clip(mirrored, LOWER, UPPER))
    assert X != pytest.approx(free)
    assert (X >= LOWER).all()
    assert (X <= UPPER).all()


def test_a_generation_is_that_of_the_tutorial():
    """Against matrices in NumPy, eqs. 41-47 of arXiv:1604.00772, whitened by A."""
    s, d = searched(), 3
    for _ in range(6):
        s.advance(Objective(lambda x: (x**4).sum()), 1, MANY)
    mean, C, A, sigma = s.mean.copy(), np.tril(s.C), s.A.copy(), s.S[kc.SIGMA]
    path, walk, P, nit = s.path.copy(), s.walk.copy(), s.P, s.nit
    C = C + np.tril(C, -1).T
    s.advance(Objective(lambda x: abs(x).sum()), 1, MANY)

    w, mass = s.weights, P[kc.MU_EFF]
    assert mass == pytest.approx(1 / np.sum(w**2))
    Y = ((s.X - mean) / (sigma * s.scale))[np.argsort(s.f)[: len(w)]]
    step = w @ Y
    assert s.mean == pytest.approx(mean + sigma * s.scale * step)
    c = P[kc.C_SIGMA]
    walk = (1 - c) * walk + math.sqrt(c * (2 - c) * mass) * np.linalg.solve(A, step)
    length = np.linalg.norm(walk)
    growth = c / P[kc.D_SIGMA] * (length / P[kc.CHI] - 1)
    assert s.S[kc.SIGMA] == pytest.approx(sigma * math.exp(growth))
    usual = length / math.sqrt(1 - (1 - c) ** (2 * (nit + 1)))
    usual = usual < (1.4 + 2 / (d + 1)) * P[kc.CHI]
    c = P[kc.C_C]
    path = (1 - c) * path + usual * math.sqrt(c * (2 - c) * mass) * step
    one, mu = P[kc.C_1], P[kc.C_MU]
    C = (1 - one - mu + (1 - usual) * one * c * (2 - c)) * C
    C += one * np.outer(path, path) + mu * (Y.T * w) @ Y
    assert np.tril(s.C) == pytest.approx(np.tril(C))
    assert pytest.approx(C) == s.A @ s.A.T


def test_the_covariance_becomes_the_inverse_hessian():
    Q = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    H = Q @ np.diag([1.0, 1e2, 1e4]) @ Q.T
    best = np.array([1.0, 0.5, -1.0])
    fun = Objective(lambda X: np.sum((X - best) @ H * (X - best), axis=1),
                    vectorized=True)  # fmt: skip
    s = finished(searched(), fun)
    assert s.best_f < 1e-11
    scaled = (s.A @ s.A.T) * np.outer(s.scale, s.scale)
    values = np.linalg.eigvalsh(H @ scaled @ H)  # that of H, up to a factor
    assert values[2] / values[0] == pytest.approx(1e4, rel=0.9)
    assert fun.nfev < 3000


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is fused")
@pytest.mark.parametrize("steps", [1, 7])
def test_fused_generations_are_the_plain_ones(steps):
    f = get("rosenbrock", 3)
    fused = finished(searched(), Objective(f.fun_row), steps)
    plain = finished(searched(), Objective(lambda x: f.fun_row(x)), steps)
    assert fused.nit == plain.nit > 50
    assert np.array_equal(fused.best_x, plain.best_x)
    assert fused.best_f == plain.best_f < 1e-9


@pytest.mark.parametrize(
    ("fun", "reason"),
    [
        (lambda x: 1.0, "flat"),
        (lambda x: math.nan, "patience"),
        (lambda x: math.inf, "patience"),
        (lambda x: -math.inf, "target"),
        (lambda x: float(np.sin(1e9 * x).sum()), "patience"),
        (lambda x: 1e6 + x[0] ** 2, "flat"),
    ],
)
def test_runs_without_progress_end(fun, reason):
    s = finished(searched(), Objective(fun))
    assert list(s.stop()) == [reason]
    assert s.nit < 400
    assert s.best_f == fun(s.best_x) or not math.isfinite(s.best_f)


def test_missing_values_are_the_worst():
    s = finished(
        searched(), Objective(lambda x: math.nan if x[0] > 1 else ((x - 1) ** 2).sum())
    )
    assert s.best_f < 1e-10
    assert s.best_x[0] <= 1


def test_targets_and_budgets():
    s = finished(searched(ftarget=1e-3), Objective(lambda x: (x**2).sum()))
    assert list(s.stop()) == ["target"]
    for fun in (lambda x: (x**2).sum(), get("sphere", 3).fun_row):
        objective = Objective(fun)
        s = finished(searched(), objective, steps=3, budget=100)
        assert list(s.stop()) == ["maxfev"]
        assert 100 - s.n_particles < objective.nfev <= 100


def test_a_restored_run_goes_on_with_the_same_bits():
    objective = Objective(lambda x: (x**4).sum() + x[0] * x[1])
    s, again = searched(), searched(seed=5)
    s.advance(objective, 9, MANY)
    again.restore(s.state())
    finished(s, objective)
    finished(again, objective)
    assert np.array_equal(s.population, again.population)
    assert s.best_f == again.best_f
    assert s.nit == again.nit


@pytest.mark.parametrize("d", [1, 2, 40])
def test_parameters_are_sound_in_every_dimension(d):
    weights, P = strategy(d, 2 * (4 + int(3 * math.log(d))))
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights) < 0).all()
    assert (weights > 0).all()
    assert 0 < P[kc.C_1] + P[kc.C_MU] <= 1
    assert 0 < P[kc.C_SIGMA] < 1
    assert 0 < P[kc.C_C] <= 1
