"""The arithmetic behind the certificates of robust two-layer networks, NumPy only.

The rows of X may be moved by any delta with ``|delta_j| <= eps_j``. Write
``|q|_eps = sum_j eps_j |q_j|`` and ``zeta_k = sum_i d_ik (v_i - w_i)``, a vector for
each sample. The robust convex program on activation patterns ``d_1, ..., d_P`` is

    min  sum_k l_k(zeta_k) + alpha sum_i (|v_i| + |w_i|)
    s.t. S_i X v_i >= |v_i|_eps,  S_i X w_i >= |w_i|_eps

where l_k is the largest loss over the box,

    squared   (|x_k'zeta - y_k| + |zeta|_eps)^2 / 2
    logistic  log(1 + exp(-m)),  m = y_k x_k'zeta - |zeta|_eps
    hinge     (1 - m)_+

(Bai, Gautam and Sojoudi, arXiv:2105.12237). Inside the cones no perturbation changes
the pattern of a unit. For any ``theta``, amplitudes b, rows ``Theta_k`` with
``|Theta_kj - theta_k x_kj| <= b_k eps_j``, and any multipliers ``lam >= 0`` with

    |soft(+-Theta'd_i + X'S_i lam_i, eps sum(lam_i))| <= alpha  for all i, both signs,

where soft(., t) shrinks each entry by t towards zero, weak duality proves that the
optimum is at least

    sum_k theta_k y_k - b_k^2 / 2   squared,   b_k >= |theta_k|
    sum_k entropy(b_k)              logistic,  theta_k = y_k b_k, 0 <= b_k <= 1
    sum_k b_k                       hinge,     theta_k = y_k b_k, 0 <= b_k <= 1.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_cells import lengths
from convexnn._measure_losses import (
    EPS,
    LOSSES,
    TINY,
    encode_targets,
    reshaped,
    total,
    with_intercept,
)
from convexnn._measure_witness import multipliers_of
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import ROUNDING, Measurement, problem

Array = NDArray[np.float64]

# Cone violation that counts as rounding of a feasible point, as in the program without
# perturbations: at most this times (|x_k| + |eps|) |v|, and at most that times the
# largest target.
FEASIBILITY = 1e-12
VIOLATION = 1e-9


class RobustLoss(NamedTuple):
    """The largest loss of a sample over its box, and the parts of its dual."""

    value: Callable[[Array, Array, Array], Array]  # of x'zeta, |zeta|_eps and y
    dual: Callable[[Array, Array, Array], Array]  # of theta, b and y
    project: Callable[[Array, Array, Array], tuple[Array, Array]]  # theta, b and y
    labels: bool  # targets must be -1 or +1


def _unit_interval(theta: Array, b: Array, y: Array) -> tuple[Array, Array]:
    b = np.clip(y * theta, 0.0, 1.0)
    return y * b, b


ROBUST_LOSSES = {
    "squared": RobustLoss(
        value=lambda z, size, y: 0.5 * (np.abs(z - y) + size) ** 2,
        dual=lambda theta, b, y: theta * y - 0.5 * b**2,
        project=lambda theta, b, y: (theta, np.maximum(b, np.abs(theta))),
        labels=False,
    ),
    "logistic": RobustLoss(
        value=lambda z, size, y: np.logaddexp(0.0, size - y * z),
        dual=lambda theta, b, y: LOSSES["logistic"].dual(b, np.ones_like(b)),
        project=_unit_interval,
        labels=True,
    ),
    "hinge": RobustLoss(
        value=lambda z, size, y: np.maximum(1.0 - y * z + size, 0.0),
        dual=lambda theta, b, y: b,
        project=_unit_interval,
        labels=True,
    ),
}


@problem("convexnn.robust/1", data=("X", "y"))
def measure_robust(
    X: Array,
    y: NDArray[Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap of a candidate of the robust convex program.

    Parameters
    ----------
    X : ndarray of shape (n, d0)
        Data as passed to the fit.
    y : ndarray of shape (n,) or (n, C)
        Targets or class labels as passed to the fit.
    witness : mapping
        ``eps`` (d0,) radius of each column; ``patterns`` (n, P) 0/1; ``V`` and ``W`` of
        shape (d, P) or (C, d, P), where d = d0 + 1 if an intercept column is appended,
        which is not perturbed; ``theta`` and ``amplitude`` (n,) or (n, C); ``Theta``
        (n, d) or (C, n, d); the nonzero multipliers ``multiplier_value`` at the flat
        ``multiplier_index`` into (C, 2, P, n).
    parameters : mapping
        ``alpha``, ``loss``, ``encoding`` ("none", "labels": one column of +-1 targets
        for two classes, else one for each class), ``intercept`` (value of the appended
        column, 0 for none).

    Returns
    -------
    Measurement
        ``residuals``: ``cone_violation`` (largest ``|v_i|_eps - S_i X v_i``),
        ``dual_norm`` (largest block norm before the dual point is rescaled) and, for
        targets -1 and +1, ``certified_accuracy``: the share of the rows whose class no
        perturbation changes.

    Raises
    ------
    CertificateError
        If the witness is malformed or proves nothing.
    """
    alpha = float(parameters["alpha"])
    if not 0 < alpha < math.inf:
        raise CertificateError(f"alpha={alpha!r} must be positive.")
    if X.ndim != 2:
        raise CertificateError(f"X must be 2-dimensional, got {X.ndim} dimension(s).")
    eps = _radius(witness["eps"], X.shape[1])
    reach = _range(eps)
    intercept = float(parameters["intercept"])
    X = with_intercept(X, intercept)
    eps = np.append(eps, np.zeros(X.shape[1] - len(eps)))
    Y = encode_targets(y, str(parameters["encoding"]))
    if len(Y) != len(X):
        raise CertificateError(f"y must have {len(X)} rows, got {len(Y)}.")
    loss = ROBUST_LOSSES[str(parameters["loss"])]
    signed = bool(np.isin(Y, (-1.0, 1.0)).all())
    if loss.labels and not signed:
        raise CertificateError("the targets of this loss must be -1 or +1.")
    D = np.asarray(witness["patterns"], dtype=np.float64)
    if D.ndim != 2 or len(D) != len(X) or not D.size or not np.isin(D, (0, 1)).all():
        raise CertificateError("patterns must be an (n, P) array of 0 and 1.")
    outputs, (n, d), P = Y.shape[1], X.shape, D.shape[1]
    V = reshaped("V", witness["V"], (outputs, d, P))
    W = reshaped("W", witness["W"], (outputs, d, P))
    Theta = reshaped("Theta", witness["Theta"], (outputs, n, d))
    theta = reshaped("theta", witness["theta"], Y.shape)
    amplitude = reshaped("amplitude", witness["amplitude"], Y.shape)
    lam = multipliers_of(witness, (outputs, 2, P, n))
    zero_loss = total(loss.value(np.zeros_like(Y), np.zeros_like(Y), Y))
    if not math.isfinite(zero_loss):
        raise CertificateError("the loss at zero exceeds all floats; rescale y.")

    upper = lower = slack = violation = dual_norm = 0.0
    margins = []
    for c in range(outputs):
        y_c = Y[:, c]
        primal = _primal(X, y_c, eps, D, V[c], W[c], lam(c), alpha, loss)
        upper += primal.value
        violation = max(violation, primal.violation)
        margins.append(primal)
        dual = loss.project(theta[:, c], amplitude[:, c], y_c)
        norm = _dual_norm(X, eps, D, Theta[c], *dual, lam(c))
        dual_norm = max(dual_norm, norm)
        value, multiple = _dual_value(*dual, y_c, norm / alpha, loss)
        lower += value
        slack += multiple * primal.slack
    scale = zero_loss or 1.0
    gap = upper + slack - lower
    if not gap >= -ROUNDING * max(scale, TINY):
        raise CertificateError(f"negative duality gap {gap:.3g}.")
    residuals = {"dual_norm": dual_norm, "cone_violation": violation}
    if signed and (outputs == 1 or parameters["encoding"] == "labels"):
        inside = math.isfinite(upper)
        accuracy = _certified_accuracy(margins, Y, eps) if inside else 0.0
        residuals["certified_accuracy"] = accuracy
    return Measurement(
        kind="duality_gap",
        value=max(gap, 0.0),
        guarantee=Guarantee.GLOBAL,
        scale=scale,
        lower=min(lower, upper + slack),
        upper=upper + slack,
        residuals=residuals,
        assumptions=(
            f"hidden units keep to one of the {P} given activation patterns wherever "
            f"each column moves by at most its radius, {reach}",
        ),
    )


