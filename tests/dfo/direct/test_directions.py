"""Poll sets are positive spanning sets, in free space, boxes and cones."""

import math

import numpy as np
import pytest
from scipy.optimize import LinearConstraint

from dfo._measure_cone import cone_generators, spans
from dfo.direct.directions import (
    POLLS,
    cosine_measure_of,
    householder,
    poll_directions,
    positive_spanning_set,
    regular_simplex,
    unit_vector,
)
from dfo.direct.space import Space


def space_of(x0, lower=-np.inf, upper=np.inf, linear=(), grid=0.0):
    x0 = np.asarray(x0, dtype=float)
    n = len(x0)
    return Space(
        x0,
        np.broadcast_to(np.asarray(lower, float), (n,)).copy(),
        np.broadcast_to(np.asarray(upper, float), (n,)).copy(),
        list(linear),
        np.broadcast_to(np.asarray(grid, float), (n,)).copy(),
        np.zeros(n, dtype=bool),
        1.0,
    )


def test_householder_of_the_textbook():
    H = householder(np.array([1, 2, 2]) / 3)
    np.testing.assert_allclose(9 * H, [[7, -4, -4], [-4, 1, -8], [-4, -8, 1]])
    np.testing.assert_allclose(H.T @ H, np.eye(3), atol=1e-15)


def test_closed_forms():
    assert cosine_measure_of("n+1", 2) == pytest.approx(0.382683, abs=1e-6)
    assert cosine_measure_of("n+1", 3) == pytest.approx(0.250563, abs=1e-6)
    gram = regular_simplex(4) @ regular_simplex(4).T
    np.testing.assert_allclose(gram, 1.25 * np.eye(5) - 0.25, atol=1e-12)


@pytest.mark.parametrize("kind", POLLS)
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("halton", [-1, 3])
def test_every_poll_set_spans_with_its_cosine_measure(kind, n, halton):
    rng = np.random.default_rng(n)
    D = positive_spanning_set(kind, unit_vector(n, rng, halton))
    np.testing.assert_allclose(np.linalg.norm(D, axis=1), 1)
    assert np.linalg.matrix_rank(D) == n
    V = rng.standard_normal((4000, n))
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    assert (V @ D.T).max(axis=1).min() >= cosine_measure_of(kind, n) - 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_near_bounds_no_rotated_direction_is_clipped(seed):
    rng = np.random.default_rng(seed)
    n = 4
    space = space_of(np.zeros(n), -1.0, 1.0)
    x = np.clip(rng.uniform(-1.3, 1.3, n), -1, 1)
    delta = float(rng.choice([1.0, 0.3, 0.01]))
    D, _, complete = poll_directions(space, x, delta, "2n", unit_vector(n, rng))
    assert complete
    rotated = D[np.count_nonzero(np.abs(D) > 1e-15, axis=1) > 1]
    moved = x + delta * rotated
    assert (np.abs(moved) <= 1).all()
    eye = np.eye(n)
    assert spans(D, np.vstack([eye[x < 1], -eye[x > -1]]))


def test_rows_leave_their_cone():
    pyramid = LinearConstraint([[1, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1]], ub=0)
    space = space_of([0, 0, -1], linear=[pyramid])
    v = unit_vector(3, np.random.default_rng(0))
    D, active, complete = poll_directions(space, np.zeros(3), 0.1, "2n", v)
    assert complete
    assert list(active) == [0, 1, 2, 3]
    assert spans(D, cone_generators(space.units[active])[0])
    # Far from the apex nothing is active, and all of space is polled.
    D, active, _ = poll_directions(space, np.array([0, 0, -9.0]), 0.1, "2n", v)
    assert len(active) == 0
    assert spans(D, np.vstack([np.eye(3), -np.eye(3)]))


def test_opposite_sides_that_are_both_near_leave_a_direction():
    slab = LinearConstraint([[1.0, 0.0]], lb=-0.1, ub=0.1)
    corner = LinearConstraint([[0.0, 1.0]], lb=-0.1, ub=0.1)
    space = space_of([0.0, 0.0], linear=[slab, corner])
    v = unit_vector(2, np.random.default_rng(0))
    D, active, _ = poll_directions(space, np.zeros(2), 1.0, "2n", v)
    assert len(D)
    assert len(active) == 0


def test_a_grid_is_polled_at_its_neighbours():
    space = space_of([0, 0, 0], grid=[1.0, 0.0, 1.0])
    v = unit_vector(3, np.random.default_rng(0))
    D, _, _ = poll_directions(space, np.zeros(3), 0.1, "2n", v)
    found = {tuple(np.round(d, 12) + 0.0) for d in D}
    for axis in (0, 2):
        for sign in (1.0, -1.0):
            assert tuple(sign * np.eye(3)[axis] + 0.0) in found


def test_unit_vectors_are_uniform():
    rng = np.random.default_rng(0)
    V = np.array([unit_vector(3, rng) for _ in range(4000)])
    assert np.abs(V.mean(axis=0)).max() < 0.05
    assert np.abs(V.T @ V / 4000 - np.eye(3) / 3).max() < 0.03
    assert math.isclose(np.linalg.norm(unit_vector(3, rng, 0)), 1)
