"""The nonlinear system of flow diffusion on a fixed support, for p > 2.

With ``c_e = w_e ((x_i - x_j)^2 + mu^2)^(q/2 - 1)`` the optimality condition on the
support reads ``L(c) x = b``. Solving it with c held fixed is iterative reweighting,
which minimises a quadratic majorant (``q < 2``) and so always descends, at the rate
``2 - q``; ``p - 1`` times that step is Newton's where smoothing does not matter, and is
taken where it halves the residual.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array

Array = NDArray[np.float64]

# Differences below this share of the largest height count as this share: an edge that
# carries nothing would otherwise have an infinite weight. It lies below the spacing of
# floats, because the majorant holds only where the weight is not cut off.
_LEAST_STEP = 1e-17
# Heights closer than this, relatively, become equal. A flow is the small power
# ``q - 1`` of a difference, so nodes that are alike must be equal to the last bit.
_ALIKE = 2.0**-49
_MAX_STEPS = 300
_STALLED = 12  # steps without progress: the spacing of floats allows no less


def solve_powers(
    A: Any, leak: Array, b: Array, x: Array, p: float, mu: float, room: Array,
    solve: Any,
) -> Array:  # fmt: skip
    """Minimise ``1/q sum_e w_e h(x_i - x_j) + 1/q sum_i leak_i h(x_i) - b'x``.

    Here ``h(t) = (t^2 + mu^2)^(q/2) - mu^q``.

    Parameters
    ----------
    A : csr_array of shape (k, k)
        Weights between unknowns.
    leak : ndarray of shape (k,)
        Weight towards nodes at height zero.
    b : ndarray of shape (k,)
        Right side.
    x : ndarray of shape (k,)
        Start.
    p : float
        Norm, above 2.
    mu : float
        Smoothing, 0 for none.
    room : ndarray of shape (k,)
        Residual to reach.
    solve : callable
        Solves a sparse positive definite system, ``solve(L, b)``.

    Returns
    -------
    ndarray of shape (k,)
    """
    q = p / (p - 1)
    C = csr_array(A)
    owner = np.repeat(np.arange(C.shape[0]), np.diff(C.indptr))

    def residual(x: Array) -> tuple[Array, float]:
        r = b - _outflow(C, leak, owner, x, q, mu)
        return r, float(np.max(np.abs(r) / room))

    x = np.maximum(x, 0.0)
    if not x.any():
        x = np.full(len(b), 1.0)
    r, far = residual(x)
    best, lowest, since = x, far, 0
    for _ in range(_MAX_STEPS):
        if lowest <= 1.0 or since > _STALLED:
            break
        least = _LEAST_STEP * max(float(np.abs(x).max()), 1e-300)
        step = np.maximum(np.hypot(x[owner] - x[C.indices], mu), least)
        c = csr_array((C.data * step ** (q - 2), C.indices, C.indptr), shape=C.shape)
        c_leak = leak * np.maximum(np.hypot(x, mu), least) ** (q - 2)
        L = csc_array(diags_array(np.asarray(c.sum(axis=1)).ravel() + c_leak) - c)
        direction = solve(L, r)
        newton = x + (p - 1.0) * direction
        r_newton, far_newton = residual(newton)
        if far_newton <= 0.5 * far:
            x, r, far = newton, r_newton, far_newton
        else:
            x = x + direction
            r, far = residual(x)
        snapped = _snapped(x)
        far_snapped = residual(snapped)[1]
        since += 1
        if far_snapped < lowest:
            since = 0 if far_snapped < 0.9 * lowest else since
            best, lowest = snapped, far_snapped
    return best


def _snapped(x: Array) -> Array:
    order = np.argsort(x, kind="stable")
    rising = x[order]
    apart = np.append(True, np.diff(rising) > _ALIKE * np.abs(rising[1:]))
    out = np.empty_like(x)
    out[order] = rising[np.maximum.accumulate(np.where(apart, np.arange(len(x)), 0))]
    return out


def _outflow(C: Any, leak: Array, owner: Any, x: Array, q: float, mu: float) -> Array:
    def share(step: Array) -> Array:
        if mu == 0:
            return np.copysign(np.abs(step) ** (q - 1), step)
        return np.asarray(step * np.hypot(step, mu) ** (q - 2))

    flow = C.data * share(x[owner] - x[C.indices])
    return leak * share(x) + np.bincount(owner, weights=flow, minlength=len(x))
