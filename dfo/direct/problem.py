"""Reading a problem: objective, bounds, constraints and grids, each checked once."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, NonlinearConstraint

from dfo.constraints import Violation
from dfo.direct.oracle import WrongShape
from dfo.direct.space import Space

Array = NDArray[np.float64]


class Problem(NamedTuple):
    """What is minimised: see :class:`dfo.direct.oracle.Oracle` for its callables."""

    space: Space
    answer: Callable[[Array], tuple[float, Array]]
    rows: Callable[[Array], list[Any]] | None
    constrained: bool
    violation: Callable[[Array], float] | None
    claim: Any = None


def read_problem(given: dict[str, Any]) -> Problem:
    """Check what describes the problem.

    Parameters
    ----------
    given : dict
        Arguments of :func:`dfo.minimize_cdsm`.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError, TypeError
        If something is out of range.
    """
    fun, args = given["fun"], given["args"]
    if not callable(fun):
        raise TypeError(f"fun={fun!r} must be callable.")
    args = args if isinstance(args, tuple) else (args,)
    linear, nonlinear = split_constraints(given["constraints"])
    space = read_space(given, linear)
    value = Value(fun, args)
    limits = Limits(nonlinear)
    rows = None
    if given["vectorized"]:
        rows = _Rows(fun, args, limits, given["on_error"])
    violation = Violation(nonlinear) if nonlinear else None
    return Problem(space, Answer(value, limits), rows, bool(nonlinear), violation)


def read_space(given: dict[str, Any], linear: list[LinearConstraint]) -> Space:
    """Check start, bounds and grids.

    Parameters
    ----------
    given : dict
        As in :func:`read_problem`.
    linear : list of LinearConstraint
        Rows of X.

    Returns
    -------
    Space
    """
    x0 = np.array(given["x0"], dtype=np.float64)
    if x0.ndim != 1 or not len(x0):
        raise ValueError(f"x0 of shape {x0.shape} must be a vector.")
    if not np.isfinite(x0).all():
        raise ValueError("x0 must be finite.")
    n = len(x0)
    lower, upper = read_box(given["bounds"], n)
    grid, anchored = np.zeros(n), np.zeros(n, dtype=bool)
    for name in ("granularity", "integrality"):
        if given[name] is None:
            continue
        values = np.asarray(given[name], dtype=np.float64)
        if values.ndim == 0:
            values = np.full(n, float(values))
        if values.shape != (n,) or not ((values >= 0) & np.isfinite(values)).all():
            raise ValueError(f"{name} must hold {n} finite numbers >= 0.")
        if name == "integrality":
            grid = np.where(values > 0, 1.0, grid)
            anchored = anchored & ~(values > 0)
        else:
            grid, anchored = values.copy(), values > 0
    return Space(x0, lower, upper, linear, grid, anchored, given["initial_radius"])


def read_box(bounds: Any, n: int) -> tuple[Array, Array]:
    """Return bounds as two vectors; equal ones are allowed.

    Parameters
    ----------
    bounds : array-like of shape (n, 2), sequence of pairs, Bounds or None
        None in a pair stands for infinity.
    n : int
        Number of variables.

    Returns
    -------
    lower, upper : ndarray of shape (n,)

    Raises
    ------
    ValueError
        If the shape is wrong, a number is NaN, or no value is left.
    """
    if bounds is None:
        return np.full(n, -np.inf), np.full(n, np.inf)
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        low, high = (
            np.broadcast_to(np.asarray(side, dtype=np.float64), (n,)).copy()
            if np.size(side) in (1, n)
            else _refuse(np.shape(side), n)
            for side in (bounds.lb, bounds.ub)
        )
    else:
        pairs = np.array(bounds, dtype=object)
        if pairs.shape != (n, 2):
            _refuse(pairs.shape, n)
        low = np.array([-np.inf if v is None else v for v in pairs[:, 0]], dtype=float)
        high = np.array([np.inf if v is None else v for v in pairs[:, 1]], dtype=float)
    if np.isnan(low).any() or np.isnan(high).any():
        raise ValueError("bounds must not contain NaN; use None or inf for no bound.")
    wrong = np.flatnonzero(low > high)
    if len(wrong):
        j = int(wrong[0])
        raise ValueError(
            f"bounds[{j}]: the lower bound exceeds the upper one, {low[j]:g} > "
            f"{high[j]:g}."
        )
    if np.isposinf(low).any() or np.isneginf(high).any():
        raise ValueError("bounds leave no finite value for some variable.")
    return low, high


def _refuse(shape: Any, n: int) -> Any:
    raise ValueError(
        f"bounds of shape {shape} must be ({n}, 2) for x0 with {n} variables."
    )


def split_constraints(constraints: Any) -> tuple[list[Any], list[Any]]:
    """Return linear and nonlinear constraints apart.

    Parameters
    ----------
    constraints : LinearConstraint, NonlinearConstraint, dict or sequence of them
        As for :func:`scipy.optimize.minimize`.

    Returns
    -------
    linear, nonlinear : list

    Raises
    ------
    ValueError
        If there is a nonlinear equality.
    """
    every = Violation(constraints).constraints
    linear = [c for c in every if isinstance(c, LinearConstraint)]
    nonlinear = [c for c in every if not isinstance(c, LinearConstraint)]
    for constraint in nonlinear:
        if isinstance(constraint, dict):
            equal = constraint["type"] == "eq"
        else:
            lb, ub = np.broadcast_arrays(constraint.lb, constraint.ub)
            equal = bool((lb == ub).any())
        if equal:
            raise ValueError(
                "constraints: a nonlinear equality leaves no room for a direct search; "
                "use two inequalities with a tolerance, or add a penalty to fun."
            )
    return linear, nonlinear


class Value:
    """Picklable ``float(fun(x, *args))`` that refuses anything but a number."""

    def __init__(self, fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.fun, self.args = fun, args

    def __call__(self, x: Array) -> float:
        """Evaluate one point."""
        value = self.fun(x, *self.args)
        if isinstance(value, float | int):
            return float(value)
        number = np.asarray(value, dtype=np.float64)
        if number.size != 1:
            raise WrongShape(
                f"fun returned shape {number.shape} for one point, expected a number."
            )
        return float(number.reshape(()))


class Limits:
    """Picklable: nonlinear constraints as one vector, violated where positive."""

    def __init__(self, constraints: list[Any]) -> None:
        self.constraints = constraints

    def __call__(self, x: Array) -> Array:
        """Return the vector at a point.

        Parameters
        ----------
        x : ndarray of shape (n,)
            The point.

        Returns
        -------
        ndarray of shape (p,)
        """
        parts = []
        for constraint in self.constraints:
            if isinstance(constraint, dict):
                value = constraint["fun"](x, *constraint.get("args", ()))
                parts.append(-np.atleast_1d(np.asarray(value, dtype=np.float64)))
                continue
            parts.extend(one_sided(constraint, constraint.fun(x)))
        return np.concatenate(parts) if parts else np.empty(0)


def one_sided(constraint: NonlinearConstraint, value: Any) -> list[Array]:
    """Return ``lb - value`` and ``value - ub`` where these limits are finite.

    Parameters
    ----------
    constraint : NonlinearConstraint
        The limits.
    value : array-like
        The value of its function.

    Returns
    -------
    list of ndarray
    """
    value = np.atleast_1d(np.asarray(value, dtype=np.float64))
    lb = np.broadcast_to(np.asarray(constraint.lb, dtype=np.float64), value.shape)
    ub = np.broadcast_to(np.asarray(constraint.ub, dtype=np.float64), value.shape)
    low, high = np.isfinite(lb), np.isfinite(ub)
    return [(lb - value)[low], (value - ub)[high]]


class Answer:
    """Picklable: value and constraints of one point."""

    def __init__(self, value: Value, limits: Limits) -> None:
        self.value, self.limits = value, limits

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Evaluate one point."""
        f = self.value(x)
        if not self.limits.constraints or math.isnan(f) or f == math.inf:
            return f, np.empty(0)
        return f, self.limits(x)


class _Rows:
    """Values of many points at once."""

    def __init__(
        self,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        limits: Limits,
        on_error: str,
    ) -> None:
        self.fun, self.args, self.limits, self.on_error = fun, args, limits, on_error

    def __call__(self, X: Array) -> list[tuple[float, Array]]:
        try:
            values = np.asarray(self.fun(X.copy(), *self.args), dtype=np.float64)
        except Exception:
            if self.on_error == "raise":
                raise
            values = np.full(len(X), math.inf)
        if values.shape != (len(X),):
            raise WrongShape(
                f"fun returned shape {values.shape} for X of shape {X.shape}, expected "
                f"({len(X)},); pass vectorized=False for a function of one point."
            )
        return [(float(f), self.limits(x)) for f, x in zip(values, X, strict=True)]
