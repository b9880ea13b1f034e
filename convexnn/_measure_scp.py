"""The arithmetic behind the certificates of sampled convex programs, NumPy only.

With directions ``g_1, ..., g_N`` and features ``f_j = (X g_j)_+ / |g_j|`` it is

    min_a  L(sum_j a_j f_j, y) + alpha |a|_1

with the loss L summed over samples. It is the problem of training a two-layer ReLU
network whose hidden units are multiples of the given directions. For any ``theta`` with
``|f_j'theta| <= alpha`` for all j, weak duality proves ``optimum >= -L*(-theta)``.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_losses import (
    EPS,
    LOSSES,
    TINY,
    Loss,
    dual_value,
    encode_targets,
    largest_loss,
    reshaped,
    total,
    with_intercept,
)
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import ROUNDING, Measurement, problem

Array = NDArray[np.float64]

# Features computed at once, so that memory does not grow with the number of units.
CHUNK = 2**20


@problem("convexnn.scp/1", data=("X", "y"))
def measure_scp(
    X: Array,
    y: NDArray[Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap of a candidate of the sampled convex program.

    Parameters
    ----------
    X : ndarray of shape (n, d0)
        Data as passed to the fit.
    y : ndarray of shape (n,) or (n, C)
        Targets or class labels as passed to the fit.
    witness : mapping
        ``gates`` (d, N), the directions of the units, nonzero, of any length, where
        d = d0 + 1 if an intercept column is appended; ``coef`` (N,) or (C, N);
        ``theta`` (n,) or (n, C), rescaled to feasibility here.
    parameters : mapping
        ``alpha``, ``loss``, ``encoding`` ("none", "labels": one column of +-1 targets
        for two classes, else one for each class), ``intercept`` (value of the appended
        column, 0 for none).

    Returns
    -------
    Measurement
        ``residuals``: ``dual_norm``, the largest ``|f_j'theta|`` before theta is
        rescaled.

    Raises
    ------
    CertificateError
        If the witness is malformed or proves nothing.
    """
    alpha = float(parameters["alpha"])
    if not 0 < alpha < math.inf:
        raise CertificateError(f"alpha={alpha!r} must be positive and finite.")
    if X.ndim != 2:
        raise CertificateError(f"X must be 2-dimensional, got {X.ndim} dimension(s).")
    X = with_intercept(X, float(parameters["intercept"]))
    Y = encode_targets(y, str(parameters["encoding"]))
    if len(Y) != len(X):
        raise CertificateError(f"y must have {len(X)} rows, got {len(Y)}.")
    if not (np.isfinite(X).all() and np.isfinite(Y).all()):
        raise CertificateError("X and y must be finite.")
    loss = LOSSES[str(parameters["loss"])]
    if loss.labels and not np.isin(Y, (-1.0, 1.0)).all():
        raise CertificateError("the targets of this loss must be -1 or +1.")
    units = unit_directions(witness["gates"], X.shape[1])
    coef = reshaped_coef(witness["coef"], (Y.shape[1], units.shape[1]))
    theta = in_domain(reshaped("theta", witness["theta"], Y.shape), Y, loss)
    zero_loss = total(loss.value(np.zeros_like(Y), Y))
    if not math.isfinite(zero_loss):
        raise CertificateError("the loss at zero exceeds all floats; rescale y.")

    norms = feature_products(X, units, theta).max(axis=1)
    upper = lower = 0.0
    for c in range(Y.shape[1]):
        upper += _objective(X, Y[:, c], units, coef[c], alpha, loss)
        value, _ = dual_value(theta[:, c], Y[:, c], float(norms[c]) / alpha, loss)
        lower += value
    scale = zero_loss or 1.0
    gap = upper - lower
    if not gap >= -ROUNDING * max(scale, TINY):
        raise CertificateError(f"negative duality gap {gap:.3g}.")
    return Measurement(
        kind="duality_gap",
        value=max(gap, 0.0),
        guarantee=Guarantee.GLOBAL,
        scale=scale,
        lower=min(lower, upper),  # they may cross by rounding
        upper=upper,
        residuals={"dual_norm": float(norms.max())},
        assumptions=(
            f"hidden units are multiples of the {units.shape[1]} given directions",
        ),
    )


