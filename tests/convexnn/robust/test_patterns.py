"""Robust patterns have units inside their cones, whatever the data look like."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexnn import pattern_radius, sample_patterns, sample_robust_patterns
from convexnn.robust.program import column_radius

LINE = np.column_stack([[-2.0, -1.0, 1.0, 2.0], np.ones(4)])


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_gates_lie_inside_the_robust_cones(seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 15)), int(rng.integers(1, 4))
    X = rng.standard_normal((n, d))
    X[:, -1] = 1.0 if seed % 2 else X[:, -1]
    eps = column_radius(float(rng.choice([0.0, 0.01, 0.1, 0.5])), X)
    patterns = sample_robust_patterns(X, 8, eps=eps, random_state=seed)
    assert 1 <= len(patterns) <= 8
    assert len(np.unique(patterns.D, axis=1).T) == len(patterns)
    assert patterns.D.any(axis=0).all()
    if not patterns.gates.any():  # nothing is robust: all ones, and it says so
        assert len(patterns) == 1
        if eps.any():
            assert pattern_radius(X, patterns, eps=eps)[0] <= 1 + 1e-6
        return
    signs = 2.0 * patterns.D - 1.0
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=X.shape[1])))
    for corner in corners:  # no perturbation changes a sign
        assert (signs * ((X + corner * eps) @ patterns.gates) > 0).all()


def test_all_ones_come_first_where_there_is_a_constant_column():
    X = np.column_stack(
        [np.random.default_rng(0).standard_normal((30, 4)), np.ones(30)]
    )
    for eps in (0.0, 0.1, 1e6):
        patterns = sample_robust_patterns(X, 10, eps=eps, random_state=0)
        assert patterns.D[:, 0].all()
    assert len(patterns) == 1  # nothing else survives a radius of a million


def test_a_seed_gives_nested_sets():
    X = np.column_stack(
        [np.random.default_rng(1).standard_normal((20, 2)), np.ones(20)]
    )
    few = sample_robust_patterns(X, 4, eps=0.02, random_state=3)
    many = sample_robust_patterns(X, 9, eps=0.02, random_state=3)
    np.testing.assert_array_equal(few.D, many.D[:, :4])
    np.testing.assert_array_equal(few.gates, many.gates[:, :4])


def test_gaussian_patterns_are_lost_where_robust_ones_are_not():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 0.2, (25, 2)) for c in (-1, 1)])
    X = np.column_stack([X, np.ones(50)])
    gaussian = pattern_radius(X, sample_patterns(X, 20, random_state=0), eps=1.0)
    robust = sample_robust_patterns(X, 20, eps=0.1, random_state=0)
    kept = pattern_radius(X, robust, eps=1.0)
    assert (kept > 0.1).all()
    assert np.mean(gaussian > 0.1) < 0.5
    halves = np.repeat([False, True], 25)
    assert any((column == halves).all() for column in robust.D.T)


def test_the_largest_radius_of_a_pattern():
    D = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 0]])
    # Half the gap between -1 and 1, and between 1 and 2; the last pattern is no half.
    found = pattern_radius(LINE, D, eps=1.0)
    np.testing.assert_allclose(found, [np.inf, 1.0, 0.5, 0.0], atol=1e-9)
    np.testing.assert_allclose(
        pattern_radius(LINE, D, eps=0.25), [np.inf, 4.0, 2.0, 0.0], atol=1e-9
    )
    np.testing.assert_allclose(
        pattern_radius(1e6 * LINE, D, eps=1e6), [np.inf, 1.0, 0.5, 0.0], atol=1e-9
    )
    # Two columns of radius 1 and 3: the second is the better one for its price.
    X = np.array([[1.0, 4.0], [-1.0, -4.0]])
    found = pattern_radius(X, [[1], [0]], eps=[1.0, 3.0])
    np.testing.assert_allclose(found, [4.0 / 3.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_patterns": 0, "eps": 0.1}, "n_patterns=0"),
        ({"n_patterns": 2.5, "eps": 0.1}, "n_patterns=2.5"),
        ({"n_patterns": 3, "eps": -0.1}, "eps=-0.1"),
        ({"n_patterns": 3, "eps": [0.1]}, "eps must be a number or have shape"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_robust_patterns(LINE, **arguments)


def test_bad_data_are_named():
    with pytest.raises(ValueError, match="NaN"):
        sample_robust_patterns(np.full((3, 2), np.nan), 3, eps=0.1)
    with pytest.raises(ValueError, match="eps must be positive"):
        pattern_radius(LINE, np.ones((4, 1)), eps=0.0)
    with pytest.raises(ValueError, match="patterns must have shape"):
        pattern_radius(LINE, np.ones((3, 1)), eps=0.1)
