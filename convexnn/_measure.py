"""The arithmetic behind the certificates of two-layer networks, NumPy only.

The convex program on activation patterns ``d_1, ..., d_P`` (0/1 vectors, with
``D_i = diag(d_i)`` and ``S_i = 2 D_i - I``) is

    min  L(sum_i D_i X (v_i - w_i), y) + alpha sum_i (|v_i| + |w_i|)
    s.t. S_i X v_i >= 0,  S_i X w_i >= 0

with the loss L summed over samples (Pilanci and Ergen, arXiv:2002.10553). For any
``theta`` and any multipliers ``lam >= 0`` with

    |+-X'D_i theta + X'S_i lam_i| <= alpha      for all i and both signs,

weak duality proves ``optimum >= -L*(-theta)``. The gated program has no constraints
and no multipliers. With every realisable pattern in the list, the optimum is that of
the network problem itself, over networks of any width.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_cells import PARALLEL, is_complete, lengths
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
from convexnn._measure_witness import members_of, multipliers_of
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import ROUNDING, Measurement, problem

Array = NDArray[np.float64]

# Cone violation that counts as rounding of a feasible point: at most this times
# |x_k| |v|, and at most that times the largest target, since huge blocks that cancel
# in the prediction might leave their cones by more than the targets are worth.
FEASIBILITY = 1e-12
VIOLATION = 1e-9


@problem("convexnn.two_layer/1", data=("X", "y"))
def measure_two_layer(
    X: Array,
    y: NDArray[Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap of a candidate of the convex program, ReLU or gated.

    Parameters
    ----------
    X : ndarray of shape (n, d0)
        Data as passed to the fit.
    y : ndarray of shape (n,) or (n, C)
        Targets or class labels as passed to the fit.
    witness : mapping
        ``patterns`` (n, P) 0/1; ``V`` and, for ReLU, ``W`` of shape (d, P) or
        (C, d, P), where d = d0 + 1 if an intercept column is appended; ``theta`` (n,)
        or (n, C), not read with ``alpha=0``; for ReLU the nonzero multipliers
        ``multiplier_value`` at the flat ``multiplier_index`` into (C, 2, P, n);
        ``gates`` (d, P) with ``scope="global"``; ``members`` (C, P) 0/1 if each output
        has patterns of its own among them.
    parameters : mapping
        ``alpha``, ``loss``, ``activation`` ("relu", "gated"), ``scope`` ("patterns",
        "global"), ``encoding`` ("none", "labels": one column of +-1 targets for two
        classes, else one for each class), ``intercept`` (value of the appended
        column, 0 for none).

    Returns
    -------
    Measurement
        ``residuals``: ``cone_violation`` (largest -S_i X v_i), ``dual_norm`` (largest
        block norm over alpha before theta is rescaled), and for ReLU
        ``network_objective``, the objective of the blocks read as a real network,
        which may be smaller than ``upper`` and even than ``lower`` when its units
        leave the pattern list.

    Raises
    ------
    CertificateError
        If the witness is malformed or proves nothing.
    """
    alpha = float(parameters["alpha"])
    relu = {"relu": True, "gated": False}[str(parameters["activation"])]
    if not (0 <= alpha < math.inf) or (relu and alpha == 0):
        raise CertificateError(f"alpha={alpha!r} must be positive (gated: >= 0).")
    if X.ndim != 2:
        raise CertificateError(f"X must be 2-dimensional, got {X.ndim} dimension(s).")
    X = with_intercept(X, float(parameters["intercept"]))
    Y = encode_targets(y, str(parameters["encoding"]))
    if len(Y) != len(X):
        raise CertificateError(f"y must have {len(X)} rows, got {len(Y)}.")
    loss = LOSSES[str(parameters["loss"])]
    if loss.labels and not np.isin(Y, (-1.0, 1.0)).all():
        raise CertificateError("the targets of this loss must be -1 or +1.")
    D = np.asarray(witness["patterns"], dtype=np.float64)
    if D.ndim != 2 or len(D) != len(X) or not D.size or not np.isin(D, (0, 1)).all():
        raise CertificateError("patterns must be an (n, P) array of 0 and 1.")
    shape = (Y.shape[1], X.shape[1], D.shape[1])
    members = members_of(witness, (shape[0], shape[2]))
    theta = reshaped("theta", witness["theta"], Y.shape) if alpha > 0 else Y
    theta = loss.project(theta, Y)
    V = reshaped("V", witness["V"], shape)
    W = reshaped("W", witness["W"], shape) if relu else None
    lam = multipliers_of(witness, (shape[0], 2, *D.T.shape)) if relu else None
    for blocks in (V,) if W is None else (V, W):
        if (blocks * ~members[:, None, :]).any():
            raise CertificateError("an output has a unit outside its own patterns.")
    zero_loss = total(loss.value(np.zeros_like(Y), Y))
    if not math.isfinite(zero_loss):
        raise CertificateError("the loss at zero exceeds all floats; rescale y.")

    upper = lower = slack = network = violation = dual_norm = 0.0
    for c in range(shape[0]):
        y_c, theta_c = Y[:, c], theta[:, c]
        own = members[c]
        D_c, V_c = D[:, own], V[c][:, own]
        lam_c = None if lam is None else lam(c)[:, own]
        if relu:
            W_c = W[c][:, own]
            parts = _primal_relu(X, y_c, D_c, V_c, W_c, lam_c, alpha, loss)
            value, lost, violated, real = parts
            violation = max(violation, violated)
            network += real
        else:
            z, radius = np.sum(D_c * (X @ V_c), axis=1), _rounding(X, V_c)
            value, lost = largest_loss(z, radius, y_c, loss) + alpha * _norms(V_c), 0
            if alpha == 0:
                theta_c = loss.theta(z, y_c)
        upper += value
        norm = _dual_norm(X, D_c, theta_c, lam_c)
        dual_norm = max(dual_norm, norm)
        if alpha > 0:
            value, multiple = dual_value(theta_c, y_c, norm / alpha, loss)
            lower += value
            slack += multiple * lost

    if alpha == 0:
        at_zero = loss.theta(np.zeros_like(Y), Y)
        slopes = (X.T @ (D[:, own] * at_zero[:, [c]]) for c, own in enumerate(members))
        steepest = max(float(lengths(G, axis=0).max()) for G in slopes)
        return Measurement(
            kind="kkt_residual",
            value=dual_norm,
            guarantee=Guarantee.LOCAL,
            scale=steepest or 1.0,
            lower=0.0,
            upper=upper,
        )
    scale = zero_loss or 1.0
    gap = upper + slack - lower
    if not gap >= -ROUNDING * max(scale, TINY):
        raise CertificateError(f"negative duality gap {gap:.3g}.")
    residuals = {"dual_norm": dual_norm}
    if relu:
        residuals["cone_violation"] = violation
        residuals["network_objective"] = network
    return Measurement(
        kind="duality_gap",
        value=max(gap, 0.0),
        guarantee=Guarantee.GLOBAL,
        scale=scale,
        lower=min(lower, upper + slack),
        upper=upper + slack,
        residuals=residuals,
        assumptions=(_scope(X, D, witness, parameters, members),),
    )


