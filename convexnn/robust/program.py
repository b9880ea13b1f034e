"""The robust program of a two-layer network as validated data."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn._measure_robust import ROBUST_LOSSES
from convexnn.patterns import PatternSet, as_matrix
from convexnn.program import Program

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class RobustProgram(Program):
    """A validated program whose rows may move by up to ``eps``."""

    eps: Array = dataclasses.field(default_factory=lambda: np.zeros(0))  # (d,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eps.shape != self.X.shape[1:]:
            shape = self.X.shape[1:]
            raise ValueError(f"eps must have shape {shape}, got {self.eps.shape}.")

    @classmethod
    def validated(  # type: ignore[override]
        cls,
        X: ArrayLike,
        y: ArrayLike,
        patterns: "ArrayLike | PatternSet",
        alpha: float,
        eps: ArrayLike,
        loss: str,
    ) -> "RobustProgram":
        """Check the arguments of :func:`solve_robust`."""
        if loss not in ROBUST_LOSSES:
            raise ValueError(f"loss={loss!r} must be one of {sorted(ROBUST_LOSSES)}.")
        plain = Program.validated(X, y, patterns, alpha, loss, "relu")
        return cls(**vars(plain), eps=column_radius(eps, plain.X))

    def parameters(self) -> dict[str, Any]:
        """Return what defines this program in a certificate."""
        return {
            "alpha": self.alpha,
            "loss": self.loss,
            "encoding": "none",
            "intercept": 0.0,
        }


def column_radius(eps: ArrayLike, X: ArrayLike) -> Array:
    """Return the radius of each column.

    Parameters
    ----------
    eps : float or array-like of shape (d,)
        A number holds for every column of X that is not constant: a constant column
        is the bias. An array is taken as it is.
    X : array-like of shape (n, d)
        Data, with the intercept column if there is one.

    Returns
    -------
    ndarray of shape (d,)

    Raises
    ------
    ValueError
        If eps is negative, not finite, or has another shape.
    """
    X = as_matrix(X)
    radius = feature_radius(eps, X.shape[1])
    if np.ndim(eps):
        return radius
    constant = (X == X[0]).all(axis=0) & (X[0] != 0) & (len(X) > 1)
    return np.where(constant, 0.0, radius)


def feature_radius(eps: ArrayLike, n_features: int, *, name: str = "eps") -> Array:
    """Return a radius for each of so many columns, all of which may move.

    Parameters
    ----------
    eps : float or array-like of shape (n_features,)
        One for all, or one for each.
    n_features : int
        Number of columns.
    name : str, default="eps"
        What an error calls it.

    Returns
    -------
    ndarray of shape (n_features,)

    Raises
    ------
    ValueError
        If eps is negative, not finite, or has another shape.
    """
    try:
        radius = np.asarray(eps, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}={eps!r} must be a number or one for each column."
        ) from None
    if radius.shape not in ((), (n_features,)):
        raise ValueError(
            f"{name} must be a number or have shape ({n_features},), "
            f"got {radius.shape}."
        )
    if not ((radius >= 0) & np.isfinite(radius)).all():
        raise ValueError(f"{name}={eps!r} must be finite and >= 0.")
    return np.broadcast_to(radius, (n_features,)).copy()
