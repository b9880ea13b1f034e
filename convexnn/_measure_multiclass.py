"""The arithmetic behind the certificates of gated units that several outputs share.

With patterns ``d_i``, weights U_i (d, C) of each gate and ``Z = sum_i D_i X U_i`` the
program is

    min  sum_k l(z_k, y_k) + alpha sum_i |U_i|_F

with the squared loss of each output, or the softmax loss ``log sum_c exp(z_c) - z_y``
of class y. For any theta (n, C) with ``|X'D_i theta|_F <= alpha`` for all i, weak
duality proves ``optimum >= -L*(-theta)``; for the softmax loss that is the sum of the
entropies of ``p_k = e_y - theta_k``, which must be probabilities.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_cells import lengths
from convexnn._measure_losses import EPS, TINY, encode_targets, total, with_intercept
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import ROUNDING, Measurement, problem

Array = NDArray[np.float64]

# Distance of theta from the domain of the softmax loss that counts as rounding; it is
# moved into the domain.
DOMAIN = 1e-9


@problem("convexnn.multiclass/1", data=("X", "y"))
def measure_multiclass(
    X: Array,
    y: NDArray[Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap of gated units that all outputs share.

    Parameters
    ----------
    X : ndarray of shape (n, d0)
        Data as passed to the fit.
    y : ndarray of shape (n,) or (n, C)
        Class labels, or targets.
    witness : mapping
        ``patterns`` (n, P) 0/1, ``V`` (C, d, P), ``theta`` (n, C).
    parameters : mapping
        ``alpha``, ``loss`` ("squared", "softmax"), ``encoding`` ("labels": one column
        for each class; "none", squared only), ``intercept``.

    Returns
    -------
    Measurement

    Raises
    ------
    CertificateError
        If the witness is malformed or proves nothing.
    """
    alpha, loss = float(parameters["alpha"]), str(parameters["loss"])
    if not 0 < alpha < math.inf:
        raise CertificateError(f"alpha={alpha!r} must be positive.")
    if loss not in ("squared", "softmax"):
        raise CertificateError(f"loss={loss!r} must be 'squared' or 'softmax'.")
    if X.ndim != 2:
        raise CertificateError(f"X must be 2-dimensional, got {X.ndim} dimension(s).")
    X = with_intercept(X, float(parameters["intercept"]))
    Y = class_columns(y, str(parameters["encoding"]))
    if len(Y) != len(X):
        raise CertificateError(f"y must have {len(X)} rows, got {len(Y)}.")
    if loss == "softmax" and not is_one_of_each(Y):
        raise CertificateError("the softmax loss needs class labels.")
    D = np.asarray(witness["patterns"], dtype=np.float64)
    if D.ndim != 2 or len(D) != len(X) or not D.size or not np.isin(D, (0, 1)).all():
        raise CertificateError("patterns must be an (n, P) array of 0 and 1.")
    V = _array("V", witness["V"], (Y.shape[1], X.shape[1], D.shape[1]))
    theta = _array("theta", witness["theta"], Y.shape)
    upper = _primal(X, Y, D, V, alpha, loss)
    lower, dual_norm = _dual(X, Y, D, theta, alpha, loss)
    zero = np.zeros_like(Y)
    scale = total(_values(zero, Y, loss)) or 1.0
    if not math.isfinite(scale):
        raise CertificateError("the loss at zero exceeds all floats; rescale y.")
    if not upper - lower >= -ROUNDING * max(scale, TINY):
        raise CertificateError(f"negative duality gap {upper - lower:.3g}.")
    return Measurement(
        kind="duality_gap",
        value=max(upper - lower, 0.0),
        guarantee=Guarantee.GLOBAL,
        scale=scale,
        lower=min(lower, upper),
        upper=upper,
        residuals={"dual_norm": dual_norm},
        assumptions=(
            f"gated units with the {D.shape[1]} given gates, shared by all outputs",
        ),
    )


def class_columns(y: NDArray[Any], encoding: str) -> Array:
    """Return targets (n, C) as they are, or +-1 for each class, also for two.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, C)
        Class labels, or targets.
    encoding : {"labels", "none"}
        What they are.

    Returns
    -------
    ndarray of shape (n, C)
    """
    Y = encode_targets(y, encoding)
    if encoding == "labels" and Y.shape[1] == 1:
        return np.concatenate([-Y, Y], axis=1)
    return Y


