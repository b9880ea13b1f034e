"""What happens to particles that leave the box."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BOUNDARIES = ("resample", "reflect", "clip", "penalty", None)


def apply_boundary(
    X: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    boundary: str | None,
    uniform: ArrayLike | None = None,
) -> Array:
    """Return the particles after the treatment of the box.

    Parameters
    ----------
    X : array-like of shape (N, d)
        Particles.
    lower, upper : array-like of shape (d,)
        The box; infinite sides are never left.
    boundary : {"resample", "reflect", "clip", "penalty", None}
        ``"resample"`` maps an overshoot t beyond u to ``u - min(u - l, t) U``;
        ``"reflect"`` mirrors, once; ``"clip"`` projects; the others move nothing.
    uniform : array-like of shape (N, d), optional
        Uniform numbers in [0, 1), needed for ``"resample"``.

    Returns
    -------
    ndarray of shape (N, d)

    Raises
    ------
    ValueError
        If `boundary` is unknown or `uniform` is missing.

    Examples
    --------
    >>> apply_boundary([[1.5, -3.0]], [0.0, 0.0], [1.0, 1.0], "reflect")
    array([[0.5, 1. ]])
    """
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary={boundary!r} must be one of {BOUNDARIES}.")
    X = np.asarray(X, dtype=np.float64)
    if boundary in (None, "penalty"):
        return X
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    if boundary != "clip":
        if boundary == "reflect":
            factor: Array = np.ones_like(X)
        elif uniform is None:
            raise ValueError("boundary='resample' needs uniform numbers.")
        else:
            factor = np.asarray(uniform, dtype=np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            width = upper - lower
            above = upper - np.minimum(width, X - upper) * factor
            below = lower + np.minimum(width, lower - X) * factor
        X = np.where(X > upper, above, np.where(X < lower, below, X))
    return np.minimum(np.maximum(X, lower), upper)
