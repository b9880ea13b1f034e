"""The arithmetic behind the poll at the end of a direct search.

The objective is evaluated anew at the center and at ``center + t_i scale d_i``. If no
feasible value is better and the ``d_i`` positively span the directions that bounds and
linear rows leave open, the poll is complete and has failed at size ``h = max t_i``.
With an L-smooth objective then ``|P_T(-grad f)| <= (L h / 2 + rho(h) / h) / kappa``, in
scaled variables (Kolda, Lewis, Torczon, SIAM Review 45 (2003), theorem 3.3).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo._measure_poll_set import PollSet
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import Measurement, problem

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
# A decrease of at most this times |f(x)| is rounding between two machines.
ROUNDING_OF_F = 4 * EPS
# Room for the values in the witness, which another machine may have computed.
VALUES_RTOL = 1e-6


@problem("dfo.direct_poll/1", data=("fun",))
def measure_direct_poll(
    fun: Callable[..., Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Size of the poll around ``center`` that found no better point.

    Parameters
    ----------
    fun : callable
        The objective, of one point (n,).
    witness : mapping
        ``center`` (n,); ``directions`` (q, n), unit, and ``steps`` (q,), in units of
        ``scale`` (n,); ``values`` (q + 1,), what the solver saw. Optional: ``lower``
        and ``upper`` (n,), the box; ``rows`` (m, n) and ``limits`` (m,) of
        ``rows x <= limits``, ``active`` (k,), the rows that the poll respects,
        ``equalities`` (p, n), which all moves keep, and ``grid`` and ``origin`` (n,):
        where the spacing g is positive, points are rounded to ``origin + g Z``, and a
        move to a neighbour has the length 0, because there is no shorter one.
    parameters : mapping
        ``lower_bound``, ``forcing`` and ``lipschitz_gradient`` (of the scaled
        objective, NaN if unknown).

    Returns
    -------
    Measurement
        Its ``value`` is the size, inf when a better point was found or a direction is
        missing.
    """
    return measure_poll(fun, None, witness, parameters)


@problem("dfo.direct_constrained_poll/1", data=("fun", "violation"))
def measure_direct_constrained_poll(
    fun: Callable[..., Any],
    violation: Callable[..., Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Poll under general constraints: points that violate them are not better.

    Parameters
    ----------
    fun : callable
        The objective.
    violation : callable
        Maps a point (n,) to the sum of its constraint violations, >= 0.
    witness : mapping
        As in :func:`measure_direct_poll`, and ``violations`` (q + 1,).
    parameters : mapping
        As in :func:`measure_direct_poll`.

    Returns
    -------
    Measurement
        Its ``value`` is inf when the center itself violates the constraints.
    """
    return measure_poll(fun, violation, witness, parameters)


def measure_poll(
    fun: Callable[..., Any],
    violation: Callable[..., Any] | None,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Measure a poll; see :func:`measure_direct_poll`.

    Parameters
    ----------
    fun, violation : callable
        Of one point; `violation` None without constraints.
    witness, parameters : mapping
        As there.

    Returns
    -------
    Measurement
    """
    poll = PollSet(witness)
    points = np.vstack([poll.center, poll.points])
    values = _evaluate(fun, points)
    _check_seen("values", witness["values"], values)
    feasible, violations = poll.inside.copy(), np.zeros(len(points))
    if violation is not None:
        violations = _evaluate(violation, points)
        if (violations < 0).any():
            raise CertificateError("violation must not be negative.")
        _check_seen("violations", witness["violations"], violations)
        feasible &= violations == 0

    best = float(values[0])
    forcing = _nonnegative("forcing", parameters.get("forcing", 0.0))
    size = poll.size
    rho = forcing * size**2
    decreases = np.zeros(len(poll.points))
    counted = feasible[1:] & (values[1:] < best)
    decreases[counted] = best - values[1:][counted]
    decrease = float(np.max(decreases, initial=0.0))
    fails = decrease <= ROUNDING_OF_F * abs(best) + rho
    sound = math.isfinite(best) and bool(feasible[0])
    complete = sound and fails and poll.complete()

    bound = float(parameters.get("lower_bound", -math.inf))
    if math.isnan(bound) or (sound and bound > best):
        raise CertificateError(
            f"lower_bound={bound!r} contradicts the value {best!r} at the center."
        )
    clean = feasible & np.isfinite(values)
    lipschitz = float(parameters.get("lipschitz_gradient", math.nan))
    if not (math.isnan(lipschitz) or lipschitz >= 0):
        raise CertificateError("lipschitz_gradient must not be negative.")
    numbers = poll.numbers(values, decreases, clean, lipschitz, rho)
    if not complete:
        numbers["stationarity_bound"] = math.nan
    residuals = {
        **numbers,
        "poll_decrease": decrease,
        "undefined_poll_points": float(np.sum(~np.isfinite(values[1:]))),
        "infeasible_poll_points": float(np.sum(~feasible[1:])),
        "violation": float(violations[0]),
    }
    if math.isfinite(bound) and sound:
        residuals["gap"] = best - bound
    return Measurement(
        kind="poll_set",
        value=size if complete else math.inf,
        guarantee=Guarantee.LOCAL,
        lower=bound,
        upper=best if sound else math.inf,
        residuals=residuals,
        assumptions=_assumptions(
            poll, bound, lipschitz, violation is not None, forcing
        ),
    )


def _assumptions(
    poll: PollSet, bound: float, lipschitz: float, constrained: bool, forcing: float
) -> tuple[str, ...]:
    texts = (
        []
        if not poll.grid.any()
        else ["on a grid the claim is about neighbours of one spacing in one variable"]
    )
    texts += [
        "nothing here bounds the global minimum of a black box",
        "the box, the linear rows and the unit of each coordinate are those in the "
        "witness",
    ]
    if math.isnan(lipschitz):
        texts.append(
            "stationarity_bound uses the estimated constant lipschitz_estimate"
        )
    else:
        texts.append("the Lipschitz constant of the gradient is the user's")
    if math.isfinite(bound):
        texts.append("the lower bound is the user's")
    if constrained:
        texts.append("poll points that violate the constraints count as not better")
    if forcing:
        texts.append(f"a decrease below {forcing:g} times the squared size is none")
    return tuple(texts)


def _evaluate(fun: Callable[..., Any], points: Array) -> Array:
    if not callable(fun):
        raise CertificateError("pass the objective function to verify a poll.")
    values = np.empty(len(points))
    for i, point in enumerate(points):
        try:
            value = np.asarray(fun(point.copy()), dtype=np.float64)
        except Exception:  # a failed point is not better; the center must not fail
            values[i] = math.inf
            continue
        if value.size != 1:
            raise CertificateError(
                f"the objective returned shape {value.shape} for one point."
            )
        number = float(value.reshape(()))
        values[i] = math.inf if math.isnan(number) else number
    return values


def _check_seen(name: str, seen: NDArray[Any], found: Array) -> None:
    seen = np.asarray(seen, dtype=np.float64)
    if seen.shape != found.shape:
        raise CertificateError(f"{name} must have shape {found.shape}.")
    room = VALUES_RTOL * np.abs(found) + 64 * EPS
    with np.errstate(invalid="ignore"):
        close = np.isfinite(found) & (np.abs(seen - found) <= room)
    if not (close | (seen == found)).all():
        raise CertificateError(f"{name} are not those of this objective.")


def _nonnegative(name: str, value: Parameter) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise CertificateError(f"{name}={value!r} must be finite and >= 0.")
    return number