def is_one_of_each(Y: Array) -> bool:
    """Whether every row has exactly one +1 and otherwise -1."""
    return bool(np.isin(Y, (-1, 1)).all() and ((Y > 0).sum(axis=1) == 1).all())


def _values(Z: Array, Y: Array, loss: str) -> Array:
    if loss == "squared":
        return 0.5 * (Z - Y) ** 2
    largest = Z.max(axis=1)
    exponentials = np.exp(Z - largest[:, None]).sum(axis=1)
    return largest + np.log(exponentials) - Z[Y > 0]


def _primal(X: Array, Y: Array, D: Array, V: Array, alpha: float, loss: str) -> float:
    """Return the objective, rounded up."""
    Z, radius = np.empty_like(Y), np.empty_like(Y)
    terms = len(V[0]) + D.shape[1] + 2  # of each sum (Higham, 2002, eq. 3.5)
    for c, block in enumerate(V):
        Z[:, c] = np.sum(D * (X @ block), axis=1)
        radius[:, c] = terms * EPS * (np.abs(X) @ np.abs(block).sum(axis=1))
    if loss == "squared":
        # A convex function is largest at an end of an interval.
        fit = total(
            np.maximum(_values(Z - radius, Y, loss), _values(Z + radius, Y, loss))
        )
    else:
        # The gradient has entries of sum 2 at most in absolute value.
        values = np.maximum(_values(Z, Y, loss), 0.0)
        size = np.abs(Z).max(axis=1) + math.log(Y.shape[1]) + 1.0
        fit = total(values + 2.0 * radius.max(axis=1) + (Y.shape[1] + 8) * EPS * size)
    sizes = lengths(V.reshape(-1, D.shape[1]), axis=0)
    penalty = alpha * total(sizes) * (1.0 + (V[0].size + len(V) + 4) * EPS)
    upper = (fit + penalty) * (1.0 + 4 * EPS)
    return math.inf if math.isnan(upper) else upper


def _dual(
    X: Array, Y: Array, D: Array, theta: Array, alpha: float, loss: str
) -> tuple[float, float]:
    """Return the best bound on the multiples of theta, and its largest block norm."""
    own = Y > 0
    if loss == "softmax":
        t = np.where(own, 0.0, np.clip(-theta, 0.0, 1.0))
        t /= np.maximum(t.sum(axis=1, keepdims=True) * (1.0 + 8 * EPS), 1.0)
        given, theta = theta, np.where(own, t.sum(axis=1, keepdims=True), -t)
        if not np.abs(given - theta).max() <= DOMAIN:
            raise CertificateError("theta must be e_y less probabilities.")
    unit = (len(X) + Y.shape[1] + 4) * EPS
    parts = np.empty((Y.shape[1], D.shape[1]))
    for c in range(Y.shape[1]):
        product = np.abs(X.T @ (D * theta[:, [c]]))
        sizes = np.abs(X).T @ (D * np.abs(theta[:, [c]]))
        parts[c] = lengths(product + unit * (sizes + TINY), axis=0)
    count = X.shape[1] + Y.shape[1] + 4
    norm = float(lengths(parts, axis=0).max()) / alpha * (1.0 + count * EPS)
    if not math.isfinite(norm):
        raise CertificateError("the dual point overflows.")
    largest = (1.0 - ROUNDING) / norm if norm > 0 else math.inf
    if loss == "squared":
        product, power = math.fsum((theta * Y).ravel()), math.fsum((theta**2).ravel())
        s = min(max(product / power, 0.0), largest) if power else 0.0
        terms = s * theta * Y - 0.5 * (s * theta) ** 2
        error = 4 * EPS * math.fsum(np.abs(s * theta * Y).ravel())
        return math.fsum(terms.ravel()) - error, norm
    s = min(1.0, largest)
    t = np.where(own, 0.0, s * t)
    rest = np.clip(1.0 - t.sum(axis=1), 0.0, 1.0)
    p = np.where(own, rest[:, None], t)
    logarithm = np.log(np.where(p > 0, p, 1.0))
    error = (Y.shape[1] + 8) * EPS * len(Y) * (1.0 + math.log(Y.shape[1]))
    return max(-math.fsum((p * logarithm).ravel()) - error, 0.0), norm


def _array(name: str, value: NDArray[Any], shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape:
        raise CertificateError(f"{name} must have shape {shape}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise CertificateError(f"{name} must be finite.")
    return array
