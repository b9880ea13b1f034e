"""The set X that is never left: bounds, linear rows and grids, and its scaled units.

Points are vectors of the user's variables. Moves are measured in scaled units,
``x = center + s * (N w)``: ``s`` is a tenth of the range of a variable, and the columns
of ``N`` are an orthonormal basis of the moves that fixed variables and linear
equalities leave (the identity without them).
"""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, linprog

from dfo._measure_cone import null_space
from dfo._measure_poll_set import ROWS_RTOL, displaced

Array = NDArray[np.float64]

# A poll of the first iteration looks across a tenth of the range of each variable.
SHARE_OF_RANGE = 0.1
SMALLEST_SCALE = 1e-8
# Limits of a linear constraint this close make an equality.
EQUAL = 1e-12


class Space:
    """The set X with its units.

    Parameters
    ----------
    x0 : array-like of shape (n,)
        Start; moved into X.
    lower, upper : ndarray of shape (n,)
        Bounds; equal ones fix a variable.
    linear : sequence of LinearConstraint
        Further rows.
    grid : ndarray of shape (n,)
        Spacing of the values that a variable may take, 0 without any.
    anchored : ndarray of shape (n,) of bool
        Whether the grid contains x0 rather than 0.
    initial_radius : float or array-like, optional
        Overrides the unit of each variable.
    """

    def __init__(
        self,
        x0: Any,
        lower: Array,
        upper: Array,
        linear: list[LinearConstraint],
        grid: Array,
        anchored: NDArray[np.bool_],
        initial_radius: Any = None,
    ) -> None:
        x0 = np.asarray(x0, dtype=np.float64)
        n = len(x0)
        self.n, self.grid = n, grid
        self.gridded = bool((grid > 0).any())
        self.origin = np.where(anchored, x0, 0.0)
        self.lower, self.upper = self._shrunk(lower, upper)
        if not (self.lower <= self.upper).all():
            raise ValueError(
                "bounds leave no value of the grid for some variable; widen them."
            )
        inside = np.clip(x0, lower, upper)
        if (inside != x0).any():
            warnings.warn(
                "x0 lies outside of the bounds and was moved onto them.",
                UserWarning,
                stacklevel=4,
            )
        self.rows, self.limits, self.equalities = self._read(linear, n)
        self.x0 = self._start(self.place(inside), linear)
        self.scale = self._units(initial_radius)
        self.basis = self._moves()
        self.k = n if self.basis is None else self.basis.shape[1]
        self.plain = not (len(self.rows) or len(self.equalities))
        norms = np.linalg.norm(self.rows * self.scale, axis=1)
        self._norms = np.where(norms > 0, norms, 1.0)
        self.units = self.rows * self.scale / self._norms[:, None]
        self.free = self.lower < self.upper

    def _shrunk(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        if not self.gridded:
            return lower.copy(), upper.copy()
        g = np.where(self.grid > 0, self.grid, 1.0)
        with np.errstate(invalid="ignore"):
            low = self.origin + g * np.ceil((lower - self.origin) / g - 1e-9)
            high = self.origin + g * np.floor((upper - self.origin) / g + 1e-9)
        on = self.grid > 0
        return np.where(on, low, lower), np.where(on, high, upper)

    def _read(
        self, linear: list[LinearConstraint], n: int
    ) -> tuple[Array, Array, Array]:
        rows, limits, equalities = [], [], []
        for constraint in linear:
            A = np.atleast_2d(np.asarray(_dense(constraint.A), dtype=np.float64))
            if A.shape[1] != n:
                raise ValueError(
                    f"constraints: a LinearConstraint of {A.shape[1]} columns does not "
                    f"fit x0 with {n} variables."
                )
            lb, ub = (
                np.broadcast_to(constraint.lb, len(A)),
                np.broadcast_to(constraint.ub, len(A)),
            )
            for a, lo, hi in zip(A, lb, ub, strict=True):
                if _equal(lo, hi):
                    equalities.append(a)
                    continue
                if math.isfinite(hi):
                    rows.append(a)
                    limits.append(hi)
                if math.isfinite(lo):
                    rows.append(-a)
                    limits.append(-lo)
        if rows or equalities:  # then the sides of the box are rows like the others
            for j in range(n):
                for sign, side in ((1.0, self.upper[j]), (-1.0, self.lower[j])):
                    if math.isfinite(side) and self.lower[j] < self.upper[j]:
                        row = np.zeros(n)
                        row[j] = sign
                        rows.append(row)
                        limits.append(sign * side)
        if equalities and self.gridded:
            raise ValueError(
                "linear equalities and integrality or granularity do not go together; "
                "eliminate a variable."
            )
        return (
            np.array(rows).reshape(-1, n),
            np.array(limits, dtype=np.float64),
            np.array(equalities).reshape(-1, n),
        )

    def _start(self, x0: Array, linear: list[LinearConstraint]) -> Array:
        """Return x0, or the point of X nearest to it in the 1-norm."""
        targets = self._equality_values(linear)
        room = ROWS_RTOL * (np.abs(self.equalities) @ np.abs(x0) + np.abs(targets))
        exact = (np.abs(self.equalities @ x0 - targets) <= room).all()
        if self.inside(x0) and exact:
            return x0
        n = self.n
        eye = np.eye(n)
        A = np.block([[eye, -eye], [-eye, -eye], [self.rows, 0 * self.rows]])
        b = np.concatenate([x0, -x0, self.limits])
        found = linprog(
            np.r_[np.zeros(n), np.ones(n)],
            A_ub=A,
            b_ub=b,
            A_eq=np.hstack([self.equalities, 0 * self.equalities]),
            b_eq=targets,
            bounds=[
                *zip(self.lower, self.upper, strict=True),
                *[(0, None)] * n,
            ],
        )
        if found.status == 2:
            raise ValueError(
                "bounds and linear constraints contradict one another: no point "
                "satisfies them; relax one."
            )
        if found.x is None:
            raise ValueError("no point of the linear constraints was found.")
        start = np.clip(found.x[:n], self.lower, self.upper)
        if self.gridded:
            start = self.place(start)
            if not self.inside(start):
                raise ValueError(
                    "x0 violates the linear constraints, and so does the nearest point "
                    "on the grid; start from a point that satisfies them."
                )
        return start

    @staticmethod
    def _equality_values(linear: list[LinearConstraint]) -> Array:
        values = []
        for constraint in linear:
            m = len(np.atleast_2d(_dense(constraint.A)))
            for lo, hi in zip(
                np.broadcast_to(constraint.lb, m),
                np.broadcast_to(constraint.ub, m),
                strict=True,
            ):
                if _equal(lo, hi):
                    values.append(0.5 * (lo + hi))
        return np.array(values, dtype=np.float64)

    def _units(self, initial_radius: Any) -> Array:
        if initial_radius is not None:
            radius = np.asarray(initial_radius, dtype=np.float64)
            if radius.ndim > 1 or radius.size not in (1, self.n):
                raise ValueError(
                    f"initial_radius of shape {radius.shape} must be a number or hold "
                    f"{self.n} of them."
                )
            if not ((radius > 0) & np.isfinite(radius)).all():
                raise ValueError(
                    f"initial_radius={initial_radius!r} must be positive and finite."
                )
            return np.broadcast_to(radius, (self.n,)).astype(np.float64)
        with np.errstate(over="ignore"):
            width = self.upper - self.lower
        size = np.where(self.x0 != 0, np.abs(self.x0), 1.0 / SHARE_OF_RANGE)
        bounded = np.isfinite(width) & (width > 0)
        scale = SHARE_OF_RANGE * np.where(bounded, width, size)
        scale = np.where((width > 0) & ~bounded & (scale > width), width, scale)
        return np.maximum(scale, SMALLEST_SCALE * scale.max())

    def _moves(self) -> Array | None:
        free = self.lower < self.upper
        if not len(self.equalities):
            return None if free.all() else np.eye(self.n)[:, free]
        fixed = np.eye(self.n)[~free]
        return null_space(np.vstack([self.equalities * self.scale, fixed]))

    def place(self, x: Array) -> Array:
        """Return x on the grid and between the bounds, without negative zeros.

        Parameters
        ----------
        x : ndarray of shape (n,) or (m, n)
            Points.

        Returns
        -------
        ndarray of the same shape
        """
        if self.gridded:
            g = np.where(self.grid > 0, self.grid, 1.0)
            steps = np.rint((x - self.origin) / g)
            x = np.where(self.grid > 0, self.origin + g * steps, x)
        placed: Array = np.minimum(np.maximum(x, self.lower), self.upper) + 0.0
        return placed

    def inside(self, x: Array) -> bool:
        """Tell whether the linear rows hold, up to rounding.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Point between the bounds.

        Returns
        -------
        bool
        """
        if not len(self.rows):
            return True
        room = ROWS_RTOL * (np.abs(self.rows) @ np.abs(x) + np.abs(self.limits))
        return bool((self.rows @ x <= self.limits + room).all())

    def lift(self, w: Array) -> Array:
        """Return moves in units of `scale` of moves in the coordinates of the basis.

        Parameters
        ----------
        w : ndarray of shape (k,) or (q, k)
            Moves.

        Returns
        -------
        ndarray of shape (n,) or (q, n)
        """
        return w if self.basis is None else w @ self.basis.T

    def coordinates(self, X: Array) -> Array:
        """Return points in scaled coordinates relative to x0.

        Parameters
        ----------
        X : ndarray of shape (n,) or (m, n)
            Points.

        Returns
        -------
        ndarray of shape (k,) or (m, k)
        """
        Z = (X - self.x0) / self.scale
        return Z if self.basis is None else Z @ self.basis

    def step(self, center: Array, w: Array) -> Array:
        """Return the point of X that a scaled move leads to.

        In a box the move is clipped, elsewhere it is shortened.

        Parameters
        ----------
        center : ndarray of shape (n,)
            A point of X.
        w : ndarray of shape (k,)
            The move.

        Returns
        -------
        ndarray of shape (n,)
        """
        move = self.scale * self.lift(w)
        if not self.plain:
            move = self.longest(center, move) * move
        if self.gridded:
            return self.place(center + move)
        return displaced(center, move, self.lower, self.upper)

    def longest(self, center: Array, move: Array) -> float:
        """Return the largest t <= 1 with ``center + t move`` in the linear rows.

        Parameters
        ----------
        center, move : ndarray of shape (n,)
            A point of X and a move in the user's units.

        Returns
        -------
        float
        """
        rates = self.rows @ move
        room = np.maximum(self.limits - self.rows @ center, 0.0)
        # A move along a row leaves it by rounding only.
        blur = ROWS_RTOL * (np.abs(self.rows) @ np.abs(move))
        closing = rates > blur
        if not closing.any():
            return 1.0
        return float(min(1.0, np.min(room[closing] / rates[closing])))

    def rooms(self, center: Array) -> tuple[Array, Array]:
        """Return the scaled distances to the lower and upper bounds.

        Parameters
        ----------
        center : ndarray of shape (n,)
            The point.

        Returns
        -------
        below, above : ndarray of shape (n,)
        """
        return (center - self.lower) / self.scale, (self.upper - center) / self.scale

    def distances(self, center: Array) -> Array:
        """Return the scaled distances to the linear rows.

        Parameters
        ----------
        center : ndarray of shape (n,)
            The point.

        Returns
        -------
        ndarray of shape (m,)
        """
        return (self.limits - self.rows @ center) / self._norms


def _equal(low: float, high: float) -> bool:
    width = high - low
    return math.isfinite(width) and width <= EQUAL * max(1.0, abs(high))


def _dense(A: Any) -> Any:
    return A.toarray() if hasattr(A, "toarray") else A
