"""The Laplace principle bounds what a sample does."""

import numpy as np
import pytest

from dfo import consensus_point
from dfo.cbo.dynamics.rates import decay_rate, laplace_principle


def test_the_bound_holds_on_a_bowl():
    X = np.random.default_rng(0).uniform(-2, 2, (5000, 2))
    f = np.sum(X**2, axis=1)  # |x - x*| = (f - f*)^(1/2)
    r = 0.3
    share = np.mean(np.sqrt(f) <= r)
    for alpha in (10.0, 100.0, 1000.0):
        c, _ = consensus_point(X, f, alpha)
        bound = laplace_principle(
            alpha=alpha,
            eta=1.0,
            nu=0.5,
            q=0.05,
            variation=r**2,
            mass=share,
            mean_distance=float(np.sqrt(f).mean()),
        )
        assert np.linalg.norm(c) <= bound
    assert bound < 0.5
    assert decay_rate(np.exp(-np.arange(50.0)), 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["alpha", "eta", "nu", "q", "variation", "mass"])
def test_bad_numbers_are_named(name):
    good = {"alpha": 1, "eta": 1, "nu": 1, "q": 1, "variation": 1, "mass": 1}
    with pytest.raises(ValueError, match=name):
        laplace_principle(**{**good, name: -1.0}, mean_distance=1.0)
