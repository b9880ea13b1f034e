"""General constraints in SciPy's forms, as one violation ``v(x) >= 0``."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, NonlinearConstraint

Array = NDArray[np.float64]


class Violation:
    """Sum of the violations of a list of constraints; zero where all hold.

    Parameters
    ----------
    constraints : LinearConstraint, NonlinearConstraint, dict, or sequence of them
        As for :func:`scipy.optimize.minimize`.

    Raises
    ------
    TypeError
        If an entry is none of the three.
    ValueError
        If a dict has neither type ``"ineq"`` nor ``"eq"``.

    Examples
    --------
    >>> from scipy.optimize import LinearConstraint
    >>> v = Violation(LinearConstraint([[1.0, 1.0]], lb=1.0))
    >>> v([0.25, 0.25]), v([2.0, 0.0])
    (0.5, 0.0)
    """

    def __init__(self, constraints: Any) -> None:
        if isinstance(constraints, LinearConstraint | NonlinearConstraint | dict):
            constraints = [constraints]
        self.constraints = list(constraints)
        for k, constraint in enumerate(self.constraints):
            if isinstance(constraint, dict):
                if constraint.get("type") not in ("ineq", "eq"):
                    raise ValueError(
                        f"constraints[{k}] of type {constraint.get('type')!r} must be "
                        "'ineq' or 'eq'."
                    )
            elif not isinstance(constraint, LinearConstraint | NonlinearConstraint):
                raise TypeError(
                    f"constraints[{k}] of type {type(constraint).__name__} must be a "
                    "LinearConstraint, a NonlinearConstraint or a dict."
                )

    def __len__(self) -> int:
        return len(self.constraints)

    def __call__(self, x: Any) -> float:
        """Return the violation at a point.

        Parameters
        ----------
        x : array-like of shape (d,)
            The point.

        Returns
        -------
        float
            inf where a constraint is not a number.
        """
        x = np.asarray(x, dtype=np.float64)
        total = 0.0
        for constraint in self.constraints:
            total += _one(constraint, x)
        return math.inf if math.isnan(total) else total

    def rows(self, X: Array) -> Array:
        """Return the violation at every row.

        Parameters
        ----------
        X : ndarray of shape (m, d)
            Points.

        Returns
        -------
        ndarray of shape (m,)
        """
        return np.array([self(x) for x in X])


class Projection:
    """Distance from a point to its projection, as a violation.

    Parameters
    ----------
    project : callable
        Maps rows (m, d) to feasible rows.

    Examples
    --------
    >>> v = Projection(lambda X: X / np.linalg.norm(X, axis=1, keepdims=True))
    >>> v([0.0, 3.0])
    2.0
    """

    def __init__(self, project: Callable[[Array], Array]) -> None:
        self.project = project

    def __call__(self, x: Any) -> float:
        """Return the 1-norm of ``project(x) - x``, inf where it is not a number.

        Parameters
        ----------
        x : array-like of shape (d,)
            The point.

        Returns
        -------
        float
        """
        x = np.asarray(x, dtype=np.float64)
        return float(self.rows(x[None])[0])

    def rows(self, X: Array) -> Array:
        """Return the violation at every row.

        Parameters
        ----------
        X : ndarray of shape (m, d)
            Points.

        Returns
        -------
        ndarray of shape (m,)
        """
        distance = np.sum(np.abs(np.asarray(self.project(X.copy())) - X), axis=1)
        return np.where(np.isnan(distance), math.inf, distance)


def _one(constraint: Any, x: Array) -> float:
    if isinstance(constraint, dict):
        value = np.atleast_1d(constraint["fun"](x, *constraint.get("args", ())))
        below = np.abs(value) if constraint["type"] == "eq" else np.maximum(0.0, -value)
        return float(np.sum(below))
    if isinstance(constraint, LinearConstraint):
        value = np.atleast_1d(constraint.A @ x)
    else:
        value = np.atleast_1d(np.asarray(constraint.fun(x), dtype=np.float64))
    below = np.maximum(0.0, constraint.lb - value)
    return float(np.sum(np.maximum(below, value - constraint.ub)))
