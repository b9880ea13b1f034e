"""Kernels for many rows against textbook loops."""

import numpy as np
import pytest

from convexnn._measure_losses import HUBER_DELTA, LOSSES
from convexnn.scale._kernels import (
    _rise,
    _slope,
    factor_rows,
    project_from_margins,
    start_from_passive,
)
from convexnn.scale.rbcd import SMOOTH


def test_factor_rows_is_cholesky_of_the_signed_gram_matrix():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((10, 4))
    D = (rng.random((2, 10)) < 0.5).astype(np.float64)
    passive = np.array([[3, 7, 1, 0], [5, 2, 0, 0]])
    values, counts = rng.random((2, 4)), np.array([3, 2])
    factors = np.zeros((2, 4, 4))
    factor_rows(A, D, passive, values, counts, factors)
    assert counts.tolist() == [3, 2]
    for i, count in enumerate(counts):
        rows = passive[i, :count]
        signed = (2 * D[i, rows] - 1)[:, None] * A[rows]
        expected = np.linalg.cholesky(signed @ signed.T)
        assert np.tril(factors[i])[:count, :count] == pytest.approx(expected)


def test_factor_rows_drops_dependent_rows_with_their_multipliers():
    A = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    D, passive = np.ones((1, 3)), np.array([[0, 1]])
    values, counts = np.array([[0.5, 0.7]]), np.array([2])
    factor_rows(A, D, passive, values, counts, np.zeros((1, 2, 2)))
    assert counts[0] == 1
    assert (passive[0, 0], values[0, 0]) == (0, 0.5)


def test_a_start_inside_the_threshold_is_left_alone():
    A, D = np.eye(2), np.ones((2, 2))
    points = np.array([[0.01, -0.02], [3.0, -4.0]])
    passive, values = np.array([[1, 0], [1, 0]]), np.zeros((2, 2))
    counts, factors = np.array([1, 1]), np.zeros((2, 2, 2))
    factor_rows(A, D, passive, values, counts, factors)
    projections, todo = np.empty((2, 2)), np.zeros(2, dtype=np.int64)
    number = start_from_passive(
        A, D, points, passive, values, counts, factors, projections, 0.1, todo
    )
    assert todo[:number].tolist() == [1]
    assert projections == pytest.approx(np.array([[0.01, -0.02], [3.0, 0.0]]))
    assert values[:, 0] == pytest.approx(np.array([0.0, 4.0]))


def test_a_block_in_doubt_about_most_rows_waits_for_a_product():
    # Projecting onto the half-space of the last row moves p across all the others.
    n = 40
    A = np.column_stack([np.linspace(0.5, 1.5, n), np.ones(n)])
    A[-1] = [-1.0, 0.0]
    D, points = np.ones((1, n)), np.array([[1.0, -0.6]])
    passive, values = np.zeros((1, 2), dtype=np.int64), np.zeros((1, 2))
    counts, factors = np.zeros(1, dtype=np.int64), np.zeros((1, 2, 2))
    rows, pending = np.linalg.norm(A, axis=1), np.zeros(1, dtype=np.bool_)
    p, todo = points.copy(), np.zeros(1, dtype=np.int64)
    calls = 0
    while calls == 0 or pending[0]:
        project_from_margins(
            A, rows, D, points, passive, values, counts, factors, todo, p @ A.T, p,
            pending, 1, 1e-13, 50,
        )  # fmt: skip
        calls += 1
    assert calls > 1
    assert (A @ p[0] >= -1e-12).all()
    assert p[0] @ (points[0] - p[0]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("loss", SMOOTH)
def test_rise_of_a_loss_keeps_its_digits(loss):
    rng = np.random.default_rng(0)
    for _ in range(200):
        z, y = 3 * rng.standard_normal(), rng.choice([-1.0, 1.0])
        at = np.array([z])
        for size in (1e-12, 1e-6, 1.0, 30.0):
            change = size * rng.standard_normal()
            risen = _rise(z, change, y, SMOOTH[loss], HUBER_DELTA)
            value = LOSSES[loss].value
            apart = float((value(at + change, y) - value(at, y))[0])
            assert risen == pytest.approx(apart, abs=1e-13 * (1 + abs(z) + size) ** 2)
            slope = _slope(z, y, SMOOTH[loss], HUBER_DELTA)
            if size == 1e-12 and abs(slope) > 1e-6:  # what subtraction would lose
                assert risen == pytest.approx(slope * change, rel=1e-5)


@pytest.mark.parametrize("loss", SMOOTH)
def test_slope_is_that_of_the_loss(loss):
    z, y = np.linspace(-5, 5, 31), np.where(np.arange(31) % 2, 1.0, -1.0)
    found = [_slope(a, b, SMOOTH[loss], HUBER_DELTA) for a, b in zip(z, y, strict=True)]
    assert found == pytest.approx(-LOSSES[loss].theta(z, y))
