"""Polls of coordinate directions: certificates for any solver."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo._measure import EPS, poll_points, positively_spans
from dfo.objective import Objective
from farkas.certificate import Certificate
from farkas.verification import certify

Array = NDArray[np.float64]

# Coarse poll size in units of the box, and the factor from it to the fine one: the
# coarse poll looks across shallow ripples, the fine one measures stationarity.
POLL_SIZE = 1e-3
FINE = 1e-3


def coordinate_poll(
    center: Array, lower: Array, upper: Array, sizes: tuple[float, ...]
) -> dict[str, Array]:
    """Return the witness of polls along both signs of every coordinate.

    Parameters
    ----------
    center, lower, upper : ndarray of shape (n,)
        The point and its box.
    sizes : tuple of float
        Sizes in units of the box.

    Returns
    -------
    dict of str to ndarray
        All entries that the measure needs but ``values``.
    """
    n = len(center)
    axes = np.vstack([np.eye(n), -np.eye(n)])
    return {
        "center": center.copy(),
        "directions": np.tile(axes, (len(sizes), 1)),
        "steps": np.repeat(np.asarray(sizes, dtype=np.float64), 2 * n),
        "poll": np.repeat(np.arange(len(sizes)), 2 * n),
        "lower": lower.copy(),
        "upper": upper.copy(),
    }


def mint(
    objective: Objective,
    witness: Mapping[str, Array],
    parameters: Mapping[str, Any],
    *,
    tolerance: float,
    violation: Callable[[Array], float] | None = None,
) -> tuple[Certificate, Array, Array]:
    """Evaluate a poll once, and have the measure certify it.

    Parameters
    ----------
    objective : Objective
        The black box.
    witness : mapping
        Of :func:`coordinate_poll`, and what else is known.
    parameters : mapping
        Of the measure.
    tolerance : float
        Largest poll size that satisfies.
    violation : callable, optional
        Of general constraints.

    Returns
    -------
    certificate : Certificate
    points : ndarray of shape (1 + q, n)
        Center and poll points.
    values : ndarray of shape (1 + q,)
        Their values.
    """
    points = poll_points(witness)
    asked = points
    if "consensus" in witness:
        asked = np.vstack([points, witness["consensus"]])
    values = objective.rows(asked)
    table = {row.tobytes(): value for row, value in zip(asked, values, strict=True)}
    seen = dict(witness)
    seen["values"] = values[: len(points)]
    data: list[Any] = [_Recorded(table, objective.vectorized)]
    key = "dfo.poll_set/1"
    if violation is not None:
        seen["violations"] = np.array([violation(x) for x in points])
        key = "dfo.constrained_poll_set/1"
        data.append(violation)
    certificate = certify(
        key,
        data,
        seen,
        {"vectorized": objective.vectorized, **parameters},
        tolerance=tolerance,
    )
    return certificate, points, values[: len(points)]


class _Recorded:
    """The objective as it was evaluated a moment ago: no point is paid for twice."""

    def __init__(self, table: dict[bytes, float], vectorized: bool) -> None:
        self._table, self._vectorized = table, vectorized

    def __call__(self, x: Array) -> Any:
        if self._vectorized:
            return np.array([self._table[row.tobytes()] for row in x])
        return self._table[x.tobytes()]


def stationarity_bound(
    certificate: Certificate, lipschitz: float, noise: float | None = None
) -> float:
    """Bound the projected gradient at the certified point, for an L-smooth objective.

    Both points of coordinate j, at distances t, give ``|d_j f| <= L t / 2 + e / t``,
    where e is the decrease that was found, and the error of f. Where one side lies
    outside of the box only the component along the other side is bounded.

    Parameters
    ----------
    certificate : Certificate
        Of a poll along coordinates.
    lipschitz : float
        Lipschitz constant of the gradient, in the Euclidean norm.
    noise : float, optional
        Absolute error of an objective value; default 4 ulp of the value.

    Returns
    -------
    float
        Bound of the Euclidean norm of ``grad f(x)``, projected onto the feasible
        directions; inf if some direction was not polled.

    Raises
    ------
    ValueError
        If the poll is not along coordinates, or a number is negative.

    Examples
    --------
    >>> from dfo import minimize_cbo
    >>> res = minimize_cbo(lambda x: (x[0] - 1) ** 2, [(-4, 4)], random_state=0)
    >>> bool(stationarity_bound(res.certificate, 2.0) < 1e-4)
    True
    """
    if not lipschitz >= 0:
        raise ValueError(f"lipschitz={lipschitz!r} must be >= 0.")
    witness = certificate.witness
    points, values = poll_points(witness), np.asarray(witness["values"], dtype=float)
    center, f = points[0], float(values[0])
    noise = 4 * EPS * abs(f) if noise is None else noise
    lower = witness.get("lower", np.full(len(center), -math.inf))
    upper = witness.get("upper", np.full(len(center), math.inf))
    moves = points[1:] - center
    violations = np.asarray(witness.get("violations", np.zeros(len(points))))
    allowed = float(certificate.parameters.get("feasibility", 0.0))
    bounds: dict[tuple[int, float], float] = {}
    for move, value, violation in zip(moves, values[1:], violations[1:], strict=True):
        if np.count_nonzero(move) > 1:
            raise ValueError(
                "certificate of a poll off the coordinates: no bound here."
            )
        if not move.any() or not math.isfinite(value) or violation > allowed:
            continue
        j = int(np.argmax(np.abs(move)))
        t, sign = abs(float(move[j])), float(np.sign(move[j]))
        bound = 0.5 * lipschitz * t + (max(0.0, f - value) + noise) / t
        bounds[j, sign] = min(bound, bounds.get((j, sign), math.inf))
    total = 0.0
    for j in range(len(center)):
        sides = [
            bounds.get((j, sign), math.inf)
            for sign, room in (
                (1.0, upper[j] > center[j]),
                (-1.0, lower[j] < center[j]),
            )
            if room
        ]
        total += max(sides, default=0.0) ** 2
    return math.sqrt(total)


__all__ = [
    "coordinate_poll",
    "mint",
    "positively_spans",
    "stationarity_bound",
]