class _Primal(NamedTuple):
    value: float  # of the program, rounded up; inf outside the cones
    slack: float  # lam'violation
    violation: float
    z: Array  # (n,) prediction
    zeta: Array  # (n, d) its gradient
    radius: Array  # (n,) rounding of z and |zeta|_eps, and what violations may add


def _primal(
    X: Array,
    y: Array,
    eps: Array,
    D: Array,
    V: Array,
    W: Array,
    lam: Array,
    alpha: float,
    loss: RobustLoss,
) -> _Primal:
    """Evaluate the program at (V, W), with room for rounding.

    Inside rounding of the cones, the value is at least the worst-case objective of the
    real network, whose prediction differs by the violations, and weak duality may lose
    up to ``lam'violation``.
    """
    S = 2.0 * D - 1.0
    rows = lengths(X, axis=1) + float(lengths(eps, axis=0))
    slack = violation = penalty = 0.0
    feasible = True
    radius = np.zeros(len(X))
    for block, multipliers in ((V, lam[0]), (W, lam[1])):
        outside = np.maximum(eps @ np.abs(block) - S * (X @ block), 0.0)
        limit = robust_violation_limit(rows, lengths(block, axis=0), y)
        feasible &= not (outside > limit).any()
        radius += outside.sum(axis=1) + _rounding(X, eps, block)
        slack += total(multipliers.T * outside)
        violation = max(violation, float(outside.max(initial=0.0)))
        norms = total(lengths(block, axis=0))
        penalty += alpha * norms * (1.0 + (len(block) + 2) * EPS)
    zeta = D @ (V - W).T
    z = np.sum(D * (X @ V - X @ W), axis=1)
    value = math.inf
    if feasible:
        value = total(loss.value(z, np.abs(zeta) @ eps + radius, y)) + penalty
    return _Primal(value, slack, violation, z, zeta, radius)


