"""Generators of the cone ``{d : A d <= 0, E d = 0}``, and what a set of moves spans.

A poll of a point near linear restrictions must reach every direction that they leave
open. With independent rows the generators are a basis of the null space, both signs,
and the columns of ``-A'(A A')^-1``. With dependent rows, as at the apex of a pyramid,
every extreme ray is such a column for some independent subset of the rows.
"""

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

# A row that is a nonnegative combination of others up to this is redundant.
REDUNDANT = 1e-10
# Singular values below this times the largest are zero.
RANK = 1e-10
# A ray may violate a unit row by this much.
RAY_TOLERANCE = 1e-10
MAX_SUBSETS = 300
# Largest distance of a generator from the cone of the moves, both of length 1.
SPAN_TOLERANCE = 1e-9
# Two unit moves are opposite when their sum is shorter.
OPPOSITE = 1e-12


def cone_generators(rows: Array, equalities: Array | None = None) -> tuple[Array, bool]:
    """Return unit vectors whose nonnegative combinations are the cone.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        A of ``A d <= 0``.
    equalities : ndarray of shape (p, n), optional
        E of ``E d = 0``.

    Returns
    -------
    generators : ndarray of shape (k, n)
        Empty when the cone is the origin alone.
    complete : bool
        False when more than 300 subsets of dependent rows would have to be tried.

    Examples
    --------
    >>> import numpy as np
    >>> cone_generators(np.array([[1.0, 0.0], [0.0, 1.0]]))[0] + 0.0
    array([[-1.,  0.],
           [ 0., -1.]])
    """
    if equalities is not None and len(equalities):
        basis = null_space(equalities)
        inner, complete = cone_generators(rows @ basis)
        return inner @ basis.T, complete
    line, rays, complete = cone_parts(rows)
    return np.vstack([line.T, -line.T, rays]), complete


def cone_parts(rows: Array) -> tuple[Array, Array, bool]:
    """Return the largest subspace of the cone, and the rays that it needs besides.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        A of ``A d <= 0``.

    Returns
    -------
    line : ndarray of shape (n, l)
        Orthonormal columns.
    rays : ndarray of shape (k, n)
        Unit rows.
    complete : bool
        As in :func:`cone_generators`.
    """
    n = rows.shape[1]
    rows = irredundant(rows)
    if not len(rows):
        return np.eye(n), np.empty((0, n)), True
    singular = np.linalg.svd(rows, compute_uv=False)
    rank = int(np.sum(singular > RANK * singular[0]))
    line = null_space(rows)
    if rank == len(rows):
        return line, _units(-np.linalg.pinv(rows).T), True
    if math.comb(len(rows), rank) > MAX_SUBSETS:
        return line, np.empty((0, n)), False
    found = [np.empty((0, n))]
    for subset in itertools.combinations(range(len(rows)), rank):
        part = rows[list(subset)]
        values = np.linalg.svd(part, compute_uv=False)
        if values[-1] <= RANK * values[0]:
            continue
        rays = _units(-np.linalg.pinv(part).T)
        found.append(rays[(rays @ rows.T <= RAY_TOLERANCE).all(axis=1)])
    return line, _distinct(np.vstack(found)), True


def irredundant(rows: Array) -> Array:
    """Return the unit rows that are no nonnegative combination of the others.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        Any rows.

    Returns
    -------
    ndarray of shape (k, n)
    """
    lengths = np.linalg.norm(rows, axis=1)
    kept = _distinct(rows[lengths > 0] / lengths[lengths > 0, None])
    i = 0
    while i < len(kept) and len(kept) > 1:
        others = np.delete(kept, i, axis=0)
        if nnls(others.T, kept[i])[1] <= REDUNDANT:
            kept = others
        else:
            i += 1
    return kept


def null_space(rows: Array) -> Array:
    """Return an orthonormal basis of ``{d : rows d = 0}``, as columns.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        Any rows.

    Returns
    -------
    ndarray of shape (n, n - rank)
    """
    if not len(rows):
        return np.eye(rows.shape[1])
    _, values, right = np.linalg.svd(rows)
    rank = int(np.sum(values > RANK * max(values[0], np.finfo(float).tiny)))
    return right[rank:].T


def spans(moves: Array, targets: Array) -> bool:
    """Tell whether every target is a nonnegative combination of the moves.

    Pairs of opposite moves span a subspace; only what the targets have outside of it
    is left to nonnegative least squares.

    Parameters
    ----------
    moves, targets : ndarray of shape (q, n) and (k, n)
        Unit rows.

    Returns
    -------
    bool
    """
    if not len(targets):
        return True
    if not len(moves):
        return False
    products = moves @ moves.T
    paired = np.zeros(len(moves), dtype=bool)
    for i, j in zip(*np.nonzero(products < -0.5), strict=True):
        if np.linalg.norm(moves[i] + moves[j]) <= OPPOSITE:
            paired[i] = True
    outside = null_space(moves[paired])
    if not outside.shape[1]:
        return True
    rest, wanted = moves[~paired] @ outside, targets @ outside
    for target in wanted:
        if np.linalg.norm(target) <= SPAN_TOLERANCE:
            continue
        if not len(rest) or nnls(rest.T, target)[1] > SPAN_TOLERANCE:
            return False
    return True


def _units(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _distinct(rows: Array) -> Array:
    kept: list[Array] = []
    for row in rows:
        if all(np.abs(row - other).max() > RANK for other in kept):
            kept.append(row)
    return np.array(kept).reshape(len(kept), rows.shape[1])
