"""One step for given noise: numbers, moments, and what it must not depend on."""

import math

import numpy as np
import pytest

from dfo import cbo_update, consensus_point
from dfo.cbo.dynamics.update import heaviside, memory_update, project_onto_ball

X4 = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
F4 = np.array([1.0, 2.0, 0.5, 4.0])
XI = np.array([[0.5, -1.0], [0.0, 2.0], [1.0, 1.0], [-0.5, 0.25]])
STEP = {"lam": 1.0, "dt": 0.1, "sigma": 0.8}
C4 = consensus_point(X4, F4, 10.0)[0]


def test_isotropic_step():
    expected = [
        [0.2512889946067055, -0.3039165589915366],
        [0.9000000303854871, 1.3239782763959036],
        [0.003386527570869514, 2.0020478666362824],
        [2.3005322893286944, 1.2983952399792966],
    ]
    assert cbo_update(X4, C4, XI, noise="isotropic", **STEP) == pytest.approx(
        np.array(expected), rel=1e-13
    )


ANISOTROPIC = np.array(
    [
        [6.882042601598386e-08, -0.3039165589915306],
        [0.9000000303854871, 1.2038172263357616],
        [1.0725536488952982e-07, 2.0020478666354102],
        [2.3205267496002207, 1.1610602983581404],
    ]
)


def test_anisotropic_step():
    assert cbo_update(X4, C4, XI, **STEP) == pytest.approx(ANISOTROPIC, rel=1e-12)


def test_truncated_step():
    moved = cbo_update(X4, C4, XI, truncation=1.0, **STEP)
    expected = ANISOTROPIC.copy()
    expected[[0, 1, 3], 1] = [-0.05432084336257023, 0.704625795077841, moved[3, 1]]
    expected[3, 0] = 2.573508923978752
    assert moved == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("noise", "k"), [("anisotropic", 1), ("isotropic", 3)])
def test_mean_square_factor(noise, k):
    rng = np.random.default_rng(0)
    X = np.tile([[1.0, -2.0, 0.5]], (200_000, 1))
    moved = cbo_update(
        X,
        np.zeros(3),
        rng.standard_normal(X.shape),
        lam=1,
        sigma=0.8,
        dt=0.3,
        noise=noise,
    )
    ratio = np.sum(moved**2, axis=1).mean() / 5.25
    assert ratio == pytest.approx(0.7**2 + k * 0.64 * 0.3, rel=0.01)


def test_exact_step_is_the_limit_of_many_small_ones():
    rng = np.random.default_rng(1)
    N, n, dt = 20_000, 200, 0.5
    X = np.ones((N, 1))
    for _ in range(n):
        xi = rng.standard_normal((N, 1))
        X = cbo_update(X, [0.0], xi, lam=1, sigma=0.6, dt=dt / n)
    once = cbo_update(
        np.ones((N, 1)),
        [0.0],
        rng.standard_normal((N, 1)),
        lam=1,
        sigma=0.6,
        dt=dt,
        exact=True,
    )
    assert once.min() > 0  # never across the consensus
    assert np.log(X).mean() == pytest.approx(np.log(once).mean(), abs=0.02)
    assert np.log(X).std() == pytest.approx(np.log(once).std(), rel=0.03)


def test_exact_step_is_stable_for_every_dt():
    moved = cbo_update(X4, C4, XI, lam=1.0, sigma=1.0, dt=1e3, exact=True)
    assert moved == pytest.approx(np.tile(C4, (4, 1)))


def test_noise_after_drift_scales_the_noise():
    plain, after = (
        cbo_update(X4, C4, XI, noise_after_drift=flag, **STEP) for flag in (False, True)
    )
    drifted = X4 - 0.1 * (X4 - C4)
    assert after - drifted == pytest.approx(0.9 * (plain - drifted))