def _primal_relu(
    X: Array,
    y: Array,
    D: Array,
    V: Array,
    W: Array,
    lam: Array,
    alpha: float,
    loss: Loss,
) -> tuple[float, float, float, float]:
    """Program value, rounding slack, cone violation and value as a real network.

    A point outside the cones has value ``inf``. Inside rounding of them, the value is
    at least that of the real network, whose prediction differs by the violations, and
    weak duality may lose up to ``lam'violation``, the slack.
    """
    XV, XW = X @ V, X @ W
    penalty = alpha * (_norms(V) + _norms(W))
    real = np.sum(np.maximum(XV, 0.0) - np.maximum(XW, 0.0), axis=1)
    network = total(loss.value(real, y)) + penalty
    S = 2.0 * D - 1.0
    rows = lengths(X, axis=1)
    radius = _rounding(X, V) + _rounding(X, W)
    slack = violation = 0.0
    feasible = True
    for block, product, multipliers in ((V, XV, lam[0]), (W, XW, lam[1])):
        outside = np.maximum(-S * product, 0.0)
        limit = violation_limit(rows, lengths(block, axis=0), y)
        feasible &= not (outside > limit).any()
        radius += outside.sum(axis=1)
        slack += total(multipliers.T * outside)
        violation = max(violation, float(outside.max(initial=0.0)))
    if not feasible:
        return math.inf, slack, violation, network
    z = np.sum(D * (XV - XW), axis=1)
    return largest_loss(z, radius, y, loss) + penalty, slack, violation, network


