"""Proximal maps ``argmin_z l(z, y) + rho/2 (z - a)^2`` of the sample-wise losses."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels
from convexnn._measure_losses import HUBER_DELTA

Array = NDArray[np.float64]


def prox_squared(a: Array, y: Array, rho: float) -> Array:
    """Return the prox of ``(z - y)^2 / 2``."""
    return (a + y / rho) / (1.0 + 1.0 / rho)


def prox_hinge(a: Array, y: Array, rho: float) -> Array:
    """Return the prox of ``(1 - y z)_+``."""
    margin = y * a
    return y * (margin + np.clip(1.0 - margin, 0.0, 1.0 / rho))


def prox_huber(a: Array, y: Array, rho: float) -> Array:
    """Return the prox of the Huber loss."""
    e = a - y
    return y + e - np.clip(e / (1.0 + rho), -HUBER_DELTA / rho, HUBER_DELTA / rho)


def prox_logistic(a: Array, y: Array, rho: float) -> Array:
    """Return the prox of ``log(1 + exp(-y z))``.

    With margins ``m = y z`` and ``c = y a`` the equation is
    ``m - c = sigma(-m) / rho``, whose root lies in ``[c, c + 1/rho]``.
    """
    out = np.empty_like(a)
    _kernels.prox_logistic(a, y, rho, out)
    return out


PROX: dict[str, Callable[[Array, Array, float], Array]] = {
    "squared": prox_squared,
    "logistic": prox_logistic,
    "hinge": prox_hinge,
    "huber": prox_huber,
}
