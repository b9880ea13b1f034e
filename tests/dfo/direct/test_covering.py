"""The covering step: uniform in the ball, far from what is known."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import dfo.direct.covering as covering
from dfo import minimize_cdsm
from dfo.direct.covering import Cloud, HaltonBall, ball, farthest_move
from dfo.direct.report import covering_radius
from tests.dfo.direct.test_directions import space_of

CENTER = np.array([1.0, -1.0])


def dennis_woods(x):
    return max(np.sum((x - CENTER) ** 2), np.sum((x + CENTER) ** 2)) / 2


def test_points_are_uniform_in_the_ball():
    rng = np.random.default_rng(0)
    for k, radius in ((2, 0.5), (5, 3.0)):
        lengths = np.linalg.norm(ball(k, radius, 4000, rng), axis=1)
        assert lengths.max() <= radius
        # (length / radius)^k is uniform on (0, 1)
        shares = np.sort((lengths / radius) ** k)
        assert np.abs(shares - np.linspace(0, 1, 4000)).max() < 0.03


def test_the_cloud_finds_nearest_points(monkeypatch):
    monkeypatch.setattr(covering, "BRUTE", 50)
    rng, cloud = np.random.default_rng(0), Cloud()
    W = rng.standard_normal((400, 3))
    for size in (10, 60, 90, 130, 400):
        candidates = rng.standard_normal((8, 3))
        np.testing.assert_allclose(
            cloud.nearest(candidates, W[:size]),
            cdist(candidates, W[:size]).min(axis=1),
        )


@pytest.mark.parametrize("how", ["farthest", "random", "halton"])
def test_points_lie_in_the_ball_and_the_box(how):
    res = minimize_cdsm(
        lambda x: 0.0,  # nothing is better: all points are around x0
        [0.0, 0.0],
        bounds=[(-0.5, 9.0), (-9.0, 9.0)],
        initial_radius=1.0,
        covering=how,
        covering_radius=2.0,
        maxiter=50,
        xtol=1e-15,
        random_state=0,
    )
    log = res.evaluations
    W = log["X"][log["label"] == "covering"]
    assert len(W) > 40
    assert np.linalg.norm(W, axis=1).max() <= 2.0 + 1e-12
    assert W[:, 0].min() >= -0.5
    if how == "farthest":  # they fill the ball better than chance would
        assert cdist(W, W)[np.triu_indices(len(W), 1)].min() > 0.05


def test_the_sequence_can_be_entered_anywhere():
    whole, late = HaltonBall(3), HaltonBall(3)
    points = [whole.point(2.0, i) for i in range(7)]
    np.testing.assert_array_equal(late.point(2.0, 6), points[6])
    np.testing.assert_array_equal(late.point(2.0, 2), points[2])
    assert np.isfinite(HaltonBall(1).point(1.0, 0)).all()  # its number is 1/2


def test_the_farther_candidate_is_taken():
    space = space_of([0.0, 0.0], [-9.0, -9.0], [9.0, 9.0])
    moves = np.array([[0.5, 0.0], [0.0, -1.0]])
    W = np.array([[0.0, 0.0], [0.0, -0.8]])
    np.testing.assert_array_equal(
        farthest_move(space, np.zeros(2), moves, W, Cloud()), moves[0]
    )


@pytest.mark.parametrize("seed", range(3))
def test_covering_leaves_the_kink_of_dennis_and_woods(seed):
    options = {
        "poll": "coordinate",
        "initial_radius": 0.5,
        "model_search": False,
        "simplex_search": False,
        "maxfev": 1500,
        "random_state": seed,
    }
    stuck = minimize_cdsm(dennis_woods, [2.1, 2.1], covering=None, **options)
    assert stuck.fun == pytest.approx(1.01, abs=1e-9)
    for points in ("halton", "farthest"):
        for start in (2.1, 2.1 + 0.1 * seed):
            free = minimize_cdsm(
                dennis_woods, [start, start], covering=points, **options
            )
            assert free.fun <= 1.005


def test_a_hole_in_a_plateau_is_found():
    """A discontinuous function whose minimum no poll of small radius sees."""

    def step(x):
        return 0.0 if np.all(np.abs(x - 0.3) < 0.05) else 1.0 + float(x @ x > 0.01)

    res = minimize_cdsm(
        step,
        [0.0, 0.0],
        initial_radius=0.5,
        maxfev=3000,
        radius_restarts=99,
        model_search=False,
        random_state=0,
    )
    assert res.fun == 0.0


@pytest.mark.parametrize("n", [2, 5])
def test_the_covering_radius_bounds_the_largest_hole(n):
    rng = np.random.default_rng(0)
    res = minimize_cdsm(lambda x: float(x @ x), np.ones(n), maxfev=400, random_state=0)
    found = covering_radius(res, random_state=0)
    inside = ball(n, found.ball, 3000, rng) * res.scale + res.x
    holes = cdist(inside / res.scale, res.evaluations["X"] / res.scale).min(axis=1)
    if n <= 3:
        assert holes.max() <= found.radius
    else:
        assert np.mean(holes > found.radius) <= 1e-2
    assert found.best_in_ball == res.fun
    assert found.n_points_in_ball > 1
    assert found.local_gap >= 0