def violation_limit(rows: Array, sizes: Array, y: Array) -> Array:
    """Return the violation of each constraint that counts as rounding.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        Norms of the rows of X.
    sizes : ndarray of shape (m,)
        Norms of the blocks.
    y : ndarray of shape (n,)
        Targets.

    Returns
    -------
    ndarray of shape (n, m)
    """
    relative = FEASIBILITY * rows[:, None] * sizes
    return np.minimum(relative, VIOLATION * np.abs(y).max())


def _rounding(X: Array, blocks: Array) -> Array:
    """Bound the rounding error of ``sum_i D_i X v_i`` (Higham, 2002, eq. 3.5)."""
    active = int(blocks.any(axis=0).sum())
    return (len(blocks) + active + 2) * EPS * (np.abs(X) @ np.abs(blocks).sum(axis=1))


def _dual_norm(X: Array, D: Array, theta: Array, lam: Array | None) -> float:
    """Return the largest ``|+-X'D_i theta + X'S_i lam_i|``, or slightly more.

    A bound on the rounding error of the products (Higham, 2002, eq. 3.5) is added.
    """
    G = X.T @ (D * theta[:, None])
    sizes = np.abs(X).T @ (D * np.abs(theta)[:, None])
    blocks, errors = [G], [sizes]
    if lam is not None:
        S = 2.0 * D - 1.0
        blocks = [G + X.T @ (S * lam[0].T), -G + X.T @ (S * lam[1].T)]
        errors = [sizes + np.abs(X).T @ part.T for part in lam]
    unit = (len(X) + 2) * EPS
    norms = [
        lengths(np.abs(block) + unit * (error + TINY), axis=0)
        for block, error in zip(blocks, errors, strict=True)
    ]
    largest = _rounded_up(float(np.max(norms)), X.shape[1])  # NaN if any is
    if not math.isfinite(largest):
        raise CertificateError("the dual point overflows.")
    return largest


def _scope(
    X: Array,
    D: Array,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
    members: NDArray[np.bool_],
) -> str:
    """State which networks the lower bound covers, after checking that it does."""
    scope = parameters["scope"]
    if not members.all():
        if scope != "patterns" or parameters["activation"] != "relu":
            raise CertificateError("patterns of each output's own are for ReLU alone.")
        counts = ", ".join(str(count) for count in members.sum(axis=1))
        return (
            f"hidden units of each output realise only its own of the {D.shape[1]} "
            f"given activation patterns ({counts})"
        )
    if parameters["activation"] == "gated" and scope == "patterns":
        return f"gated units with the {D.shape[1]} given gates"
    if scope == "patterns":
        return f"hidden units realise only the {D.shape[1]} given activation patterns"
    if scope != "global" or parameters["activation"] != "relu":
        raise CertificateError(
            f"scope={scope!r} must be 'patterns', or 'global' for a ReLU program."
        )
    if not is_complete(X, D, np.asarray(witness["gates"], dtype=np.float64)):
        raise CertificateError("the pattern list is not complete.")
    return (
        "networks of any width: every activation pattern is in the list "
        f"(hyperplanes within {PARALLEL:g} of each other count as one)"
    )


def _norms(blocks: Array) -> float:
    return _rounded_up(total(lengths(blocks, axis=0)), len(blocks))


def _rounded_up(norm: float, dimension: int) -> float:
    return norm * (1.0 + (dimension + 2) * EPS)


import convexnn._measure_fresh  # noqa: E402, F401  (registers "convexnn.fresh_gates/1")
import convexnn._measure_global  # noqa: E402, F401  (registers "convexnn.global/1")
import convexnn._measure_multiclass  # noqa: E402, F401  (registers "convexnn.multiclass/1")
import convexnn._measure_robust  # noqa: E402, F401  (registers "convexnn.robust/1")
