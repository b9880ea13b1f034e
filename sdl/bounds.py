"""Lower bounds of the global optimum that hold for every factorization of rank r.

The dual bound needs ``alpha > 0``; the sandwich bound holds for ``alpha = 0`` too.
"""

import math
from typing import Any, NamedTuple

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.linalg import eigvalsh

from sdl._measure import dual_bound_of
from sdl._measure_data import Problem
from sdl._measure_spectrum import gram
from sdl.formulation import formulate
from sdl.head import Head
from sdl.starts import logistic_weights

Array = NDArray[np.float64]


class Sandwich(NamedTuple):
    """Proven interval of the global optimum."""

    lower: float
    upper: float


def dual_bound(X: Any, Y: ArrayLike, r: int, dual: ArrayLike, **problem: Any) -> float:
    """Evaluate the dual bound of a point, rounding included.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
        Data.
    Y : array-like of shape (n,) or (n, K)
        Labels, or their one-hot code without the baseline class.
    r : int
        Rank.
    dual : array-like of shape (n, K)
        ``omega (Y - Q)`` with probabilities Q, such as the label residual of any model.
        What is infeasible is moved into the constraints first, or replaced by 0.
    **problem : object
        ``Z``, ``sample_weight``, ``model``, ``xi``, ``alpha``, ``alpha_covariates``,
        ``fit_intercept``, ``class_weight`` and ``baseline`` as in :func:`lpgd`.

    Returns
    -------
    float
        Never more than the objective of any factorization of rank r.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from sdl import dual_bound, lpgd
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [1.0, 3.0]])
    >>> y = [0, 0, 1, 1]
    >>> result = lpgd(X, y, 1)
    >>> bool(dual_bound(X, y, 1, np.zeros((4, 1))) <= result.fun)
    True
    """
    task = formulate(X, Y, r, **problem).task
    alpha = np.asarray(dual, dtype=np.float64)
    alpha = alpha[:, None] if alpha.ndim == 1 else alpha
    if alpha.shape != task.Y.shape or not np.isfinite(alpha).all():
        raise ValueError(
            f"dual must hold finite numbers of shape {task.Y.shape}, got {alpha.shape}."
        )
    return dual_bound_of(task, alpha)[0]


def sandwich_bound(X: Any, Y: ArrayLike, r: int, **problem: Any) -> Sandwich:
    """Enclose the optimum of the filter model by one logistic regression and one SVD.

    ``LR* + xi sum_{i>r} s_i^2 <= optimum <= LR* + xi sum_{i>r-K} s_i^2`` with singular
    values ``s_i`` of the weighted X and LR* the optimum of the ridge logistic
    regression on X; its duality gap is allowed for. The upper side needs ``r >= K``.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
        Data.
    Y : array-like of shape (n,) or (n, K)
        Labels, or their one-hot code without the baseline class.
    r : int
        Rank.
    **problem : object
        As for :func:`dual_bound`; the model must be "filter".

    Returns
    -------
    Sandwich
        ``lower`` and ``upper``, which is infinite for ``r < K``.

    Raises
    ------
    ValueError
        If an argument is out of range, or the model is "feature".

    Examples
    --------
    >>> import numpy as np
    >>> from sdl import lpgd, sandwich_bound
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [1.0, 3.0]])
    >>> y = [0, 0, 1, 1]
    >>> bound = sandwich_bound(X, y, 1)
    >>> bool(bound.lower <= lpgd(X, y, 1).fun <= bound.upper)
    True
    """
    task = formulate(X, Y, r, **problem).task
    if task.model != "filter":
        raise ValueError("model='feature' has no sandwich bound; use dual_bound.")
    A, Gamma, alpha = _regression(task)
    lower = dual_bound_of(task, alpha)[0]
    K = task.Y.shape[1]
    if task.rank < K:
        return Sandwich(lower, math.inf)
    head = _head(task)
    X = task.X.toarray() if sparse.issparse(task.X) else task.X
    value = head.at(np.hstack([X, task.Z]), np.concatenate([A, Gamma]), len(A)).value
    S, _ = gram(task.weighted_X, np.zeros((0, task.X.shape[1])), 1.0)
    squares = eigvalsh(S)[::-1]
    return Sandwich(lower, value + task.xi * float(squares[task.rank - K :].sum()))


def unpenalised_dual(task: Problem) -> Array:
    """Return the dual point of the logistic regression without a ridge (filter)."""
    n, p = task.X.shape
    if task.model != "filter" or p + task.Z.shape[1] >= n:
        return np.zeros_like(task.Y)
    return _regression(task)[2]


def _head(task: Problem) -> Head:
    return Head(
        task.Y, task.Z, task.omega, task.penalised, task.nu, task.nu_c, xp, "cpu"
    )


def _regression(task: Problem) -> tuple[Array, Array, Array]:
    X = task.X.toarray() if sparse.issparse(task.X) else task.X
    return logistic_weights(X, _head(task), task)
