"""The arithmetic behind a poll set: no polled point is better than the returned one.

A poll evaluates the objective at ``x + d_i`` for displacements ``d_i`` that positively
span all feasible directions at x. When none is better, and the gradient is L-Lipschitz,
every ``-grad f(x)'d_i <= L |d_i|^2 / 2``: the gradient is as small as the poll
(Kolda, Lewis, Torczon, SIAM Review 45 (2003), theorem 3.3).

The objective is evaluated anew: nothing that a solver says about it is believed.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from dfo._measure_consensus import consensus_residuals
from dfo._measure_direct import (
    measure_direct_constrained_poll,
    measure_direct_poll,
)
from dfo._measure_surrogate import measure_counterfactual, measure_surrogate_poll
from dfo._measure_training import (
    measure_custom_training_poll,
    measure_training_poll,
)
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import Measurement, problem

__all__ = [
    "measure_constrained_poll_set",
    "measure_counterfactual",
    "measure_custom_training_poll",
    "measure_direct_constrained_poll",
    "measure_direct_poll",
    "measure_poll_set",
    "measure_surrogate_poll",
    "measure_training_poll",
]

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)

# Two machines, or two lengths of one vectorised call, may differ in the last bits of f:
# a decrease of at most this times |f(x)| is rounding.
ROUNDING_OF_F = 4 * EPS
# Largest distance of a feasible direction from the cone of the poll, both of length 1.
SPAN_TOLERANCE = 1e-9
# Room for the objective values in the witness, which another machine computed.
VALUES_RTOL = 1e-6


@problem("dfo.poll_set/1", data=("fun",))
def measure_poll_set(
    fun: Callable[..., Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Size of the smallest poll around ``center`` that found no better point.

    Parameters
    ----------
    fun : callable
        The objective, of one point (n,) or, with ``vectorized``, of rows (m, n).
    witness : mapping
        ``center`` (n,); ``directions`` (q, n), unit, and ``steps`` (q,), in units of
        ``scale``; ``values`` (q + 1,), what the solver saw at center and points;
        ``lower`` and ``upper`` (n,), the box, default unbounded; ``poll`` (q,), the
        number of the poll that a row belongs to, default 0; ``scale`` (n,), default
        the width of the box, or ``max(1, |center|)`` on coordinates without one.
        Arrays of :func:`dfo._measure_consensus.consensus_residuals`, if any.
    parameters : mapping
        ``vectorized``, default False; ``lower_bound`` of the objective, default -inf;
        ``forcing`` c >= 0, a poll fails if no value is below ``f(x) - c h^2``,
        default 0.

    Returns
    -------
    Measurement
        Its ``value`` is the largest scaled length among the displacements of the
        smallest failing poll, inf when no complete poll failed.
    """
    return _measure(fun, None, witness, parameters)


