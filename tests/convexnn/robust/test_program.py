"""Validated robust programs and radii."""

import numpy as np
import pytest

from convexnn.robust.program import RobustProgram, column_radius, feature_radius

X = np.column_stack([np.arange(3.0), np.ones(3), np.zeros(3)])
Y = np.array([1.0, -1.0, 1.0])


def test_a_number_spares_constant_columns_but_zero_ones():
    np.testing.assert_array_equal(column_radius(0.1, X), [0.1, 0.0, 0.1])
    np.testing.assert_array_equal(column_radius([0.1, 0.2, 0.3], X), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(column_radius(0.1, [[2.0, 3.0]]), [0.1, 0.1])


def test_a_number_moves_every_feature():
    np.testing.assert_array_equal(feature_radius(0.1, 2), [0.1, 0.1])
    given = np.array([0.1, 0.2])
    found = feature_radius(given, 2)
    found[0] = 9.0
    assert given[0] == 0.1


@pytest.mark.parametrize(
    ("eps", "message"),
    [
        (-1.0, "step=-1.0 must be finite and >= 0"),
        (np.inf, "step=inf"),
        ([0.1], r"step must be a number or have shape \(2,\), got \(1,\)"),
        ([[0.1, 0.2]], "step must be a number"),
        ("a", "step='a' must be a number"),
        (None, "step=None must be finite"),
    ],
)
def test_bad_radii_are_named(eps, message):
    with pytest.raises(ValueError, match=message):
        feature_radius(eps, 2, name="step")


def test_a_program_holds_what_its_certificate_states():
    program = RobustProgram.validated(X, Y, np.ones((3, 2)), 0.5, 0.1, "hinge")
    assert program.parameters() == {
        "alpha": 0.5,
        "loss": "hinge",
        "encoding": "none",
        "intercept": 0.0,
    }
    assert program.eps.shape == (3,)
    with pytest.raises(ValueError, match="eps must have shape"):
        RobustProgram(X, Y, program.patterns, 0.5, "hinge", "relu", np.zeros(2))
