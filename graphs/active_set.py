"""Flow diffusion to high accuracy: linear systems on the support.

With the support S known, the heights solve ``L_SS x_S = (Delta - T + margin)_S`` for
p = 2, and a nonlinear system of that form for p > 2. Nodes with ``x_i <= 0`` leave S
and neighbours that hold too much enter it, until neither happens: policy iteration for
an obstacle problem with an M-matrix, which is finite.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, cg, splu

from farkas.status import Status
from graphs._kernels_heights import restart
from graphs.neighborhood import DEGREE, GIVEN, SINK, VALUE, Neighborhood
from graphs.newton import solve_powers

if TYPE_CHECKING:
    from graphs.push import Run

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

# How far below its sink a node on the support is aimed, relative to the sink.
_LARGEST_MARGIN, _LEAST_MARGIN = 1e-3, 1e-14
_WIDEST_MARGIN = 0.02
_PATIENCE = 40  # rounds after which rounding is taken for the reason of a cycle
_DENSE_ENOUGH = 2000  # unknowns up to which a factorisation beats iterating
_RESIDUAL = 1e-14
_SAFETY = 0.9  # the certificate counts rounding in
_FULL = 0.95  # share of a component that may be filled


def solve_active_set(run: "Run", scale: float) -> Status:
    """Find the support by policy iteration, from the heights of a coarse run.

    Parameters
    ----------
    run : Run
        Its heights are replaced.
    scale : float
        What the gap is relative to, unless the dual value is larger.

    Returns
    -------
    Status
    """
    near = run.near
    goal = _SAFETY * run.options.tol * max(scale, run.dual)
    margin = _margin(run, goal)
    active = near.column(VALUE, 1) > 0
    patience, widened, most = _PATIENCE, False, 0
    while run.nit < run.options.max_iter:
        run.nit += 1
        patience -= 1
        which = np.flatnonzero(active)
        if len(which) > most:  # it still grows, so this is no cycle
            patience, most = _PATIENCE, len(which)
        near.open(which)
        if near.size > len(active):  # rows that were read have met new nodes
            active = np.append(active, np.zeros(near.size - len(active), dtype=bool))
        if near.overfull(_FULL):
            return Status.INFEASIBLE
        width = margin * np.maximum(near.column(SINK), _unit(near))
        with np.errstate(all="ignore"):
            x = _solve(near, which, width, run.p, float(run.options.mu))
        if not np.isfinite(x).all():
            return Status.NUMERICAL
        restart(near.state, near.count)
        near.column(VALUE, 1)[which] = np.maximum(x, 0.0)
        run.settle()
        dropped = which[x <= 0]
        target = near.column(SINK) - 0.5 * width
        entering = (near.column(VALUE, 0) > target) & ~active
        settled = not len(dropped) and not entering.any()
        feasible = run.report[3] <= 0
        gap = float(run.report[2]) if settled and feasible else math.inf
        if not run.record(gap):
            return Status.CALLBACK
        goal = _SAFETY * run.options.tol * max(scale, run.dual)
        if gap <= goal:
            return Status.CONVERGED
        if settled and feasible and not widened and margin > _LEAST_MARGIN:
            margin = max(0.5 * margin * goal / gap, _LEAST_MARGIN)
            continue
        if settled or not patience:
            if (settled and feasible) or margin >= _WIDEST_MARGIN:
                return Status.STALLED
            patience, widened = _PATIENCE, True
            margin = min(
                10 * margin, _WIDEST_MARGIN
            )  # rounding is wider than the margin
        active[dropped] = False
        if not len(dropped):
            active |= entering
    return Status.MAX_ITER


def _margin(run: "Run", goal: float) -> float:
    """Return the margin that spends about a tenth of the gap one may leave."""
    spent = float(run.near.column(VALUE, 1) @ run.near.column(SINK))
    share = 0.1 * goal / spent if spent > 0 else 0.0
    return min(max(share, _LEAST_MARGIN), _LARGEST_MARGIN)


def _unit(near: Neighborhood) -> float:
    sink = near.column(SINK)
    positive = sink[sink > 0]
    return 1e-3 * float(positive.min()) if len(positive) else 1e-3


def _solve(near: Neighborhood, which: Ints, width: Array, p: float, mu: float) -> Array:
    """Return the heights at which every active node holds its sink less a margin."""
    k = len(which)
    local = np.full(near.size, -1)
    local[which] = np.arange(k)
    counts, columns, weights = near.rows(which)
    owner = np.repeat(np.arange(k), counts)
    inner = local[columns] >= 0
    d = near.column(DEGREE)[which]
    A = csr_array((weights[inner], (owner[inner], local[columns[inner]])), shape=(k, k))
    right = (near.column(GIVEN) - near.column(SINK) + width)[which]
    start = near.column(VALUE, 1)[which]
    keep = _anchored(A, d, start)
    x = np.zeros(k)
    if not len(keep):
        return x
    A = csr_array(A[keep][:, keep])
    if p == 2:
        x[keep] = _linear(csc_array(diags_array(d[keep]) - A), right[keep])
    else:
        leak = np.maximum(d[keep] - np.asarray(A.sum(axis=1)).ravel(), 0.0)
        room = 0.25 * width[which][keep]
        x[keep] = solve_powers(A, leak, right[keep], start[keep], p, mu, room, _linear)
    return x


def _anchored(A: Any, d: Array, x: Array) -> Ints:
    """Leave the lowest node out of every part that no edge leaves."""
    n_parts, part = connected_components(A, directed=False)
    leak = d - np.asarray(A.sum(axis=1)).ravel()
    leaks = np.bincount(part, weights=leak > 1e-12 * d, minlength=n_parts) > 0
    keep = np.ones(len(d), dtype=bool)
    for closed in np.flatnonzero(~leaks):
        nodes = np.flatnonzero(part == closed)
        keep[nodes[np.argmin(x[nodes])]] = False
    return np.flatnonzero(keep)


def _linear(L: Any, b: Array) -> Array:
    """Solve a positive definite system; NaN where floats do not suffice."""
    if L.shape[0] <= _DENSE_ENOUGH:
        try:
            factor = splu(L)
        except RuntimeError:  # exactly singular
            return np.full(len(b), np.nan)
        x = factor.solve(b)
        return np.asarray(x + factor.solve(b - L @ x))
    diagonal = L.diagonal()
    jacobi = LinearOperator(L.shape, matvec=lambda r: r / diagonal, dtype=np.float64)
    x = np.zeros(len(b))
    for _ in range(3):  # restarts refine what rounding has spoilt
        step, _ = cg(L, b - L @ x, rtol=1e-10, maxiter=10 * L.shape[0], M=jacobi)
        x = x + step
        if np.abs(b - L @ x).max() <= _RESIDUAL * np.abs(b).max():
            break
    return x
