"""Consensus-based sampling reproduces Gaussians, and collapses when asked to."""

import numpy as np
import pytest

import farkas
from dfo import sample_cbs

MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[1.0, 0.6], [0.6, 2.0]])
PRECISION = np.linalg.inv(COVARIANCE)


def potential(X):
    D = X - MEAN
    return 0.5 * np.einsum("ij,jk,ik->i", D, PRECISION, D)


@pytest.mark.parametrize("dt", [0.1, 0.5])
def test_a_gaussian_is_sampled_for_any_dt(dt):
    res = sample_cbs(
        potential,
        [0.0, 0.0],
        alpha=2.0,
        dt=dt,
        n_particles=20_000,
        n_steps=150,
        vectorized=True,
        random_state=0,
    )
    assert res.mean == pytest.approx(MEAN, abs=0.05)
    assert res.covariance == pytest.approx(COVARIANCE, abs=0.1)
    assert res.population.shape == (20_000, 2)


def test_optimisation_collapses_on_the_minimum():
    res = sample_cbs(
        potential,
        [0.0, 0.0],
        alpha="adaptive",
        dt=0.5,
        mode="optimize",
        vectorized=True,
        random_state=0,
    )
    assert res.mean == pytest.approx(MEAN, abs=1e-3)
    assert np.abs(res.covariance).max() < 1e-4
    farkas.verify(res, potential).check()


def test_one_dimension_and_missing_values():
    res = sample_cbs(lambda x: 0.5 * (x[0] - 3) ** 2, [0.0], n_steps=80, random_state=0)
    assert res.mean[0] == pytest.approx(3, abs=0.5)
    nothing = sample_cbs(lambda x: np.nan, [0.0], n_steps=3, random_state=0)
    assert nothing.status is farkas.Status.NUMERICAL


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mode": "both"}, "mode"),
        ({"dt": 0.0}, "dt"),
        ({"n_steps": 0}, "n_steps"),
        ({"n_particles": 1}, "n_particles"),
        ({"alpha": -1.0}, "alpha"),
        ({"x0": [np.nan]}, "x0"),
    ],
)
def test_bad_arguments_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        sample_cbs(lambda x: 0.0, **{"x0": [0.0], **options})
