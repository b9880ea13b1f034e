"""Bounds in every form that SciPy takes."""

import math

import numpy as np
import pytest
from scipy.optimize import Bounds

from dfo.bounds import into_box, parse_bounds


@pytest.mark.parametrize(
    "bounds",
    [
        [(0, 1), (None, 5)],
        np.array([[0, 1], [-math.inf, 5]]),
        Bounds([0, -math.inf], [1, 5]),
        ((0.0, 1), [None, 5.0]),
    ],
)
def test_every_form(bounds):
    lower, upper = parse_bounds(bounds)
    assert lower.tolist() == [0, -math.inf]
    assert upper.tolist() == [1, 5]


def test_none_and_scalar_bounds_need_a_dimension():
    lower, upper = parse_bounds(None, 2)
    assert lower.tolist() == [-math.inf] * 2
    assert parse_bounds(Bounds(-1, 2), 3)[1].tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="x0"):
        parse_bounds(None)


@pytest.mark.parametrize(
    ("bounds", "match"),
    [
        ([(1, 0)], "exceeds"),
        ([(0, 1), (2, 2)], r"bounds\[1\]"),
        ([(0, math.nan)], "NaN"),
        ([0, 1], "shape"),
        ([], "shape"),
        ([(0, 1, 2)], "shape"),
        ([(0, 1)], "fit"),
    ],
)
def test_bad_bounds_are_named(bounds, match):
    with pytest.raises(ValueError, match=match):
        parse_bounds(bounds, 2 if match == "fit" else None)


def test_starts_outside_are_moved_with_a_warning():
    lower, upper = np.zeros(2), np.ones(2)
    assert into_box([0.5, 1.0], lower, upper).tolist() == [0.5, 1.0]
    with pytest.warns(RuntimeWarning, match="outside"):
        assert into_box([[0.5, 7.0]], lower, upper).tolist() == [[0.5, 1.0]]
    for bad in ([1.0], [math.nan, 0.0], np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="x0"):
            into_box(bad, lower, upper)