def in_domain(theta: Array, Y: Array, loss: Loss) -> Array:
    """Return ``theta`` without what rounding puts outside the domain of the dual.

    Raises
    ------
    CertificateError
        If more than rounding is outside.
    """
    inside = loss.project(theta, Y)
    if np.abs(inside - theta).max() > ROUNDING:
        raise CertificateError("theta leaves the domain of the dual.")
    return inside


def unit_directions(gates: NDArray[Any], d: int) -> Array:
    """Return the columns of ``gates`` (d, N) scaled to length one.

    Raises
    ------
    CertificateError
        If the shape is wrong, or a column is zero or not finite.
    """
    gates = np.asarray(gates, dtype=np.float64)
    if gates.ndim != 2 or len(gates) != d or not gates.size:
        raise CertificateError(f"gates must have shape ({d}, N), got {gates.shape}.")
    if not np.isfinite(gates).all() or not gates.any(axis=0).all():
        raise CertificateError("gates must be finite and nonzero.")
    # A power of two first, so that no length over- or underflows.
    _, exponents = np.frexp(np.abs(gates).max(axis=0))
    gates = np.ldexp(gates, -exponents)
    units: Array = gates / np.linalg.norm(gates, axis=0)
    return units


def reshaped_coef(coef: NDArray[Any], shape: tuple[int, int]) -> Array:
    """Return ``coef`` in the shape (C, N); one output may leave its axis out."""
    array = np.asarray(coef, dtype=np.float64)
    if array.shape != shape and (shape[0], *array.shape) != (1, *shape[1:]):
        raise CertificateError(f"coef must have shape {shape}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise CertificateError("coef must be finite.")
    return array.reshape(shape)


def feature_products(X: Array, units: Array, theta: Array) -> Array:
    """Return ``|f_j'theta_c|``, or slightly more, for each output and unit.

    A bound on the rounding error of units, features and products is added (Higham,
    2002, eq. 3.5).

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, with the intercept column.
    units : ndarray of shape (d, N)
        Directions of length one up to rounding.
    theta : ndarray of shape (n, C)
        Dual point of each output.

    Returns
    -------
    ndarray of shape (C, N)

    Raises
    ------
    CertificateError
        If a product overflows.
    """
    n, d = X.shape
    weight = np.abs(theta).T @ np.abs(X)
    unit_error = (n + 2 * d + 10) * EPS
    parts = []
    for block, features in _features(X, units):
        sizes = weight @ np.abs(units[:, block]) + TINY
        parts.append(np.abs(theta.T @ features) + unit_error * sizes)
    products: Array = np.concatenate(parts, axis=1)
    if not np.isfinite(products).all():
        raise CertificateError("the dual point overflows.")
    return products


def _features(X: Array, units: Array) -> Iterator[tuple[slice, Array]]:
    """Yield slices of the units, and their features (n, size of the slice)."""
    step = max(CHUNK // len(X), 1)
    for start in range(0, units.shape[1], step):
        block = slice(start, start + step)
        yield block, np.maximum(X @ units[:, block], 0.0)


def _objective(
    X: Array, y: Array, units: Array, coef: Array, alpha: float, loss: Loss
) -> float:
    """Return the objective at ``coef``, or slightly more: rounding is added."""
    active = np.flatnonzero(coef)
    units, coef = units[:, active], coef[active]
    z = np.zeros(len(X))
    for block, features in _features(X, units):
        z += features @ coef[block]
    sizes = np.abs(X) @ (np.abs(units) @ np.abs(coef)) + TINY
    radius = (2 * len(units) + 2 * len(coef) + 10) * EPS * sizes
    value = largest_loss(z, radius, y, loss) + alpha * total(np.abs(coef))
    if math.isnan(value):
        raise CertificateError("the prediction overflows.")
    return value * (1.0 + 4 * EPS)
