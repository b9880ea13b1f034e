"""The box is never left, whatever the particles do."""

import math

import numpy as np
import pytest

from dfo.cbo.dynamics.boundary import apply_boundary

LOWER, UPPER = np.array([0.0, -math.inf]), np.array([1.0, 5.0])
X = np.array([[0.5, 1.0], [1.25, 6.0], [-0.25, -1e9], [40.0, 9.0]])


def test_resample_draws_inside_of_the_overshoot():
    rng = np.random.default_rng(0)
    U = rng.random((4, 2))
    moved = apply_boundary(X, LOWER, UPPER, "resample", U)
    assert moved[0].tolist() == [0.5, 1.0]
    assert moved[1, 0] == pytest.approx(1 - 0.25 * U[1, 0])
    assert moved[1, 1] == pytest.approx(5 - 1.0 * U[1, 1])
    assert moved[2].tolist() == pytest.approx([0.25 * U[2, 0], -1e9])
    assert moved[3, 0] == pytest.approx(1 - U[3, 0])  # at most the width of the box
    with pytest.raises(ValueError, match="uniform"):
        apply_boundary(X, LOWER, UPPER, "resample")


def test_reflect_clip_and_nothing():
    assert apply_boundary(X, LOWER, UPPER, "reflect").tolist() == [
        [0.5, 1.0],
        [0.75, 4.0],
        [0.25, -1e9],
        [0.0, 1.0],
    ]
    assert apply_boundary(X, LOWER, UPPER, "clip") == pytest.approx(
        np.clip(X, LOWER, UPPER)
    )
    for nothing in (None, "penalty"):
        assert apply_boundary(X, LOWER, UPPER, nothing) is X
    with pytest.raises(ValueError, match="boundary"):
        apply_boundary(X, LOWER, UPPER, "bounce")
