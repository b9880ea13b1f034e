"""Tangent cones against projections computed by nonnegative least squares."""

import numpy as np
import pytest
from scipy.optimize import nnls

from dfo._measure_cone import cone_generators, irredundant, null_space, spans


@pytest.mark.parametrize("seed", range(60))
def test_projections_on_the_cone_are_combinations_of_the_generators(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 5), rng.integers(1, 7)
    A = rng.integers(-2, 3, (m, n)).astype(float)
    generators, complete = cone_generators(A)
    assert complete
    if len(generators):
        assert (generators @ A.T <= 1e-9).all()
    for z in rng.standard_normal((5, n)):
        projection = z - A.T @ nnls(A.T, z)[0]
        if len(generators):
            assert nnls(generators.T, projection)[1] <= 1e-7
        else:
            np.testing.assert_allclose(projection, 0, atol=1e-9)


def test_the_apex_of_a_pyramid_has_four_rays():
    A = np.array([[1.0, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1]])
    generators, complete = cone_generators(A)
    assert complete
    found = {tuple(np.sign(np.round(g, 9)).astype(int)) for g in generators}
    assert found == {(a, b, -1) for a in (-1, 1) for b in (-1, 1)}
    # Pivoted QR would keep three rows, and rays that leave the cone.
    assert len(irredundant(A)) == 4


def test_too_many_subsets_are_admitted():
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    A = np.column_stack([np.cos(angles), np.sin(angles), np.ones(40)])
    assert not cone_generators(A)[1]


def test_equalities_leave_their_null_space():
    E = np.array([[1.0, 1.0, 1.0]])
    generators, _ = cone_generators(np.empty((0, 3)), E)
    assert len(generators) == 4
    np.testing.assert_allclose(generators @ E.T, 0, atol=1e-12)


def test_spans_needs_every_direction():
    eye = np.eye(3)
    full = np.vstack([eye, -eye])
    assert spans(full, full)
    for k in range(6):
        assert not spans(np.delete(full, k, axis=0), full)
    assert spans(np.vstack([eye, -np.ones(3) / np.sqrt(3)]), full)
    assert not spans(np.empty((0, 3)), full)
    assert spans(np.empty((0, 3)), np.empty((0, 3)))


def test_null_space_is_orthonormal():
    rows = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]])
    Z = null_space(rows)
    assert Z.shape == (3, 2)
    np.testing.assert_allclose(Z.T @ Z, np.eye(2), atol=1e-12)
