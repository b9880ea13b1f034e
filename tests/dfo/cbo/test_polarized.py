"""Polarized consensus: plain at infinite width, several minima otherwise."""

import math

import numpy as np
import pytest

import farkas
from dfo import consensus_point, minimize_polarized_cbo
from dfo.cbo.relatives.polarized import KERNELS, polarized_consensus
from dfo.testfunctions import get

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 2))
F = np.sum(X**2, axis=1)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("power", ["const", "alpha"])
def test_infinite_width_is_the_plain_consensus(kernel, power):
    C = polarized_consensus(X, F, 7.0, kernel=kernel, kappa=math.inf, power=power)
    assert pytest.approx(np.tile(consensus_point(X, F, 7.0)[0], (300, 1))) == C


@pytest.mark.parametrize("kernel", KERNELS)
def test_blocks_agree_with_the_definition(kernel):
    kappa, alpha = 0.7, 3.0
    r = np.linalg.norm(X[:, None] - X[None], axis=2)
    k = {
        "gaussian": np.exp(-(r**2) / (2 * kappa**2)),
        "laplace": np.exp(-r / kappa),
        "inverse_quadratic": 1 / (1 + r**2 / kappa**2),
        "constant": (r <= kappa).astype(float),
    }[kernel]
    for power, p in (("const", 1.0), ("alpha", alpha)):
        w = k**p * np.exp(-alpha * F)
        expected = (w @ X) / w.sum(axis=1, keepdims=True)
        found = polarized_consensus(
            X, F, alpha, kernel=kernel, kappa=kappa, power=power
        )
        assert found == pytest.approx(expected, abs=1e-7)


def test_missing_values_and_loneliness():
    f = np.full(4, math.nan)
    Y = X[:4]
    assert np.array_equal(polarized_consensus(Y, f, 1.0), Y)
    f[0] = 1.0
    far = np.array([[0.0, 0.0], [50.0, 0.0], [0.1, 0.0], [9.0, 9.0]])
    C = polarized_consensus(far, f, 1.0, kernel="constant", kappa=1.0)
    assert C.tolist() == [[0, 0], [50, 0], [0, 0], [9, 9]]


def test_two_bowls_are_both_found():
    a, b = np.array([-2.0, 0.0]), np.array([2.0, 1.0])

    def fun(Z):
        return np.minimum(np.sum((Z - a) ** 2, axis=1), np.sum((Z - b) ** 2, axis=1))

    res = minimize_polarized_cbo(
        fun, [(-4, 4)] * 2, kappa=0.5, vectorized=True, random_state=0
    )
    away = np.minimum(
        np.linalg.norm(res.population - a, axis=1),
        np.linalg.norm(res.population - b, axis=1),
    )
    assert away.max() < 0.2
    assert len(res.minimizers) == 2
    assert np.bincount(res.labels).min() > 50
    assert (np.diff(res.minimizer_values) >= 0).all()
    assert fun(res.minimizers) == pytest.approx(res.minimizer_values)
    farkas.verify(res, fun).check()


def test_four_minima_of_himmelblau():
    f = get("himmelblau")
    res = minimize_polarized_cbo(
        f.fun, f.bounds, n_particles=400, kappa=0.5, random_state=0
    )
    expected = [[3.0, 2.0], [-2.805, 3.131], [-3.779, -3.283], [3.584, -1.848]]
    assert len(res.minimizers) == 4
    for point in expected:
        assert np.linalg.norm(res.minimizers - point, axis=1).min() < 0.2


def test_callbacks_adaptive_alpha_and_nothing_found():
    def stop(intermediate_result):
        raise StopIteration

    f = get("himmelblau")
    res = minimize_polarized_cbo(f.fun, f.bounds, callback=stop, random_state=0)
    assert res.status is farkas.Status.CALLBACK
    res = minimize_polarized_cbo(
        f.fun, f.bounds, alpha="adaptive", maxiter=100, kappa=math.inf, random_state=0
    )
    assert len(res.minimizers) == 1
    res = minimize_polarized_cbo(
        lambda x: math.nan, [(0, 1)], maxiter=2, vectorized=False, random_state=0
    )
    assert res.status is farkas.Status.NUMERICAL


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kernel": "box"}, "kernel"),
        ({"power": "two"}, "power"),
        ({"kappa": 0.0}, "kappa"),
        ({"alpha": math.inf}, "alpha"),
    ],
)
def test_bad_arguments_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        polarized_consensus(X, F, **{"alpha": 1.0, **options})
