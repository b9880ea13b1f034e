"""Projection onto the cones ``K = {v : S X v >= 0}`` of activation patterns."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn import _kernels
from convexnn._measure_cells import lengths
from convexnn.patterns import as_matrix
from convexnn.scale.cones import MANY_ROWS, TOLERANCE, LargeConeProjector
from farkas.kernels import prepare

Array = NDArray[np.float64]


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
    # The cone does not depend on the lengths of the rows; their squares might overflow.
    rows, size = lengths(X, axis=1)[:, None], float(np.abs(vector).max()) or 1.0
    units = X / np.where(rows > 0, rows, 1.0)
    return size * project_blocks(units, pattern[None, :], vector[None, :] / size)[0][0]


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
    many = len(A) > MANY_ROWS
    projector = LargeConeProjector(A, D) if many else ConeProjector(A, D)
    if lam is not None:
        projector.start_from(lam)
    return projector(gradients), projector.multipliers


class ConeProjector:
    """Projection of blocks onto their cones that starts from the call before.

    Parameters
    ----------
    A : ndarray of shape (n, r)
        Data.
    D : ndarray of shape (m, n)
        Patterns, 0.0 or 1.0.
    gram : ndarray of shape (n, n), optional
        ``A A'``; saves time in repeated calls.

    Attributes
    ----------
    multipliers : ndarray of shape (m, n)
        Multipliers of the last projection, at most r of a row positive; they may be
        rescaled.
    """

    def __init__(self, A: Array, D: Array, gram: Array | None = None) -> None:
        self.A, self.D = prepare(A), prepare(D)
        self.gram = np.zeros((0, 0)) if gram is None else prepare(gram)
        self.rows = np.linalg.norm(self.A, axis=1)
        m, r = len(D), A.shape[1]
        self.multipliers = np.zeros(D.shape)
        self._passive = np.zeros((m, r), dtype=np.int64)
        self._counts = np.zeros(m, dtype=np.int64)
        self._factors = np.zeros((m, r, r))
        self._margins = np.full(D.shape, -np.inf)
        self._centers = np.zeros((m, r))

    def start_from(self, multipliers: Array) -> None:
        """Start the next projection from nonnegative multipliers (m, n)."""
        largest_first = np.argsort(-multipliers, axis=1, kind="stable")
        self._passive[:] = largest_first[:, : self._passive.shape[1]]
        self._counts[:] = (np.take_along_axis(multipliers, self._passive, 1) > 0).sum(1)
        self.multipliers[:] = 0.0
        kept = np.take_along_axis(multipliers, self._passive, 1)
        np.put_along_axis(self.multipliers, self._passive, kept, 1)
        self._factor()

    def rescale(self, factor: float) -> None:
        """Multiply the multipliers, as the points are about to be."""
        self.multipliers *= factor

    def state(self) -> dict[str, Any]:
        """Return what continues bit for bit."""
        return {
            "cone_multipliers": self.multipliers.copy(),
            "cone_passive": self._passive.copy(),
            "cone_counts": self._counts.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        self.multipliers[:] = state["cone_multipliers"]
        self._passive[:] = state["cone_passive"]
        self._counts[:] = state["cone_counts"]
        self._factor()

    def __call__(self, points: Array, threshold: float = -1.0) -> Array:
        """Return the projection of each row of ``points`` (m, r).

        Where its norm is seen to be at most ``threshold``, any vector of such a norm.
        """
        points = prepare(points)
        projections = np.empty_like(points)
        _kernels.project_cones(
            self.A,
            self.gram,
            self.rows,
            self.D,
            points,
            self.multipliers,
            self._passive,
            self._counts,
            self._factors,
            self._margins,
            self._centers,
            projections,
            threshold,
            TOLERANCE,
            3 * self.A.shape[1] + 50,
        )
        return projections

    def _factor(self) -> None:
        _kernels.factor_passive(
            self.A,
            self.gram,
            self.D,
            self.multipliers,
            self._passive,
            self._counts,
            self._factors,
        )