@problem("dfo.constrained_poll_set/1", data=("fun", "violation"))
def measure_constrained_poll_set(
    fun: Callable[..., Any],
    violation: Callable[..., Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Poll set under general constraints: points that violate them are not better.

    Parameters
    ----------
    fun : callable
        The objective, as in :func:`measure_poll_set`.
    violation : callable
        Maps a point (n,) to the sum of its constraint violations, >= 0.
    witness : mapping
        As in :func:`measure_poll_set`, and ``violations`` (q + 1,).
    parameters : mapping
        As in :func:`measure_poll_set`, and ``feasibility``, the violation up to which
        a point counts as feasible.

    Returns
    -------
    Measurement
        Its ``value`` is inf when the center itself violates the constraints.
    """
    return _measure(fun, violation, witness, parameters)


def poll_points(witness: Mapping[str, Any]) -> Array:
    """Return the points of a witness, shape (1 + q, n), the center first.

    Each point is ``center + step * scale * direction``, moved into the box.

    Parameters
    ----------
    witness : mapping
        As in :func:`measure_poll_set`.

    Returns
    -------
    ndarray of shape (1 + q, n)

    Raises
    ------
    CertificateError
        If an array has the wrong shape or range.
    """
    center = _vector("center", witness["center"], np.shape(witness["center"])[-1:])
    n = len(center)
    lower, upper = _box(witness, n)
    if not ((lower <= center) & (center <= upper)).all():
        raise CertificateError("center must lie between lower and upper.")
    steps = _vector("steps", witness["steps"], np.shape(witness["steps"])[-1:])
    if (steps < 0).any():
        raise CertificateError("steps must not be negative.")
    directions = np.asarray(witness["directions"], dtype=np.float64)
    if directions.shape != (len(steps), n) or not np.isfinite(directions).all():
        raise CertificateError(
            f"directions must be finite and have shape ({len(steps)}, {n}), got "
            f"{directions.shape}."
        )
    if (np.abs(np.sum(directions**2, axis=1) - 1) > 1e-9).any():
        raise CertificateError("directions must have length 1.")
    scale = _scale(witness, center, lower, upper)
    with np.errstate(over="ignore"):
        moved = center + steps[:, None] * (scale * directions)
    if not np.isfinite(moved).all():
        raise CertificateError("steps times scale leave the floats.")
    return np.vstack([center, np.clip(moved, lower, upper)])


def box_scale(center: Array, lower: Array, upper: Array) -> Array:
    """Return the unit of length of each coordinate.

    Parameters
    ----------
    center, lower, upper : ndarray of shape (n,)
        A point and its box.

    Returns
    -------
    ndarray of shape (n,)
        The width of the box; ``max(1, |center|)`` where that is zero or infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        width = upper - lower
    usable = np.isfinite(width) & (width > 0)
    return np.where(usable, width, np.maximum(1.0, np.abs(center)))


def _measure(
    fun: Callable[..., Any],
    violation: Callable[..., Any] | None,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    points = poll_points(witness)
    center, moves = points[0], points[1:] - points[0]
    q, n = moves.shape
    lower, upper = _box(witness, n)
    scale = _scale(witness, center, lower, upper)
    lengths = np.sqrt(np.sum((moves / scale) ** 2, axis=1))
    # A step that only rounding of the coordinates has changed has its nominal length.
    steps = np.asarray(witness["steps"], dtype=np.float64)
    blur = 8 * EPS * float(np.max(np.abs(center) / scale))
    nominal = (lengths > 0) & (np.abs(lengths - steps) <= np.minimum(blur, 0.5 * steps))
    lengths = np.where(nominal, steps, lengths)
    number = np.asarray(witness.get("poll", np.zeros(q, dtype=np.int64)))
    if number.shape != (q,) or number.dtype.kind not in "iu":
        raise CertificateError(f"poll must hold {q} integers.")

    vectorized = bool(parameters.get("vectorized", False))
    extra = _consensus_row(witness, n)
    values = evaluate(fun, np.vstack([points, extra]), vectorized)
    consensus_value = float(values[-1]) if len(extra) else math.nan
    values = values[: q + 1]
    _check_seen("values", witness["values"], values)
    feasible, violations = _feasible(violation, points, witness, parameters)
    best = float(values[0])

    polls = []
    for name in np.unique(number):
        rows = np.flatnonzero(number == name)
        candidates = values[1:][rows][feasible[1:][rows]]
        lowest = float(
            np.min(candidates, initial=math.inf, where=candidates < math.inf)
        )
        size = float(np.max(lengths[rows], initial=0.0))
        with np.errstate(over="ignore", invalid="ignore"):
            decrease = max(0.0, best - lowest) if lowest < best else 0.0
        forcing = _nonnegative("forcing", parameters.get("forcing", 0.0)) * size**2
        fails = decrease <= ROUNDING_OF_F * abs(best) + forcing
        complete = positively_spans(moves[rows] / scale, center, lower, upper)
        polls.append((size, decrease, bool(fails and complete)))
    polls.sort()

    sound = math.isfinite(best) and bool(feasible[0])
    sizes = [size for size, _, failed in polls if failed and sound and size > 0]
    bound = float(parameters.get("lower_bound", -math.inf))
    if math.isnan(bound) or bound > best:
        raise CertificateError(
            f"lower_bound={bound!r} contradicts the value {best!r} at the center."
        )
    residuals = {
        "poll_decrease": max((decrease for _, decrease, _ in polls), default=math.nan),
        "fine_poll_decrease": polls[0][1] if polls else math.nan,
        "coarse_poll_size": max(sizes, default=math.inf),
        "undefined_poll_points": float(
            np.sum(~np.isfinite(values[1:]) | ~feasible[1:]),
        ),
        "violation": float(violations[0]),
        "orientation": float(np.sum(np.asarray(witness["directions"])[:1])),
        **consensus_residuals(witness, parameters, best, consensus_value),
    }
    if math.isfinite(bound):
        residuals["gap"] = best - bound
    return Measurement(
        kind="poll_set",
        value=min(sizes, default=math.inf),
        guarantee=Guarantee.LOCAL,
        lower=bound,
        upper=best if sound else math.inf,
        residuals=residuals,
        assumptions=_assumptions(witness, parameters, violation is not None),
    )


def evaluate(fun: Callable[..., Any], points: Array, vectorized: bool) -> Array:
    """Return the objective at every row of ``points``, NaN where it is not a number.

    Parameters
    ----------
    fun : callable
        The objective.
    points : ndarray of shape (m, n)
        One point a row; `fun` gets a copy.
    vectorized : bool
        Whether `fun` takes all rows at once.

    Returns
    -------
    ndarray of shape (m,)

    Raises
    ------
    CertificateError
        If `fun` cannot be called or returns another shape.
    """
    if not callable(fun):
        raise CertificateError("pass the objective function to verify a poll set.")
    if vectorized:
        values = np.asarray(fun(points.copy()), dtype=np.float64)
        if values.shape != (len(points),):
            raise CertificateError(
                f"the objective returned shape {values.shape} for {len(points)} rows."
            )
        return values
    values = np.empty(len(points))
    for i, point in enumerate(points):
        value = np.asarray(fun(point.copy()), dtype=np.float64)
        if value.size != 1:
            raise CertificateError(
                f"the objective returned shape {value.shape} for one point."
            )
        values[i] = value.reshape(())
    return values


def positively_spans(moves: Array, center: Array, lower: Array, upper: Array) -> bool:
    """Tell whether every feasible direction is a nonnegative sum of the moves.

    Parameters
    ----------
    moves : ndarray of shape (q, n)
        Displacements in scaled units.
    center, lower, upper : ndarray of shape (n,)
        The point and the box that decides which directions are feasible.

    Returns
    -------
    bool
    """
    lengths = np.sqrt(np.sum(moves**2, axis=1))
    units = moves[lengths > 0] / lengths[lengths > 0, None]
    n = len(center)
    wanted = [
        (j, sign)
        for j in range(n)
        for sign, room in ((1.0, upper[j] > center[j]), (-1.0, lower[j] < center[j]))
        if room
    ]
    single = units[np.count_nonzero(units, axis=1) == 1]
    columns = np.argmax(np.abs(single), axis=1)
    have = set(zip(columns.tolist(), np.sign(single.sum(axis=1)).tolist(), strict=True))
    missing = [pair for pair in wanted if pair not in have]
    for j, sign in missing:
        target = np.zeros(n)
        target[j] = sign
        if not len(units) or nnls(units.T, target)[1] > SPAN_TOLERANCE:
            return False
    return True


def _feasible(
    violation: Callable[..., Any] | None,
    points: Array,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> tuple[NDArray[np.bool_], Array]:
    if violation is None:
        return np.ones(len(points), dtype=bool), np.zeros(len(points))
    violations = evaluate(violation, points, vectorized=False)
    if (violations < 0).any():
        raise CertificateError("violation must not be negative.")
    _check_seen("violations", witness["violations"], violations)
    allowed = _nonnegative("feasibility", parameters["feasibility"])
    return violations <= allowed, violations


def _consensus_row(witness: Mapping[str, NDArray[Any]], n: int) -> Array:
    if "consensus" not in witness:
        return np.empty((0, n))
    return _vector("consensus", witness["consensus"], (n,))[None]


def _assumptions(
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
    constrained: bool,
) -> tuple[str, ...]:
    texts = [
        "nothing here bounds the global minimum of a black box",
        "the gradient is bounded by the poll only where it is Lipschitz "
        "(stationarity_bound)",
        "the box and the unit of each coordinate are those in the witness",
    ]
    if math.isfinite(float(parameters.get("lower_bound", -math.inf))):
        texts.append("the lower bound is the user's")
    if constrained:
        texts.append("poll points that violate the constraints count as not better")
    if "run_values" in witness:
        texts.append(str(parameters.get("run_scope", "runs are independent")))
    return tuple(texts)


def _check_seen(name: str, seen: NDArray[Any], found: Array) -> None:
    seen = np.asarray(seen, dtype=np.float64)
    if seen.shape != found.shape:
        raise CertificateError(f"{name} must have shape {found.shape}.")
    room = VALUES_RTOL * np.abs(found) + 64 * EPS
    with np.errstate(invalid="ignore"):
        close = (seen == found) | (np.abs(seen - found) <= room)
    if not (close | (np.isnan(seen) & np.isnan(found))).all():
        raise CertificateError(f"{name} are not those of this objective.")


def _box(witness: Mapping[str, Any], n: int) -> tuple[Array, Array]:
    box = []
    for name, default in (("lower", -math.inf), ("upper", math.inf)):
        bound = np.asarray(witness.get(name, np.full(n, default)), dtype=np.float64)
        if bound.shape != (n,) or np.isnan(bound).any():
            raise CertificateError(f"{name} must hold {n} numbers.")
        box.append(bound)
    if not (box[0] <= box[1]).all():
        raise CertificateError("lower must not exceed upper.")
    return box[0], box[1]


def _scale(
    witness: Mapping[str, Any], center: Array, lower: Array, upper: Array
) -> Array:
    if "scale" not in witness:
        return box_scale(center, lower, upper)
    scale = _vector("scale", witness["scale"], center.shape)
    if not (scale > 0).all():
        raise CertificateError("scale must be positive.")
    return scale


def _vector(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    vector = np.asarray(value, dtype=np.float64)
    if vector.ndim != 1 or vector.shape != shape or not len(vector):
        raise CertificateError(f"{name} must have shape {shape}, got {vector.shape}.")
    if not np.isfinite(vector).all():
        raise CertificateError(f"{name} must be finite.")
    return vector


def _nonnegative(name: str, value: Parameter) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise CertificateError(f"{name}={value!r} must be finite and >= 0.")
    return number