def robust_violation_limit(rows: Array, sizes: Array, y: Array) -> Array:
    """Return the violation (n, m) of each constraint that counts as rounding.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        ``|x_k| + |eps|``.
    sizes : ndarray of shape (m,)
        Norms of the blocks.
    y : ndarray of shape (n,)
        Targets.

    Returns
    -------
    ndarray of shape (n, m)
    """
    return np.minimum(
        FEASIBILITY * rows[:, None] * sizes, VIOLATION * np.abs(y).max(initial=0.0)
    )


def _rounding(X: Array, eps: Array, block: Array) -> Array:
    """Bound the rounding of ``sum_i D_i X v_i`` and ``|sum_i d_ik v_i|_eps``.

    Twice a sum of absolute terms each (Higham, 2002, eq. 3.5), since the terms enter
    the prediction and the violations.
    """
    active = int(block.any(axis=0).sum())
    return (
        (2 * (len(block) + active) + 8)
        * EPS
        * ((np.abs(X) + eps) @ np.abs(block).sum(axis=1))
    )


def _certified_accuracy(outputs: list[_Primal], Y: Array, eps: Array) -> float:
    """Return the share of rows whose class is the same on the whole box.

    Inside the cones the network is linear on the box of a row, so the least margin of
    its class over another is that of the difference of the two gradients.
    """
    if len(outputs) == 1:
        (only,) = outputs
        least = Y[:, 0] * only.z - np.abs(only.zeta) @ eps - only.radius
        return float(np.mean(least > 0))
    least = np.full(len(Y), np.inf)
    for c, own in enumerate(outputs):
        for e, other in enumerate(outputs):
            if e != c:
                margin = own.z - other.z - np.abs(own.zeta - other.zeta) @ eps
                margin -= (1 + 4 * EPS) * (own.radius + other.radius)
                least = np.where(Y[:, c] > 0, np.minimum(least, margin), least)
    return float(np.mean((least > 0) & (Y.max(axis=1) > 0)))


def _dual_norm(
    X: Array, eps: Array, D: Array, Theta: Array, theta: Array, b: Array, lam: Array
) -> float:
    """Return the largest ``|soft(+-Theta'd_i + X'S_i lam_i, eps sum lam_i)|``, or more.

    Theta is moved into its box. A bound on the rounding error of every step is added
    (Higham, 2002, eq. 3.5).
    """
    center, width = theta[:, None] * X, b[:, None] * eps
    Theta = np.clip(Theta, center - width, center + width)
    G = Theta.T @ D
    sizes = (np.abs(center) + width).T @ D
    signs = 2.0 * D - 1.0
    unit = (2 * len(X) + 8) * EPS
    largest = 0.0
    for sign, part in ((1.0, lam[0]), (-1.0, lam[1])):
        h = sign * G + X.T @ (signs * part.T)
        error = unit * (sizes + np.abs(X).T @ part.T + TINY)
        shrink = (1.0 - unit) * eps[:, None] * part.sum(axis=1)
        entries = np.maximum(np.abs(h) + error - shrink, 0.0)
        norm = float(np.max(lengths(entries, axis=0)))  # NaN if any is
        if not math.isfinite(norm):
            raise CertificateError("the dual point overflows.")
        largest = max(largest, norm)
    return largest * (1.0 + (X.shape[1] + 6) * EPS)


def _dual_value(
    theta: Array, b: Array, y: Array, dual_norm: float, loss: RobustLoss
) -> tuple[float, float]:
    """Best value of the dual on the feasible multiples of a point, and the multiple.

    ``dual_norm`` is the largest block norm over alpha; multipliers scale along.
    """
    # A rounding error inside the bound, so that the multiple is feasible for certain.
    largest = (1.0 - ROUNDING) / dual_norm if dual_norm > 0 else math.inf
    if loss.labels:
        s = min(1.0, largest)
    else:  # the dual is a parabola in s
        square = math.fsum(b * b)
        s = min(max(math.fsum(theta * y) / square, 0.0), largest) if square else 0.0
    return math.fsum(loss.dual(s * theta, s * b, y)), s


def _radius(value: NDArray[Any], columns: int) -> Array:
    eps = np.asarray(value, dtype=np.float64)
    if eps.shape != (columns,):
        raise CertificateError(f"eps must have shape ({columns},), got {eps.shape}.")
    if not ((eps >= 0) & np.isfinite(eps)).all():
        raise CertificateError("eps must be nonnegative and finite.")
    return eps


def _range(eps: Array) -> str:
    """Say how far the columns move; the claim is bound to it."""
    low, high = float(eps.min(initial=math.inf)), float(eps.max(initial=0.0))
    return f"{high:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