def test_delta_noise_does_not_vanish_at_the_consensus():
    X = np.tile(C4, (4, 1))
    assert cbo_update(X, C4, XI, **STEP) == pytest.approx(X)
    moved = cbo_update(X, C4, XI, delta=2.0, delta_xi=XI, **STEP)
    assert moved - X == pytest.approx(2.0 * math.sqrt(0.1) * XI)


def test_translation_permutation_and_rotation():
    shift = np.array([3.0, -7.0])
    base = cbo_update(X4, C4, XI, **STEP)
    assert cbo_update(X4 + shift, C4 + shift, XI, **STEP) == pytest.approx(base + shift)
    swapped = cbo_update(X4[:, ::-1], C4[::-1], XI[:, ::-1], **STEP)
    assert swapped == pytest.approx(base[:, ::-1])
    Q = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = cbo_update(X4 @ Q, C4 @ Q, XI @ Q, noise="isotropic", **STEP)
    plain = cbo_update(X4, C4, XI, noise="isotropic", **STEP)
    assert turned == pytest.approx(plain @ Q)
    not_rotation_invariant = cbo_update(X4 @ Q, C4 @ Q, XI @ Q, **STEP)
    assert np.abs(not_rotation_invariant - base @ Q).max() > 1e-3


def test_a_ball_for_the_drift():
    assert project_onto_ball([3.0, 4.0], [0, 0], 10.0).tolist() == [3.0, 4.0]
    assert project_onto_ball([1.0, 1.0], [1.0, 1.0], 0.5).tolist() == [1.0, 1.0]
    aim = project_onto_ball(C4, [0.0, 0.0], 1.0)
    moved = cbo_update(X4, C4, np.zeros_like(XI), aim=aim, **STEP)
    assert moved == pytest.approx(X4 - 0.1 * (X4 - aim))


def test_heaviside_spares_what_is_better():
    f = np.array([0.0, 1.0, 2.0, math.nan, math.inf])
    assert heaviside(f, 1.0).tolist() == [0, 1, 1, 1, 1]
    smooth = heaviside(f, 1.0, 0.5)
    assert smooth[:3] == pytest.approx(0.5 * (1 + np.tanh([-2.0, 0.0, 2.0])))
    mask = heaviside(F4, 1.5)
    moved = cbo_update(X4, C4, np.zeros_like(XI), drift_mask=mask, **STEP)
    assert moved == pytest.approx(np.where(mask[:, None] > 0, X4 - 0.1 * (X4 - C4), X4))
    assert heaviside(f, math.nan).tolist() == [1] * 5


def test_memory_keeps_the_better_place():
    Y, g = np.zeros((4, 2)), np.array([1.5, 1.5, math.nan, math.inf])
    moved, values, stale = memory_update(X4, F4, Y, g)
    assert moved.tolist() == [X4[0].tolist(), [0, 0], X4[2].tolist(), X4[3].tolist()]
    assert values.tolist() == [1.0, 1.5, 0.5, 4.0]
    assert not stale.any()
    between, _, stale = memory_update(X4, F4, Y, np.full(4, 1.0), beta=1.0)
    share = 0.5 * (1 + np.tanh(1.0 - F4))
    assert between == pytest.approx(X4 * share[:, None])
    assert stale.all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"lam": -1.0}, "lam"),
        ({"sigma": -1.0}, "sigma"),
        ({"dt": 0.0}, "dt"),
        ({"noise": "red"}, "noise"),
        ({"exact": True, "noise": "isotropic"}, "exact"),
        ({"exact": True, "truncation": 1.0}, "exact"),
        ({"delta": 1.0}, "delta_xi"),
    ],
)
def test_bad_arguments_are_named(changes, match):
    with pytest.raises(ValueError, match=match):
        cbo_update(X4, C4, XI, **{**STEP, **changes})


def test_wrong_noise_shape_is_named():
    with pytest.raises(ValueError, match="xi"):
        cbo_update(X4, C4, XI[:2], **STEP)
