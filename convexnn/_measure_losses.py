"""Losses, targets and rounding that the measures of two-layer networks share.

NumPy only, part of the arithmetic behind the certificates.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError
from farkas.verification import ROUNDING

Array = NDArray[np.float64]

HUBER_DELTA = 1.35  # 95 % efficiency at the normal distribution (Huber, 1981)

EPS, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)


class Loss(NamedTuple):
    """One sample-wise loss l(z, y) and the parts of its Fenchel dual."""

    value: Callable[[Array, Array], Array]
    theta: Callable[[Array, Array], Array]  # -dl/dz
    dual: Callable[[Array, Array], Array]  # -l*(-theta), inside the domain
    project: Callable[[Array, Array], Array]  # theta onto the domain of the dual
    labels: bool  # targets must be -1 or +1


def _entropy(t: Array) -> Array:
    inside = (t > 0) & (t < 1)
    safe = np.where(inside, t, 0.5)
    return np.where(inside, -(safe * np.log(safe) + (1 - safe) * np.log1p(-safe)), 0.0)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def _unit_interval(theta: Array, y: Array) -> Array:
    return y * np.clip(y * theta, 0.0, 1.0)


def _huber(z: Array, y: Array) -> Array:
    r = np.abs(z - y)
    curved = np.minimum(r, HUBER_DELTA)
    return curved * (r - 0.5 * curved)


LOSSES = {
    "squared": Loss(
        value=lambda z, y: 0.5 * (z - y) ** 2,
        theta=lambda z, y: y - z,
        dual=lambda theta, y: theta * y - 0.5 * theta**2,
        project=lambda theta, y: theta,
        labels=False,
    ),
    "logistic": Loss(
        value=lambda z, y: np.logaddexp(0.0, -y * z),
        theta=lambda z, y: y * _sigmoid(-y * z),
        dual=lambda theta, y: _entropy(y * theta),
        project=_unit_interval,
        labels=True,
    ),
    "hinge": Loss(
        value=lambda z, y: np.maximum(1.0 - y * z, 0.0),
        theta=lambda z, y: np.where(y * z < 1, y, 0.0),
        dual=lambda theta, y: y * theta,
        project=_unit_interval,
        labels=True,
    ),
    "huber": Loss(
        value=_huber,
        theta=lambda z, y: np.clip(y - z, -HUBER_DELTA, HUBER_DELTA),
        dual=lambda theta, y: theta * y - 0.5 * theta**2,
        project=lambda theta, y: np.clip(theta, -HUBER_DELTA, HUBER_DELTA),
        labels=False,
    ),
}


def largest_loss(z: Array, radius: Array, y: Array, loss: Loss) -> float:
    """Return the loss of the worst prediction within ``radius`` of ``z``."""
    # A convex function is largest at an end of an interval.
    return total(np.maximum(loss.value(z - radius, y), loss.value(z + radius, y)))


def dual_value(
    theta: Array, y: Array, dual_norm: float, loss: Loss
) -> tuple[float, float]:
    """Best value of the dual on the multiples ``s theta`` that are feasible, and s.

    ``dual_norm`` is the largest block norm over alpha; multipliers scale along.
    """
    # A rounding error inside the bound, so that the multiple is feasible for certain.
    largest = (1.0 - ROUNDING) / dual_norm if dual_norm > 0 else math.inf
    s = largest if loss is LOSSES["squared"] else min(1.0, largest)
    if not loss.labels:  # the dual is a parabola in s
        square = math.fsum(theta * theta)
        s = min(max(math.fsum(theta * y) / square, 0.0), s) if square else 0.0
    return math.fsum(loss.dual(s * theta, y)), s


def with_intercept(X: Array, intercept: float) -> Array:
    """Append a column of the value ``intercept``; zero appends nothing."""
    if intercept == 0:
        return X
    return np.column_stack([X, np.full(len(X), intercept)])


def encode_targets(y: NDArray[Any], encoding: str) -> Array:
    """Return targets as columns: as they are, or +-1 for each class.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, C)
        Targets or class labels.
    encoding : {"none", "labels"}
        ``"labels"``: sorted classes; two classes give one column, +1 for the second.

    Returns
    -------
    ndarray of shape (n, C)
    """
    if encoding == "none":
        return np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    if encoding != "labels":
        raise CertificateError(f"encoding={encoding!r} must be 'none' or 'labels'.")
    classes, codes = np.unique(np.ravel(y), return_inverse=True)
    columns = classes[1:] if len(classes) == 2 else classes
    first = len(classes) - len(columns)
    return np.where(codes[:, None] == np.arange(first, len(classes)), 1.0, -1.0)


def reshaped(name: str, value: NDArray[Any], shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    outputs = 0 if len(shape) == 3 else 1  # an axis of length 1 may be left out
    single = shape[:outputs] + shape[outputs + 1 :] if shape[outputs] == 1 else shape
    if array.shape not in (shape, single):
        raise CertificateError(f"{name} must have shape {shape}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise CertificateError(f"{name} must be finite.")
    return array.reshape(shape)


def total(terms: Array) -> float:
    try:
        return math.fsum(terms.ravel())
    except OverflowError:
        return math.inf
