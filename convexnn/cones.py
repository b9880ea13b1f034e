"""Projection onto the cones ``K = {v : S X v >= 0}`` of activation patterns."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn import _kernels
from convexnn.patterns import as_matrix
from farkas.kernels import prepare

Array = NDArray[np.float64]

# Constraint violation relative to |x_k| |g| at which a projection is accepted.
TOLERANCE = 1e-13


def project_cone(g: ArrayLike, X: ArrayLike, d: ArrayLike) -> Array:
    """Project a vector onto the cone of an activation pattern.

    Parameters
    ----------
    g : array-like of shape (d,)
        The vector.
    X : array-like of shape (n, d)
        Data, with the intercept column if there is one.
    d : array-like of shape (n,)
        Pattern, 0 or 1.

    Returns
    -------
    ndarray of shape (d,)
        The nearest p with ``(2 d - 1) * (X @ p) >= 0``. Moreau's identity holds:
        ``p'(g - p) = 0``.

    Raises
    ------
    ValueError
        If shapes disagree, ``d`` is not 0/1, or a number is not finite.

    Examples
    --------
    >>> project_cone([1.0, -2.0], [[1.0, 0.0], [0.0, 1.0]], [1, 1])
    array([1., 0.])
    """
    X = as_matrix(X)
    pattern = np.asarray(d, dtype=np.float64)
    vector = np.asarray(g, dtype=np.float64)
    if vector.shape != (X.shape[1],):
        raise ValueError(f"g must have shape ({X.shape[1]},), got {vector.shape}.")
    if not np.isfinite(vector).all():
        raise ValueError("g must not contain NaN or infinity.")
    if pattern.shape != (len(X),) or not np.isin(pattern, (0.0, 1.0)).all():
        raise ValueError(f"d must be a 0/1 vector of shape ({len(X)},).")
    return project_blocks(X, pattern[None, :], vector[None, :])[0][0]


def project_blocks(
    A: Array, D: Array, gradients: Array, lam: Array | None = None
) -> tuple[Array, Array]:
    """Project each row of ``gradients`` onto the cone of the same row of ``D``.

    Parameters
    ----------
    A : ndarray of shape (n, r)
        Data.
    D : ndarray of shape (m, n)
        Patterns, 0.0 or 1.0.
    gradients : ndarray of shape (m, r)
        Vectors to project.
    lam : ndarray of shape (m, n), optional
        Multipliers to start from, nonnegative.

    Returns
    -------
    projections : ndarray of shape (m, r)
        ``gradients + (S lam) A``; from below the cone exactly as far as rounding goes.
    lam : ndarray of shape (m, n)
        Nonnegative multipliers, at most r of a row positive.
    """
    A = prepare(A)
    gradients = prepare(gradients)
    lam = np.zeros(D.shape) if lam is None else np.array(lam, order="C")
    projections = np.empty_like(gradients)
    _kernels.project_cones(
        A,
        np.linalg.norm(A, axis=1),
        prepare(D),
        gradients,
        lam,
        projections,
        TOLERANCE,
        changes_allowed(A),
    )
    return projections, lam


def changes_allowed(A: Array) -> int:
    """Return the number of active-set changes after which a projection gives up."""
    return 3 * A.shape[1] + 50
