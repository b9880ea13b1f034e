import numpy as np
import pytest

from convexnn.patterns import enumerate_patterns
from convexnn.search import search_units

RNG = np.random.default_rng(0)
X = np.column_stack([RNG.standard_normal((10, 2)), np.ones(10)])
THETA = RNG.standard_normal(10)
STARTS = RNG.standard_normal((3, 50))


def exact(sign):
    """Maximise over every cell: a linear function on a cone, by projection."""
    from convexnn.cones import project_cone

    D = enumerate_patterns(X).D
    values = []
    for pattern in D.T:
        slope = sign * X.T @ (pattern * THETA)
        values.append(np.linalg.norm(project_cone(slope, X, pattern)))
    return max(values)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_it_finds_the_largest_ratio_of_a_small_problem(sign):
    found = search_units(X, THETA, 0.5, STARTS, steps=200)
    best = found.ratios[found.signs == sign].max()
    assert best == pytest.approx(exact(sign) / 0.5, rel=1e-6)


def test_what_it_returns_is_what_it_says():
    found = search_units(X, THETA, 0.5, STARTS)
    outputs = np.maximum(X @ found.directions, 0.0)
    assert np.linalg.norm(found.directions, axis=0) == pytest.approx(1.0)
    assert found.ratios == pytest.approx(found.signs * (THETA @ outputs) / 0.5)
    assert (np.diff(found.ratios) <= 0).all()
    assert found.ratio == found.ratios[0]
    keys = np.vstack([found.signs > 0, X @ found.directions >= 0])
    assert len(np.unique(keys, axis=1).T) == keys.shape[1]


def test_ascent_never_ends_below_its_starts():
    units = STARTS / np.linalg.norm(STARTS, axis=0)
    at_start = np.abs(THETA @ np.maximum(X @ units, 0.0)).max()
    assert search_units(X, THETA, 1.0, STARTS, steps=3).ratio >= at_start


def test_nothing_to_find():
    found = search_units(X, np.zeros(10), 1.0, STARTS)
    assert found.ratio == 0
    assert search_units(X, THETA, 1.0, np.zeros((3, 2))).ratio == 0
