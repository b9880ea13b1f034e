"""The arithmetic behind the two reference problems, NumPy only.

Lasso: ``min_w 1/2 |y - Xw|^2 + alpha |w|_1``; a point ``theta`` with
``|X'theta|_inf <= 1`` proves ``optimum >= 1/2 |y|^2 - 1/2 |y - alpha theta|^2``.

Linear system: ``Ax = b, x >= 0`` has no solution if some ``y`` has ``A'y >= 0`` and
``b'y < 0`` (Farkas' lemma).
"""

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import ROUNDING, Measurement, problem

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)

# A product at least this large, of factors at most this large, splits into two doubles
# without overflow or underflow: 2^-900 * 2^-106 > 2^-1022.
_LARGEST_FACTOR = 2.0**495
_LEAST_PRODUCT = 2.0**-900


@problem("farkas.lasso/1", data=("X", "y"))
def measure_lasso(
    X: Array,
    y: Array,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap of a Lasso candidate.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Design matrix.
    y : ndarray of shape (n,)
        Targets.
    witness : mapping
        ``w`` of shape (d,); ``theta`` of shape (n,), rescaled to feasibility here. A
        missing ``theta`` is taken from the residual.
    parameters : mapping
        ``alpha`` >= 0.

    Returns
    -------
    Measurement
    """
    rows, columns = _shape("X", X)
    y = _vector("y", y, rows)
    w = _vector("w", witness["w"], columns)
    alpha = float(parameters["alpha"])
    if not 0 < alpha < math.inf:
        raise CertificateError(f"alpha={alpha!r} must be positive and finite.")
    r = y - X @ w
    upper = 0.5 * _sum_of_squares(r) + alpha * _sum(np.abs(w))
    theta = _vector("theta", witness.get("theta", r / alpha), rows)
    slopes = np.abs(X.T @ theta)
    # A bound on their rounding error (Higham, 2002, eq. 3.5) keeps theta feasible.
    error = rows * EPS * (np.abs(X).T @ np.abs(theta))
    theta = theta / max(float(np.max(slopes + error, initial=0.0)), 1.0)
    half = 0.5 * _sum_of_squares(y)
    if half == math.inf:
        raise CertificateError("the squares of y exceed all floats; rescale y.")
    scale = half or 1.0
    lower = half - 0.5 * _sum_of_squares(y - alpha * theta)
    if upper - lower < -ROUNDING * scale:
        raise CertificateError(f"negative duality gap {upper - lower:.3g}.")
    return Measurement(
        kind="duality_gap",
        value=max(upper - lower, 0.0),
        guarantee=Guarantee.GLOBAL,
        scale=scale,
        lower=min(lower, upper),  # they may cross by rounding
        upper=upper,
        residuals={"dual_slope": float(np.max(slopes, initial=0.0))},
    )


@problem("farkas.linear_system/1", data=("A", "b"))
def measure_infeasibility(
    A: Array,
    b: Array,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """How far ``y`` is from proving that ``Ax = b, x >= 0`` has no solution.

    With ``y`` normalised to ``b'y = -1`` the value is ``max(0, -min(A'y))``. Zero is
    a proof; a positive value v says that every solution has ``|x|_1 >= 1/v``.

    Parameters
    ----------
    A : ndarray of shape (m, n)
        Matrix of the system.
    b : ndarray of shape (m,)
        Right-hand side.
    witness : mapping
        ``y`` of shape (m,).
    parameters : mapping
        Not used.

    Returns
    -------
    Measurement
    """
    rows, _ = _shape("A", A)
    b = _vector("b", b, rows)
    y = _vector("y", witness["y"], rows)
    descent = _exact_dot(b, y)
    if not descent < 0:
        raise CertificateError(
            f"b'y = {descent:.6g} must be negative for y to prove infeasibility."
        )
    lowest = min((_exact_dot(column, y) for column in A.T), default=math.inf)
    proven = lowest >= 0
    return Measurement(
        kind="infeasibility",
        # A violation that underflows is still a violation.
        value=0.0 if proven else max(lowest / descent, sys.float_info.min),
        guarantee=Guarantee.GLOBAL if proven else Guarantee.DIAGNOSTIC,
        residuals={"descent": descent},
        assumptions=("a positive value v excludes only x >= 0 with |x|_1 < 1/v",),
    )


def _exact_dot(a: Array, b: Array) -> float:
    """Correctly rounded ``a'b``, so that its sign is exact (Dekker's two-product)."""
    bounded = (np.abs([a, b]) <= _LARGEST_FACTOR).all()  # false for NaN, too
    product = a * b if bounded else np.zeros_like(a)
    small = (np.abs(product) < _LEAST_PRODUCT) & (a != 0) & (b != 0)
    if not bounded or small.any():
        raise CertificateError(
            f"A, b and y must be finite, at most {_LARGEST_FACTOR:.0e} in size, and "
            f"have nonzero products above {_LEAST_PRODUCT:.0e}; rescale the system."
        )
    a_high, b_high = _high_half(a), _high_half(b)
    a_low, b_low = a - a_high, b - b_high
    error = a_low * b_low - (
        ((product - a_high * b_high) - a_low * b_high) - a_high * b_low
    )
    return math.fsum(np.concatenate([product, error]))


def _high_half(a: Array) -> Array:
    shifted = 134217729.0 * a  # 2^27 + 1 splits the 53-bit significand (Veltkamp)
    return shifted - (shifted - a)


def _shape(name: str, matrix: Any) -> tuple[int, int]:
    if matrix.ndim != 2:
        raise CertificateError(f"{name} must be 2-dimensional, got {matrix.ndim}.")
    rows, columns = matrix.shape
    return rows, columns


def _vector(name: str, value: NDArray[Any], length: int) -> Array:
    vector = np.asarray(value, dtype=np.float64)
    if vector.shape != (length,):
        raise CertificateError(
            f"{name} must have shape ({length},), got {vector.shape}."
        )
    if not np.isfinite(vector).all():
        raise CertificateError(f"{name} must be finite.")
    return vector


def _sum_of_squares(vector: Array) -> float:
    with np.errstate(over="ignore"):
        return _sum(vector * vector)


def _sum(terms: Array) -> float:
    try:
        return math.fsum(terms)
    except OverflowError:
        return math.inf
