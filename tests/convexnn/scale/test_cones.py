"""The projection for many rows finds the points of the one for few."""

import numpy as np
import pytest
from scipy.optimize import nnls

from convexnn import cones
from convexnn.cones import ConeProjector, project_blocks
from convexnn.scale.cones import LargeConeProjector


def problem(seed, n=80, r=4, m=6):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, r))
    if seed % 3 == 0:
        A[rng.random(n) < 0.3] = 0.0
    if seed % 3 == 1:
        A = np.round(A)
    D = (rng.standard_normal((m, r)) @ A.T >= 0).astype(np.float64)
    if seed % 2:
        D[0] = rng.random(n) < 0.5  # realised by no gate
    return A, D, rng


@pytest.mark.parametrize("seed", range(12))
def test_projection_is_the_nearest_point_of_the_cone(seed):
    A, D, rng = problem(seed)
    points = rng.standard_normal((6, 4))
    projector = LargeConeProjector(A, D)
    for _ in range(3):  # the later calls start from the earlier ones
        projections = projector(points)
        for d, x, p in zip(D, points, projections, strict=True):
            signed = (2 * d - 1)[:, None] * A
            _, distance = nnls(signed.T, -x, maxiter=2000)
            assert np.linalg.norm(p) == pytest.approx(distance, abs=1e-10)
            assert (signed @ p >= -1e-10).all()
            assert p @ (x - p) == pytest.approx(0.0, abs=1e-10)
        lam = projector.multipliers
        assert (lam >= 0).all()
        pulls = ((2 * D - 1) * lam) @ A
        assert points + pulls == pytest.approx(projections, abs=1e-10)
        points = points + 0.1 * rng.standard_normal(points.shape)


def test_few_candidates_find_the_same_point(monkeypatch):
    A, D, rng = problem(2, n=300)
    points = rng.standard_normal((6, 4))
    expected = ConeProjector(A, D)(points)
    monkeypatch.setattr("convexnn.scale.cones.CANDIDATES", 1)
    monkeypatch.setattr("convexnn.scale.cones.BATCH", 2)
    assert LargeConeProjector(A, D)(points) == pytest.approx(expected, abs=1e-11)


def test_blocks_below_the_threshold_are_left():
    A, D, rng = problem(2)
    points = rng.standard_normal((6, 4))
    points[:3] *= 1e-3
    projections = LargeConeProjector(A, D)(points, 0.1)
    assert np.array_equal(projections[:3], points[:3])
    expected = ConeProjector(A, D)(points)
    assert projections[3:] == pytest.approx(expected[3:], abs=1e-11)


def test_rescaled_multipliers_start_at_the_answer():
    A, D, rng = problem(2)
    points = rng.standard_normal((6, 4))
    projector = LargeConeProjector(A, D)
    projections = projector(points)
    lam = projector.multipliers
    projector.rescale(0.5)
    assert projector.multipliers == pytest.approx(0.5 * lam)
    assert projector(0.5 * points) == pytest.approx(0.5 * projections, abs=1e-12)


def test_state_and_multipliers_both_restore():
    A, D, rng = problem(2)
    points = rng.standard_normal((6, 4))
    first = LargeConeProjector(A, D)
    projections = first(points)
    second, third = LargeConeProjector(A, D), LargeConeProjector(A, D)
    second.restore(first.state())
    third.start_from(first.multipliers)
    for other in (second, third):
        assert other.multipliers == pytest.approx(first.multipliers)
        assert other(points) == pytest.approx(projections, abs=1e-12)


def test_many_rows_take_this_path(monkeypatch):
    A, D, rng = problem(2)
    points = rng.standard_normal((6, 4))
    expected, lam = project_blocks(A, D, points)
    monkeypatch.setattr(cones, "MANY_ROWS", 10)
    found, other = project_blocks(A, D, points, lam)
    assert found == pytest.approx(expected, abs=1e-11)
    assert ((2 * D - 1) * other) @ A == pytest.approx(found - points, abs=1e-11)
