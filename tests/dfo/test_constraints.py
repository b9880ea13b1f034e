"""One violation for all forms of constraints."""

import math

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, NonlinearConstraint

from dfo.constraints import Violation


def test_every_form_and_their_sum():
    linear = LinearConstraint([[1.0, 1.0], [1.0, -1.0]], [1.0, -math.inf], [2.0, 0.5])
    curved = NonlinearConstraint(lambda x: x[0] ** 2, 0.25, 1.0)
    inequality = {"type": "ineq", "fun": lambda x, a: x[1] - a, "args": (0.5,)}
    equality = {"type": "eq", "fun": lambda x: np.array([x[0] - x[1]])}
    x = [3.0, 0.25]
    parts = [1.25 + 2.25, 8.0, 0.25, 2.75]
    constraints = [linear, curved, inequality, equality]
    for constraint, expected in zip(constraints, parts, strict=True):
        assert Violation(constraint)(x) == pytest.approx(expected)
    together = Violation(constraints)
    assert together(x) == pytest.approx(sum(parts))
    assert together.rows(np.array([x, x])) == pytest.approx([sum(parts)] * 2)
    assert len(together) == 4
    assert together([0.6, 0.6]) == 0


def test_missing_values_violate():
    assert Violation({"type": "ineq", "fun": lambda x: math.nan})([0.0]) == math.inf


def test_what_is_no_constraint_is_refused():
    with pytest.raises(TypeError, match=r"constraints\[0\]"):
        Violation([3.0])
    with pytest.raises(ValueError, match="ineq"):
        Violation({"type": "leq", "fun": abs})
