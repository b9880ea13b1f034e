"""Finish a basin that a scouting run has found."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.local import _kernels_bfgs as kb
from dfo.objective import Objective

Array = NDArray[np.float64]

POLISHES = ("BFGS", "L-BFGS-B", "cdsm", None)
# Evaluations of one polish, in units of d + 1: what a gradient by differences costs.
GRADIENTS = 500
FTOL, GTOL = 1e-15, 1e-12
# Relative step of forward differences: the square root of the machine precision.
DIFFERENCE = math.sqrt(float(np.finfo(np.float64).eps))
# First radius of a direct search, in units of the box: the size of a scouted basin.
DIRECT_RADIUS = 1e-2
# Jumps of each coordinate in one round of hops, and the decades of the box they span.
HOPS, DECADES = 20, 2.0
# What a missing value counts as: SciPy's line search cannot compare with NaN.
WORST = 1e300


def polish(
    method: Any,
    objective: Objective,
    x0: Array,
    lower: Array,
    upper: Array,
    *,
    budget: int,
    jac: Callable[..., Any] | None = None,
    ftarget: float = -math.inf,
    feasible: Callable[[Array], bool] | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[Array, float]:
    """Improve a point by a local method within a budget of evaluations.

    Parameters
    ----------
    method : {"BFGS", "L-BFGS-B", "cdsm"} or callable
        The method; a callable has the signature of :func:`scipy.optimize.minimize`.
    objective : Objective
        The black box.
    x0 : ndarray of shape (d,)
        Start.
    lower, upper : ndarray of shape (d,)
        The box.
    budget : int
        Largest number of evaluations; never exceeded.
    jac : callable, optional
        Gradient of one point, for which ``"BFGS"`` becomes ``"L-BFGS-B"``; None takes
        differences.
    ftarget : float, default=-inf
        Value at which to stop.
    feasible : callable, optional
        Whether a point satisfies the general constraints; others are never returned.

    rng : Generator, optional
        Of the directions of ``"cdsm"``, and of hops along single coordinates between
        other searches; None hops not.

    Returns
    -------
    x : ndarray of shape (d,)
        Best evaluated point.
    fun : float
        Its value; inf if nothing was evaluated.
    """
    d = len(x0)
    budget = min(budget, GRADIENTS * (d + 1))
    best = _Best(objective, budget, ftarget, feasible)
    try:
        if method == "cdsm":
            _direct_search(best, x0, lower, upper, rng)
        elif callable(method):
            method(best.point, x0.copy(), bounds=_pairs(lower, upper))
        else:
            descend = _bfgs if method == "BFGS" and jac is None else _lbfgs
            descend(best, x0, lower, upper, jac)
            while rng is not None and _hop(best, lower, upper, rng):
                descend(best, best.x, lower, upper, jac)
    except StopIteration:  # the budget is spent or the target is reached
        pass
    return best.x, best.f


class _Best:
    """The objective with a budget; remembers the best point."""

    def __init__(
        self,
        objective: Objective,
        budget: int,
        ftarget: float,
        feasible: Callable[[Array], bool] | None,
    ) -> None:
        self.objective, self.left = objective, budget
        self.ftarget, self.feasible = ftarget, feasible
        self.x, self.f = np.empty(0), math.inf

    def rows(self, X: Array) -> Array:
        if len(X) > self.left:
            raise StopIteration
        self.left -= len(X)
        values = evaluate(self.objective, X)
        for x, value in zip(X, values, strict=True):
            if value < self.f and (self.feasible is None or self.feasible(x)):
                self.x, self.f = x.copy(), float(value)
        if self.f <= self.ftarget:
            raise StopIteration
        return values

    def point(self, x: Array, *args: Any) -> float:
        return float(self.rows(np.array(x, dtype=np.float64)[None])[0])


def evaluate(objective: Objective, X: Array) -> Array:
    """Return the values of all rows, in one kernel call where Numba compiled `fun`.

    Parameters
    ----------
    objective : Objective
        The black box.
    X : ndarray of shape (m, d)
        Points.

    Returns
    -------
    ndarray of shape (m,)
    """
    if not (objective.compiled and hasattr(k.evaluate_rows, "compile")):
        return objective.rows(X)
    k.compile_for_objectives()
    values = np.empty(len(X))
    k.evaluate_rows(objective.fun, np.ascontiguousarray(X), values)
    objective.nfev += len(X)
    return values


def _direct_search(
    best: _Best,
    x0: Array,
    lower: Array,
    upper: Array,
    rng: np.random.Generator | None,
) -> None:
    """Covering direct search, where infeasible points have no value."""
    from dfo.direct.minimize import minimize_cdsm

    def barrier(x: Array) -> float:
        allowed = best.feasible is None or best.feasible(x)
        return best.point(x) if allowed else math.inf

    if best.left > 0:
        minimize_cdsm(
            barrier,
            x0,
            bounds=_pairs(lower, upper),
            initial_radius=DIRECT_RADIUS * _width(lower, upper, x0),
            maxfev=best.left,
            ftarget=best.ftarget if math.isfinite(best.ftarget) else None,
            certify=False,
            random_state=0 if rng is None else rng,
        )


def _width(lower: Array, upper: Array, x: Array) -> Array:
    with np.errstate(over="ignore"):
        width = upper - lower
    return np.where(np.isfinite(width), width, np.maximum(1.0, np.abs(x)))


def _bfgs(best: _Best, x0: Array, lower: Array, upper: Array, jac: Any) -> None:
    """BFGS by reverse communication; in one kernel call where Numba compiled `fun`."""
    d = len(x0)
    scale = _width(lower, upper, x0)
    vectors = [x0.copy(), *(np.zeros(d) for _ in range(5))]
    state = (*vectors, np.zeros((d, d)), lower, upper, scale)
    points, values = np.empty((2 * d, d)), np.empty(2 * d)
    S, K = np.zeros(6), np.zeros(6, dtype=np.int64)
    S[kb.BEST], S[kb.FTARGET] = best.f, best.ftarget
    compiled = best.objective.compiled and hasattr(kb.advance, "compile")
    if compiled and best.feasible is None:
        kb.compile_for_objectives()
        x = best.x.copy() if len(best.x) else x0.copy()
        fun = best.objective.fun
        reason = kb.advance(fun, *state, points, values, x, S, K, best.left)
        best.objective.nfev += int(K[kb.NFEV])
        best.left -= int(K[kb.NFEV])
        if S[kb.BEST] < best.f:
            best.x, best.f = x, float(S[kb.BEST])
        if reason in (kb.BUDGET, kb.TARGET):
            raise StopIteration
        return
    going = kb.GO_ON
    while going == kb.GO_ON:
        m = kb.ask(vectors[0], vectors[5], S, K, lower, upper, scale, points)
        values[:m] = best.rows(points[:m])
        going = kb.tell(*state, points, values, m, S, K)


def _pairs(lower: Array, upper: Array) -> list[tuple[float, float]]:
    return list(zip(lower, upper, strict=True))


def _lbfgs(
    best: _Best,
    x0: Array,
    lower: Array,
    upper: Array,
    jac: Callable[..., Any] | None,
) -> None:
    from scipy.optimize import minimize

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        if jac is not None:
            return _finite(best.point(x)), np.asarray(jac(x), dtype=np.float64)
        # All points of a difference go to the objective in one call.
        h = DIFFERENCE * np.maximum(1.0, np.abs(x))
        h = np.where(x + h > upper, -h, h)
        points = np.vstack([x, x + np.diag(h)])
        values = best.rows(np.clip(points, lower, upper))
        with np.errstate(invalid="ignore", over="ignore"):
            gradient = (values[1:] - values[0]) / (np.diag(points[1:]) - x)
        return _finite(values[0]), np.where(np.isfinite(gradient), gradient, 0.0)

    minimize(
        value_and_gradient,
        x0,
        jac=True,
        method="L-BFGS-B",
        bounds=_pairs(lower, upper),
        options={"ftol": FTOL, "gtol": GTOL, "maxfun": 10**9, "maxiter": 10**9},
    )


def _hop(best: _Best, lower: Array, upper: Array, rng: np.random.Generator) -> bool:
    """Try jumps of single coordinates from the best point; return whether one helped.

    All jumps go to the objective in one call. The best jumps of several coordinates are
    then tried together, since many functions are sums over coordinates.
    """
    x, f = best.x, best.f
    d = len(x)
    jump = (upper - lower) * 10.0 ** -rng.uniform(0, DECADES, (HOPS, d))
    jump *= rng.choice([-1.0, 1.0], (HOPS, d))
    ahead = np.clip(x + jump, lower, upper)
    points = np.repeat(x[None], HOPS * d, axis=0)
    columns = np.tile(np.arange(d), HOPS)
    points[np.arange(HOPS * d), columns] = ahead.ravel()
    values = best.rows(points).reshape(HOPS, d)
    values = np.where(np.isnan(values), math.inf, values)
    chosen = values.argmin(axis=0)
    lowest = values[chosen, np.arange(d)]
    order = np.argsort(lowest, kind="stable")
    order = order[lowest[order] < f]
    if len(order) > 1:
        together = np.repeat(x[None], len(order) - 1, axis=0)
        for i in range(len(order) - 1):
            taken = order[: i + 2]
            together[i, taken] = ahead[chosen[taken], taken]
        best.rows(together)
    return best.f < f - FTOL * abs(f)


def _finite(value: float) -> float:
    return float(value) if value < WORST else WORST
