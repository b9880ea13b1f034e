"""Projections onto cones that are degenerate, thin, or in odd units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from convexnn import project_cone
from convexnn.cones import ConeProjector, project_blocks


def data(kind, rng):
    n, d = int(rng.integers(1, 25)), int(rng.integers(1, 7))
    X = rng.standard_normal((n, d))
    if kind == "integers":
        return np.round(X)
    if kind == "nearly equal rows":
        X[: n // 2] = X[0] + 1e-2 * X[: n // 2]
    if kind == "rows in odd units":
        X *= 10.0 ** rng.uniform(-12, 12, (n, 1))
    if kind == "zero rows":
        X[rng.random(n) < 0.4] = 0.0
    if kind == "opposite rows":
        X[n // 2 :] = -X[: n - n // 2]
    return X


KINDS = (
    "general",
    "integers",
    "nearly equal rows",
    "rows in odd units",
    "zero rows",
    "opposite rows",
)


@pytest.mark.parametrize("kind", KINDS)
def test_projection_is_the_nearest_point_of_the_cone(kind):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X = data(kind, rng)
        d = rng.random(len(X)) < 0.5
        if seed % 2:
            d = X @ rng.standard_normal(X.shape[1]) >= 0
        g = rng.standard_normal(X.shape[1]) * 10.0 ** rng.uniform(-5, 5)
        p = project_cone(g, X, d)
        size, rows = np.linalg.norm(g), np.linalg.norm(X, axis=1)
        signed = (2.0 * d - 1)[:, None] * X
        # Thin cones have large multipliers, which cost digits.
        room = 1e-9 if kind == "nearly equal rows" else 1e-11
        assert (signed @ p >= -room * rows * size).all(), seed
        assert abs(p @ (g - p)) <= room * size**2, seed
        # Moreau: what is left lies in the polar cone, so no point is nearer.
        unit = signed[rows > 0] / rows[rows > 0, None]
        _, distance = nnls(unit.T, p - g, maxiter=1000) if len(unit) else (0, size)
        left = distance if len(unit) else np.linalg.norm(p - g)
        assert left <= room * size, seed


def test_projecting_twice_changes_nothing():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X = data("general", rng)
        d, g = rng.random(len(X)) < 0.5, rng.standard_normal(X.shape[1])
        p = project_cone(g, X, d)
        assert project_cone(p, X, d) == pytest.approx(p, abs=1e-12)


def test_a_cone_without_interior_is_projected_onto():
    # x = 0 and y <= 0 at once, then the origin alone
    X = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert project_cone([3.0, -2.0], X, [1, 0, 0]) == pytest.approx([0, -2])
    assert project_cone([3.0, 2.0], X, [1, 0, 0]) == pytest.approx([0, 0])


@pytest.mark.parametrize("unit", [1e-170, 1e-20, 1e20, 1e170])
def test_units_of_data_and_vector_do_not_matter(unit):
    X = np.array([[1.0, 2.0], [-1.0, 1.0], [0.5, -2.0]])
    expected = project_cone([1.0, -3.0], X, [1, 1, 0])
    assert project_cone([1.0, -3.0], unit * X, [1, 1, 0]) == pytest.approx(expected)
    scaled = project_cone([unit, -3.0 * unit], X, [1, 1, 0])
    assert scaled / unit == pytest.approx(expected)
    rows = X * [[unit], [1.0], [1.0 / unit]]
    assert project_cone([1.0, -3.0], rows, [1, 1, 0]) == pytest.approx(expected)


def test_start_multipliers_of_dependent_rows_do_no_harm():
    A = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    D, x = np.ones((1, 4)), np.array([[-1.0, -1.0]])
    p, lam = project_blocks(A, D, x, np.array([[5.0, 5.0, 5.0, 5.0]]))
    assert p == pytest.approx(np.zeros((1, 2)), abs=1e-12)
    assert x + (lam @ A) == pytest.approx(p, abs=1e-12)
    assert (lam >= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_restored_projector_continues_bit_for_bit(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((40, 6))
    A[7] = A[3]
    D = (A @ rng.standard_normal((6, 5)) >= 0).T.astype(float)
    D[0] = rng.random(40) < 0.5
    gram = A @ A.T
    whole = ConeProjector(A, D, gram)
    x = rng.standard_normal((5, 6))
    for step in range(12):
        x = x + 0.1 * rng.standard_normal((5, 6))
        resumed = ConeProjector(A, D, gram)
        resumed.restore(whole.state())
        expected = whole(x, 0.2)
        assert np.array_equal(resumed(x, 0.2), expected), step
        assert np.array_equal(resumed.multipliers, whole.multipliers), step


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 15), d=st.integers(1, 6))
def test_projection_satisfies_moreau_and_agrees_with_nnls(seed, n, d):
    rng = np.random.default_rng(seed)
    X, g = rng.standard_normal((n, d)), rng.standard_normal(d)
    pattern = rng.integers(0, 2, n)  # not always realisable
    signed = (2 * pattern - 1)[:, None] * X
    p = project_cone(g, X, pattern)
    assert (signed @ p).min() >= -1e-10
    assert abs(p @ (g - p)) <= 1e-10
    lam, _ = nnls(signed.T, -g, maxiter=1000)
    assert p == pytest.approx(g + signed.T @ lam, abs=1e-9)


def test_projection_names_bad_input():
    X = np.eye(2)
    for arguments, message in (
        (([1.0], X, [1, 1]), "g must have shape"),
        (([np.nan, 1.0], X, [1, 1]), "g must not contain"),
        (([1.0, 1.0], X, [1, 2]), "d must be a 0/1"),
        (([1.0, 1.0], X, [1]), "d must be a 0/1"),
    ):
        with pytest.raises(ValueError, match=message):
            project_cone(*arguments)


@given(seed=st.integers(0, 2**32 - 1))
def test_warm_projection_equals_a_cold_one(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((20, 4))
    A[3], A[5] = 0.0, A[4]
    D = (rng.random((6, 20)) < 0.5).astype(float)
    for gram in (None, A @ A.T):
        projector = ConeProjector(A, D, gram)
        x = rng.standard_normal((6, 4))
        for _ in range(5):
            x = x + 0.2 * rng.standard_normal((6, 4))
            warm = projector(x)
            cold, _ = project_blocks(A, D, x)
            assert warm == pytest.approx(cold, abs=1e-9)
            lam = projector.multipliers
            assert lam.min() >= 0
            assert warm == pytest.approx(x + ((2 * D - 1) * lam) @ A, abs=1e-9)
            started, _ = project_blocks(A, D, x, lam)
            assert started == pytest.approx(cold, abs=1e-9)


def test_projector_may_stop_below_the_threshold():
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal((12, 3)), rng.standard_normal((10, 3))
    D = (A @ rng.standard_normal((3, 10)) >= 0).T.astype(float)
    exact = ConeProjector(A, D)(x)
    projector = ConeProjector(A, D)
    early = projector(x, threshold=1.0)
    small = np.linalg.norm(early, axis=1) <= 1.0
    assert small.any()
    assert not small.all()
    assert (np.linalg.norm(exact, axis=1)[small] <= 1.0 + 1e-12).all()
    assert early[~small] == pytest.approx(exact[~small])
    assert projector(x) == pytest.approx(exact)  # it goes on from where it stopped
