"""Projection onto the robust cones ``{v : S X v >= |v|_eps}`` of activation patterns.

Inside, no perturbation of X within the box of radius eps changes the pattern.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn._measure_cells import lengths
from convexnn.cones import TOLERANCE
from convexnn.patterns import as_matrix
from convexnn.robust import _kernels
from convexnn.robust.program import column_radius
from farkas.kernels import prepare

Array = NDArray[np.float64]


def project_robust_cone(
    g: ArrayLike, X: ArrayLike, d: ArrayLike, eps: ArrayLike
) -> Array:
    """Project a vector onto the robust cone of an activation pattern.

    Parameters
    ----------
    g : array-like of shape (d,)
        The vector.
    X : array-like of shape (n, d)
        Data, with the intercept column if there is one.
    d : array-like of shape (n,)
        Pattern, 0 or 1.
    eps : float or array-like of shape (d,)
        Radius of the box around each row; a number spares constant columns.

    Returns
    -------
    ndarray of shape (d,)
        The nearest p with ``(2 d - 1) * (X @ p) >= eps @ abs(p)``. Moreau's identity
        holds: ``p'(g - p) = 0``.

    Raises
    ------
    ValueError
        If shapes disagree, ``d`` is not 0/1, or a number is out of range.

    Examples
    --------
    >>> project_robust_cone([1.0, -2.0], [[1.0, 1.0]], [1], 0.5).round(6)
    array([ 1.5, -0.5])
    """
    X = as_matrix(X)
    radius = column_radius(eps, X)
    pattern = np.asarray(d, dtype=np.float64)
    vector = np.asarray(g, dtype=np.float64)
    if vector.shape != (X.shape[1],):
        raise ValueError(f"g must have shape ({X.shape[1]},), got {vector.shape}.")
    if not np.isfinite(vector).all():
        raise ValueError("g must not contain NaN or infinity.")
    if pattern.shape != (len(X),) or not np.isin(pattern, (0.0, 1.0)).all():
        raise ValueError(f"d must be a 0/1 vector of shape ({len(X)},).")
    size = float(np.abs(vector).max()) or 1.0
    unit = max(float(np.abs(X).max()), float(radius.max())) or 1.0
    projector = RobustConeProjector(X / unit, radius / unit, pattern[None, :])
    return size * projector(vector[None, :] / size)[0]


class RobustConeProjector:
    """Projection of blocks onto their robust cones that starts from the call before.

    Parameters
    ----------
    A : ndarray of shape (n, d)
        Data.
    eps : ndarray of shape (d,)
        Radius of each column.
    D : ndarray of shape (m, n)
        Patterns, 0.0 or 1.0.
    """

    def __init__(self, A: Array, eps: Array, D: Array) -> None:
        self.A, self.eps, self.D = prepare(A), prepare(eps), prepare(D)
        self.rows = lengths(self.A, axis=1) + float(lengths(self.eps, axis=0))
        m, d = len(D), A.shape[1]
        self._normals = np.zeros((m, d, d))
        self._owners = np.zeros((m, d), dtype=np.int64)
        self._weights = np.zeros((m, d))
        self._counts = np.zeros(m, dtype=np.int64)
        self._factors = np.zeros((m, d, d))
        self._margins = np.full(D.shape, -np.inf)
        self._centers = np.zeros((m, d))

    def state(self) -> dict[str, Any]:
        """Return what continues bit for bit."""
        return {
            "cone_normals": self._normals.copy(),
            "cone_owners": self._owners.copy(),
            "cone_weights": self._weights.copy(),
            "cone_counts": self._counts.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        self._normals[:] = state["cone_normals"]
        self._owners[:] = state["cone_owners"]
        self._weights[:] = state["cone_weights"]
        self._counts[:] = state["cone_counts"]
        _kernels.factor_normals(
            self._normals, self._owners, self._weights, self._counts, self._factors
        )

    def rescale(self, factor: float) -> None:
        """Multiply the multipliers from which the next projection starts."""
        self._weights *= factor

    def multipliers(self) -> Array:
        """Return the multipliers (m, n) of the last projection, at most d of a row."""
        m, d = self._weights.shape
        dense = np.zeros(self.D.shape)
        used = np.arange(d) < self._counts[:, None]
        blocks = np.broadcast_to(np.arange(m)[:, None], (m, d))
        positive = np.maximum(self._weights[used], 0.0)
        np.add.at(dense, (blocks[used], self._owners[used]), positive)
        return dense

    def __call__(self, points: Array, threshold: float = -1.0) -> Array:
        """Return the projection of each row of ``points`` (m, d).

        Where its norm is seen to be at most ``threshold``, any vector of such a norm.
        """
        points = prepare(points)
        projections = np.empty_like(points)
        _kernels.project_robust_cones(
            self.A,
            self.eps,
            self.rows,
            self.D,
            points,
            self._normals,
            self._owners,
            self._weights,
            self._counts,
            self._factors,
            self._margins,
            self._centers,
            projections,
            threshold,
            TOLERANCE,
            10 * self.A.shape[1] + 50,
        )
        return projections
