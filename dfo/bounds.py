"""Reading bounds and starting points as SciPy's optimizers do."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def parse_bounds(bounds: Any, dimension: int | None = None) -> tuple[Array, Array]:
    """Return the box as two vectors.

    Parameters
    ----------
    bounds : array-like of shape (d, 2), sequence of pairs, or scipy.optimize.Bounds
        None in a pair stands for infinity; None alone for an unbounded space.
    dimension : int, optional
        Number of coordinates, needed without bounds and for scalar ``Bounds``.

    Returns
    -------
    lower, upper : ndarray of shape (d,)

    Raises
    ------
    ValueError
        If the shape is wrong, a number is NaN, or a lower bound is not below its upper
        bound.

    Examples
    --------
    >>> parse_bounds([(0, 1), (None, 5)])
    (array([  0., -inf]), array([1., 5.]))
    """
    if bounds is None:
        if dimension is None:
            raise ValueError(
                "bounds=None needs a starting point x0, which says how many variables "
                "there are."
            )
        return np.full(dimension, -np.inf), np.full(dimension, np.inf)
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        lower, upper = np.broadcast_arrays(
            np.asarray(bounds.lb, dtype=np.float64),
            np.asarray(bounds.ub, dtype=np.float64),
        )
        if lower.size == 1 and dimension is not None:
            lower, upper = (np.full(dimension, side.item()) for side in (lower, upper))
        lower, upper = np.atleast_1d(lower).copy(), np.atleast_1d(upper).copy()
    else:
        pairs = np.array(bounds, dtype=object)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
            raise ValueError(
                f"bounds of shape {pairs.shape} must be (d, 2): one pair (lower, "
                "upper) for each variable."
            )
        lower = np.array([-np.inf if v is None else v for v in pairs[:, 0]], float)
        upper = np.array([np.inf if v is None else v for v in pairs[:, 1]], float)
    if np.isnan(lower).any() or np.isnan(upper).any():
        raise ValueError("bounds must not contain NaN; use None or inf for no bound.")
    if dimension is not None and len(lower) != dimension:
        raise ValueError(
            f"bounds for {len(lower)} variables do not fit x0 with {dimension}."
        )
    wrong = np.flatnonzero(lower >= upper)
    if len(wrong):
        j = int(wrong[0])
        raise ValueError(
            f"bounds[{j}]: the lower bound exceeds upper or equals it, {lower[j]:g} >= "
            f"{upper[j]:g}; leave a fixed variable out of the problem."
        )
    return lower, upper


def into_box(x0: Any, lower: Array, upper: Array) -> Array:
    """Return a starting point or population, moved into the box with a warning.

    Parameters
    ----------
    x0 : array-like of shape (d,) or (N, d)
        Points.
    lower, upper : ndarray of shape (d,)
        The box.

    Returns
    -------
    ndarray of the same shape

    Raises
    ------
    ValueError
        If the shape is wrong or a number is not finite.
    """
    x0 = np.array(x0, dtype=np.float64)
    if x0.ndim not in (1, 2) or x0.shape[-1] != len(lower):
        raise ValueError(
            f"x0 of shape {x0.shape} must be ({len(lower)},), or (N, {len(lower)}) for "
            "a whole population."
        )
    if not np.isfinite(x0).all():
        raise ValueError("x0 must be finite.")
    inside = np.clip(x0, lower, upper)
    if (inside != x0).any():
        warnings.warn(
            "x0 lies outside of the bounds and was moved onto them.",
            RuntimeWarning,
            stacklevel=3,
        )
    return inside
