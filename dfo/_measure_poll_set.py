"""The geometry of a poll: its points, its size, and which directions it must reach."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo._measure_cone import cone_generators, spans
from farkas.certificate import CertificateError

Array = NDArray[np.float64]

# Room for linear rows, relative to the sizes of their terms.
ROWS_RTOL = 1e-12
# Directions that rounding of the coordinates turned by less count as they were meant.
TURN = 1e-6
UNIT, ORTHOGONAL = 1e-9, 1e-9


def displaced(center: Array, moves: Array, lower: Array, upper: Array) -> Array:
    """Return ``center + moves`` moved into the box: the points of a poll.

    Parameters
    ----------
    center : ndarray of shape (n,)
        The point.
    moves : ndarray of shape (q, n)
        ``steps * (scale * directions)``.
    lower, upper : ndarray of shape (n,)
        The box.

    Returns
    -------
    ndarray of shape (q, n)
    """
    points: Array = np.minimum(np.maximum(center + moves, lower), upper)
    points += 0.0  # no negative zero
    return points


def cosine_measure(directions: Array) -> float:
    """Return ``min over unit v of max d.v`` of n + 1 directions that span positively.

    The minimum is attained where n of them make equal angles with v.

    Parameters
    ----------
    directions : ndarray of shape (n + 1, n)
        Unit rows.

    Returns
    -------
    float
        Positive exactly when they span.

    References
    ----------
    Hare, Jarry-Bolduc, Math. Program. 184 (2020), theorem 18.
    """
    q, n = directions.shape
    lowest = math.inf
    for leave in range(q):
        basis = np.delete(directions, leave, axis=0)
        if np.linalg.cond(basis) > 1e12:
            return math.nan
        v = np.linalg.solve(basis, np.ones(n))
        v /= np.linalg.norm(v)
        lowest = min(lowest, float(np.max(directions @ v)))
    return lowest


class PollSet:
    """The points of a witness, and which directions it must reach.

    Parameters
    ----------
    witness : mapping
        As in :func:`dfo._measure_direct.measure_direct_poll`.
    """

    def __init__(self, witness: Mapping[str, NDArray[Any]]) -> None:
        self.center = _vector("center", witness["center"], None)
        n = len(self.center)
        self.scale = _vector("scale", witness["scale"], (n,))
        if not (self.scale > 0).all():
            raise CertificateError("scale must be positive.")
        self.lower = _bound("lower", witness.get("lower", np.full(n, -math.inf)), n)
        self.upper = _bound("upper", witness.get("upper", np.full(n, math.inf)), n)
        if not ((self.lower <= self.center) & (self.center <= self.upper)).all():
            raise CertificateError("center must lie between lower and upper.")
        directions = np.asarray(witness["directions"], dtype=np.float64)
        if directions.ndim != 2 or directions.shape[1] != n:
            raise CertificateError(f"directions must have shape (q, {n}).")
        steps = np.asarray(witness["steps"], dtype=np.float64)
        if steps.shape != (len(directions),) or not (
            np.isfinite(directions).all() and np.isfinite(steps).all()
        ):
            raise CertificateError(
                "steps and directions must be finite, one step each."
            )
        if (steps < 0).any():
            raise CertificateError("steps must not be negative.")
        if (np.abs(np.sum(directions**2, axis=1) - 1) > UNIT).any():
            raise CertificateError("directions must have length 1.")
        with np.errstate(over="ignore"):
            moves = steps[:, None] * (self.scale * directions)
            self.points = displaced(self.center, moves, self.lower, self.upper)
            self._round_to_grid(witness, n)
            scaled = (self.points - self.center) / self.scale
        if not (np.isfinite(moves).all() and np.isfinite(scaled).all()):
            raise CertificateError("steps times scale leave the floats.")
        self.lengths = np.linalg.norm(scaled, axis=1)
        if self.grid.any():
            self._sort_grid_moves()
        self.directions = directions.copy()
        self.turn, self.bent = 0.0, np.zeros(len(steps), dtype=bool)
        moved = self.lengths > 0
        units = scaled[moved] / self.lengths[moved, None]
        turns = np.linalg.norm(units - directions[moved], axis=1)
        straight = turns <= TURN
        self.turn = float(np.max(turns[straight], initial=0.0))
        self.bent[np.flatnonzero(moved)[~straight]] = True
        self.directions[self.bent] = units[~straight]
        self.moved = moved
        # A length that rounding of the coordinates has changed is the nominal one.
        nominal = np.abs(self.lengths - steps) <= TURN * steps
        self.size = float(
            np.max(
                np.where(nominal, steps, self.lengths),
                initial=0.0,
                where=moved & ~self.neighbour & ~self.joint,
            )
        )
        self._read_rows(witness, n)

    def _round_to_grid(self, witness: Mapping[str, NDArray[Any]], n: int) -> None:
        self.grid = _vector("grid", witness.get("grid", np.zeros(n)), (n,))
        origin = _vector("origin", witness.get("origin", np.zeros(n)), (n,))
        if (self.grid < 0).any():
            raise CertificateError("grid must not be negative.")
        q = len(self.points)
        self.neighbour, self.joint = np.zeros(q, dtype=bool), np.zeros(q, dtype=bool)
        if not self.grid.any():
            return
        g = np.where(self.grid > 0, self.grid, 1.0)

        def rounded(x: Array) -> Array:
            on = origin + g * np.rint((x - origin) / g)
            y = np.where(self.grid > 0, on, x)
            return np.minimum(np.maximum(y, self.lower), self.upper) + 0.0

        if (rounded(self.center) != self.center).any():
            raise CertificateError("center does not lie on the grid.")
        self.points = rounded(self.points)

    def _sort_grid_moves(self) -> None:
        """Tell moves to a neighbour from those of several variables or spacings."""
        on = self.grid > 0
        moves = self.points - self.center
        counts = np.abs(moves[:, on]) / self.grid[on]
        single = np.count_nonzero(moves, axis=1) == 1
        self.neighbour = single & (np.abs(counts.sum(axis=1) - 1.0) <= UNIT)
        self.joint = (counts > 0).any(axis=1) & ~self.neighbour

    def _read_rows(self, witness: Mapping[str, NDArray[Any]], n: int) -> None:
        self.rows = np.asarray(witness.get("rows", np.empty((0, n))), dtype=np.float64)
        limits = np.asarray(witness.get("limits", np.empty(0)), dtype=np.float64)
        self.equalities = np.asarray(
            witness.get("equalities", np.empty((0, n))), dtype=np.float64
        )
        active = np.asarray(witness.get("active", np.empty(0, dtype=np.int64)))
        if (
            self.rows.ndim != 2
            or self.equalities.ndim != 2
            or self.rows.shape != (len(limits), n)
            or self.equalities.shape[1] != n
            or not np.isfinite(self.rows).all()
            or not np.isfinite(self.equalities).all()
            or not np.isfinite(limits).all()
        ):
            raise CertificateError("rows, limits and equalities do not fit or finite.")
        if active.ndim != 1 or (len(active) and active.dtype.kind not in "iu"):
            raise CertificateError("active must hold integers.")
        if len(active) and not (0 <= active.min() and active.max() < len(self.rows)):
            raise CertificateError("active must number rows.")
        self.active = active.astype(np.int64)
        points = np.vstack([self.center, self.points])
        values = points @ self.rows.T
        room = ROWS_RTOL * (np.abs(points) @ np.abs(self.rows).T + np.abs(limits))
        self.inside = (values <= limits + room).all(axis=1)
        start = self.equalities @ self.center
        room = ROWS_RTOL * (np.abs(points) @ np.abs(self.equalities).T)
        self.inside &= (np.abs(points @ self.equalities.T - start) <= room).all(axis=1)
        # Rows in scaled units of length 1, and their distances from the center.
        scaled = self.rows * self.scale
        norms = np.linalg.norm(scaled, axis=1)
        norms[norms == 0] = 1.0
        self.units = scaled / norms[:, None]
        self.distances = (limits - self.rows @ self.center) / norms
        self.blur = ROWS_RTOL * (np.abs(self.rows) @ np.abs(self.center)) / norms

    def complete(self) -> bool:
        """Tell whether the moves span what rows within one poll size leave open."""
        size = self.size
        near = self.distances[self.active]
        if (near > size * (1 + UNIT) + self.blur[self.active]).any():
            return False  # a row far away must not excuse a missing direction
        directions = self.directions[self.moved & self.inside[1:] & ~self.joint]
        if self.grid.any():
            return self._complete_on_grid(directions)
        if len(self.rows) or len(self.equalities):
            # Only the sides of the box that touch the center belong to the cone here.
            eye = np.eye(len(self.center))
            above = eye[self.upper == self.center]
            below = -eye[self.lower == self.center]
            rows = np.vstack([self.units[self.active], above, below])
            wanted, known = cone_generators(rows, self.equalities * self.scale)
            return known and spans(directions, wanted)
        eye = np.eye(len(self.center))
        wanted = np.vstack(
            [eye[self.upper > self.center], -eye[self.lower < self.center]]
        )
        return spans(directions, wanted)

    def _complete_on_grid(self, directions: Array) -> bool:
        """All neighbours on the grid, and a spanning set of the other variables."""
        if len(self.rows) or len(self.equalities):
            return False
        eye = np.eye(len(self.center))
        least = self.grid * (1 - UNIT)
        above = self.upper - self.center > least
        below = self.center - self.lower > least
        return spans(directions, np.vstack([eye[above], -eye[below]]))

    def numbers(
        self,
        values: Array,
        decreases: Array,
        clean: NDArray[np.bool_],
        lipschitz: float,
        rho: float,
    ) -> dict[str, float]:
        """Return the numbers of the poll by name, NaN where it does not give them."""
        out = dict.fromkeys(
            (
                "cosine_measure",
                "lipschitz_estimate",
                "stationarity_bound",
                "gradient_norm",
                "projected_gradient_norm",
            ),
            math.nan,
        )
        if self.grid.any():
            return out
        usable = self.moved & ~self.bent
        basis, plus, minus = self._basis(usable)
        n = len(self.center)
        pairs = [
            (i, j)
            for i, j in zip(plus, minus, strict=True)
            if i >= 0
            and j >= 0
            and abs(self.lengths[i] - self.lengths[j]) <= TURN * self.lengths[i]
        ]
        f = values[1:]
        curvatures, slopes = [], []
        for i, j in pairs:
            if clean[1:][i] and clean[1:][j] and clean[0]:
                t = 0.5 * (self.lengths[i] + self.lengths[j])
                with np.errstate(over="ignore"):
                    curvatures.append(abs(f[i] + f[j] - 2 * values[0]) / t**2)
                    slopes.append((f[i] - f[j]) / (2 * t) * self.directions[i])
        if curvatures:
            out["lipschitz_estimate"] = float(max(curvatures))
        if len(slopes) == n == len(basis):
            gradient = np.sum(slopes, axis=0)
            out["gradient_norm"] = float(np.linalg.norm(gradient))
            low = (self.lower - self.center) / self.scale
            high = (self.upper - self.center) / self.scale
            out["projected_gradient_norm"] = float(
                np.linalg.norm(np.clip(-gradient, low, high))
            )
        kappa, used = math.nan, np.zeros(len(f), dtype=bool)
        plain = not (len(self.rows) or len(self.equalities))
        size = float(np.max(self.lengths, initial=0.0))
        if plain and len(basis) == n:
            kappa = 1.0 / math.sqrt(n)
            for b, i, j in zip(basis, plus, minus, strict=True):
                for k, sign in ((i, 1.0), (j, -1.0)):
                    if self._blocked(sign * b, size):
                        continue
                    if k < 0:
                        kappa = math.nan
                    else:
                        used[k] = True
        elif plain and np.sum(usable) == n + 1 == len(f):
            free = np.isinf(self.lower).all() and np.isinf(self.upper).all()
            room = min(
                float(np.min((self.upper - self.center) / self.scale)),
                float(np.min((self.center - self.lower) / self.scale)),
            )
            if free or room > size:
                kappa, used[:] = cosine_measure(self.directions), True
        if not kappa > 2 * self.turn:
            return out
        out["cosine_measure"] = kappa
        L = out["lipschitz_estimate"] if math.isnan(lipschitz) else lipschitz
        if clean[1:][used].all() and clean[0] and size > 0:
            slack = decreases[used] / self.lengths[used]
            slack = float(np.max(slack, initial=0.0)) + rho / size
            out["stationarity_bound"] = (0.5 * L * size + slack) / (kappa - self.turn)
        return out

    def _basis(
        self, usable: NDArray[np.bool_]
    ) -> tuple[list[Array], list[int], list[int]]:
        """Greedy orthonormal lines among the directions, and who goes both ways."""
        basis: list[Array] = []
        plus: list[int] = []
        minus: list[int] = []
        for k in np.flatnonzero(usable):
            d = self.directions[k]
            if not basis:
                basis, plus, minus = [d], [int(k)], [-1]
                continue
            products = np.array(basis) @ d
            line = int(np.argmax(np.abs(products)))
            if abs(products[line]) <= ORTHOGONAL:
                basis.append(d)
                plus.append(int(k))
                minus.append(-1)
            elif np.linalg.norm(d + basis[line]) <= ORTHOGONAL and minus[line] < 0:
                minus[line] = int(k)
        return basis, plus, minus

    def _blocked(self, direction: Array, size: float) -> bool:
        """Tell whether a bound within one poll size excuses this direction."""
        if np.count_nonzero(direction) != 1:
            return False
        j = int(np.argmax(np.abs(direction)))
        side = self.upper[j] if direction[j] > 0 else self.lower[j]
        return bool(abs(side - self.center[j]) / self.scale[j] <= size)


def _vector(name: str, value: Any, shape: tuple[int, ...] | None) -> Array:
    vector = np.asarray(value, dtype=np.float64)
    if vector.ndim != 1 or not len(vector) or (shape and vector.shape != shape):
        raise CertificateError(f"{name} has the shape {vector.shape}.")
    if not np.isfinite(vector).all():
        raise CertificateError(f"{name} must be finite.")
    return vector


def _bound(name: str, value: Any, n: int) -> Array:
    bound = np.asarray(value, dtype=np.float64)
    if bound.shape != (n,) or np.isnan(bound).any():
        raise CertificateError(f"{name} must hold {n} numbers.")
    return bound
