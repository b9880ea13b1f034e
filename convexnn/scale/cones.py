"""Projection onto the cones of activation patterns when there are many rows.

The active set of cones.py looks at all rows again after each of its changes. With
many rows that is most of an iteration. Here matrix products look at all rows of all
blocks at once, and the active set works on the few rows they point out; and what one
projection leaves to the next, the passive rows and their multipliers, takes (m, r)
numbers instead of (m, n).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn.scale import _kernels
from farkas.kernels import prepare

Array = NDArray[np.float64]

# Constraint violation relative to |x_k| |g| at which a projection is accepted.
TOLERANCE = 1e-13

# Rows from which on this projection is the faster one, measured at r = 50.
MANY_ROWS = 4000

# Looks at all rows by a matrix product; each but the last improves the projection.
ROUNDS = 100
# Candidate rows, and largest number of changes of the active set, in multiples of r.
CANDIDATES, CHANGES = 4, 50
# Blocks that are multiplied at once, so that the products stay a small matrix.
BATCH = 64


class LargeConeProjector:
    """Projection of blocks onto their cones that starts from the call before.

    Parameters
    ----------
    A : ndarray of shape (n, r)
        Data.
    D : ndarray of shape (m, n)
        Patterns, 0.0 or 1.0.

    Attributes
    ----------
    passive : ndarray of shape (m, r)
        Rows whose constraints bind, the first ``counts[i]`` in row i.
    values : ndarray of shape (m, r)
        Their multipliers, positive.
    counts : ndarray of shape (m,)
        Number of binding rows.
    """

    def __init__(self, A: Array, D: Array) -> None:
        self.A, self.D = prepare(A), prepare(D)
        self.rows = np.linalg.norm(self.A, axis=1)
        m, r = len(D), A.shape[1]
        self.passive = np.zeros((m, r), dtype=np.int64)
        self.values = np.zeros((m, r))
        self.counts = np.zeros(m, dtype=np.int64)
        self._factors = np.zeros((m, r, r))
        self._transposed = np.ascontiguousarray(self.A.T)

    @property
    def multipliers(self) -> Array:
        """Multipliers of the last projection, (m, n), computed anew."""
        dense = np.zeros(self.D.shape)
        used = np.arange(self.values.shape[1]) < self.counts[:, None]
        block, _ = np.nonzero(used)
        dense[block, self.passive[used]] = self.values[used]
        return dense

    def start_from(self, multipliers: Array) -> None:
        """Start the next projection from nonnegative multipliers (m, n)."""
        largest_first = np.argsort(-multipliers, axis=1, kind="stable")
        self.passive[:] = largest_first[:, : self.passive.shape[1]]
        self.values[:] = np.take_along_axis(multipliers, self.passive, 1)
        self.counts[:] = (self.values > 0).sum(axis=1)
        self.factor()

    def rescale(self, factor: float) -> None:
        """Multiply the multipliers, as the points are about to be."""
        self.values *= factor

    def state(self) -> dict[str, Any]:
        """Return what continues, up to rounding in the factors."""
        return {
            "cone_passive": self.passive.copy(),
            "cone_values": self.values.copy(),
            "cone_counts": self.counts.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        self.passive[:] = state["cone_passive"]
        self.values[:] = state["cone_values"]
        self.counts[:] = state["cone_counts"]
        self.factor()

    def factor(self) -> None:
        """Compute the factors of the passive rows anew."""
        _kernels.factor_rows(
            self.A, self.D, self.passive, self.values, self.counts, self._factors
        )

    def __call__(self, points: Array, threshold: float = -1.0) -> Array:
        """Return the projection of each row of ``points`` (m, r).

        Where its norm is seen to be at most ``threshold``, any vector of such a norm.
        """
        points = prepare(points)
        m, r = points.shape
        projections = np.empty_like(points)
        todo = np.empty(m, dtype=np.int64)
        number = _kernels.start_from_passive(
            self.A,
            self.D,
            points,
            self.passive,
            self.values,
            self.counts,
            self._factors,
            projections,
            threshold,
            todo,
        )
        todo = todo[:number]
        for _ in range(ROUNDS):
            left = [
                self._round(points, projections, todo[start : start + BATCH])
                for start in range(0, len(todo), BATCH)
            ]
            if not left:
                break
            todo = np.concatenate(left)
        return projections

    def _round(
        self, points: Array, projections: Array, todo: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Improve the projections of some blocks; return those that need more."""
        pending = np.zeros(len(todo), dtype=np.bool_)
        r = points.shape[1]
        _kernels.project_from_margins(
            self.A,
            self.rows,
            self.D,
            points,
            self.passive,
            self.values,
            self.counts,
            self._factors,
            np.ascontiguousarray(todo),
            projections[todo] @ self._transposed,
            projections,
            pending,
            CANDIDATES * r,
            TOLERANCE,
            CHANGES * r,
        )
        return todo[pending]
