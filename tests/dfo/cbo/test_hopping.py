"""Consensus hopping is an implicit gradient step."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

import farkas
from dfo import consensus_hopping, gd_relation
from dfo.testfunctions import get


def test_hopping_is_the_proximal_step_on_quadratics():
    res = consensus_hopping(
        lambda X: 0.5 * X[:, 0] ** 2,
        [1.0],
        sigma=0.3,
        alpha=5.0,
        n_particles=1_000_000,
        maxiter=1,
        vectorized=True,
        random_state=0,
    )
    assert res.consensus[0] == pytest.approx(1 / 1.45, abs=2e-3)
    assert len(res.path) == 2


def test_the_canyon_is_crossed():
    f = get("canyon")
    hits = 0
    for seed in range(12):
        res = consensus_hopping(
            f.fun,
            [8.0, 8.0],
            sigma=0.7,
            alpha=100.0,
            vectorized=True,
            random_state=seed,
        )
        hits += np.linalg.norm(res.consensus) < 0.5
    assert hits >= 10  # 97 % of runs do
    x = np.array([8.0, 8.0])
    for _ in range(3000):
        x = x - 1e-3 * approx_fprime(x, f.fun, 1e-6)
    assert np.linalg.norm(x) > 1  # gradient descent does not


def test_annealing_callback_and_certificate():
    calls = []

    def callback(intermediate_result):
        calls.append(intermediate_result.nit)
        if len(calls) == 30:
            raise StopIteration

    def fun(x):
        return float(x @ x)

    options = {"sigma": 0.5, "alpha": 30.0, "random_state": 1}
    res = consensus_hopping(fun, [2.0, 2.0], callback=callback, **options)
    assert res.nit == 30
    assert res.status is farkas.Status.CALLBACK
    cold = consensus_hopping(
        fun, [2.0, 2.0], sigma_decay=0.5, decay_every=10, maxiter=150, **options
    )
    assert np.linalg.norm(cold.consensus) < 1e-2
    assert cold.fun == fun(cold.x)
    farkas.verify(cold, fun).check()
    nothing = consensus_hopping(lambda x: math.nan, [1.0], maxiter=2, **options)
    assert nothing.status is farkas.Status.NUMERICAL


def test_relation_to_gradient_descent_tightens():
    def fun(x):
        return 0.5 * float(x @ x)

    loose, tight = (
        gd_relation(
            fun,
            lambda x: x,
            [1.0, -1.0],
            sigma=sigma,
            alpha=alpha,
            n_particles=n,
            maxiter=10,
            random_state=0,
        )
        for sigma, alpha, n in ((0.3, 10.0, 100), (0.1, 10.0, 5000))
    )
    assert tight.deviation.max() < 0.5 * loose.deviation.max()
    assert tight.tau == pytest.approx(0.1)
    expected = np.array([1.0, -1.0]) / 1.1 ** np.arange(11)[:, None]
    assert tight.proximal == pytest.approx(expected, abs=1e-6)
    assert tight.hopping == pytest.approx(expected, abs=0.05)
    assert tight.descent[1] == pytest.approx([0.9, -0.9])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"alpha": -1.0}, "alpha"),
        ({"n_particles": 1}, "n_particles"),
        ({"maxiter": 0}, "maxiter"),
        ({"sigma_decay": 1.5}, "sigma_decay"),
        ({"decay_every": 0}, "decay_every"),
        ({"x0": [[1.0]]}, "x0"),
    ],
)
def test_bad_arguments_are_named(options, match):
    arguments = {"x0": [1.0], "sigma": 1.0, "alpha": 1.0, **options}
    with pytest.raises(ValueError, match=match):
        consensus_hopping(lambda x: float(x @ x), **arguments)
