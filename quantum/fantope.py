"""The best measurement of given states for two classes, over all circuits.

    min  sum_i s_i l(y_i, <psi_i| M |psi_i>) + alpha |M - (r/d) I|_F^2
    s.t. 0 <= M <= I,  tr M = r

The feasible set, the Fantope, is the convex hull of the projectors of rank r (Overton
and Womersley, 1992), so the minimum lies below the loss of every circuit. Solved by an
accelerated projected gradient with restarts (Beck and Teboulle, 2009; O'Donoghue and
Candes, 2015).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from farkas.history import Recorder
from farkas.result import make_result
from farkas.status import Status
from quantum._measure_losses import Loss

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

# The step is tried longer by this factor in each iteration (quantum.md, section 4.3).
_LONGER = 0.9
# Room for rounding in the test of sufficient decrease.
_DECREASE = 1e-13
# Bounds are evaluated in every iteration at first, later every fifth.
_ALWAYS, _EVERY = 60, 5


def project_spectrum(v: Array, low: float, high: float) -> Array:
    """Project onto ``0 <= x <= 1, low <= sum x <= high``.

    Parameters
    ----------
    v : ndarray of shape (k,)
        Point.
    low, high : float
        Least and largest sum, between 0 and k.

    Returns
    -------
    ndarray of shape (k,)
        ``clip(v - t, 0, 1)`` with the shift t that is nearest to 0.
    """
    x = np.clip(v, 0.0, 1.0)
    total = float(x.sum())
    if low <= total <= high:
        return x
    target = low if total < low else high
    # The sum falls from k to 0 as t grows, linearly between the points v and v - 1.
    knots = np.sort(np.concatenate([v, v - 1.0]))
    sums = np.clip(v[None, :] - knots[:, None], 0.0, 1.0).sum(axis=1)
    j = int(np.searchsorted(-sums, -target, side="right")) - 1
    j = min(max(j, 0), len(knots) - 2)
    t, drop = knots[j], sums[j] - sums[j + 1]
    if drop > 0:
        t += (knots[j + 1] - knots[j]) * (sums[j] - target) / drop
    return np.clip(v - t, 0.0, 1.0)


def project_fantope(M: Complex, low: float, high: float) -> Complex:
    """Project a Hermitian matrix onto ``0 <= M <= I, low <= tr M <= high``."""
    v, V = np.linalg.eigh(0.5 * (M + M.conj().T))
    return (V * project_spectrum(v, low, high)) @ V.conj().T


def trace_interval(rank: float | None, d: int, k: int) -> tuple[float, float]:
    """Return the traces that the part of M in a k-dimensional subspace may have."""
    if rank is None:
        return 0.0, float(k)
    return max(0.0, rank - (d - k)), min(rank, float(k))


@dataclasses.dataclass(eq=False)
class _Program:
    states: Complex  # (N, k)
    y: NDArray[np.int64]
    s: Array
    loss: Loss
    alpha: float
    centre: float
    d: int
    interval: tuple[float, float]
    rank: float | None

    def outputs(self, M: Complex) -> Array:
        product = self.states @ M.T
        p = np.einsum("ij,ij->i", self.states.conj(), product).real
        return p[None]

    def value(self, M: Complex, P: Array) -> float:
        fit = float(self.s @ self.loss.values(np.clip(P, 0.0, 1.0), self.y))
        return fit + self.penalty(M)

    def penalty(self, M: Complex) -> float:
        if not self.alpha:
            return 0.0
        return self.alpha * float(np.linalg.norm(M - self.centre * np.eye(len(M)))) ** 2

    def gradient(self, M: Complex, P: Array) -> Complex:
        w = self.s * self.loss.slopes(np.clip(P, 0.0, 1.0), self.y)[0]
        G = (self.states.T * w) @ self.states.conj()
        if self.alpha:
            G += 2 * self.alpha * (M - self.centre * np.eye(len(M)))
        return 0.5 * (G + G.conj().T)

    def gap(self, G: Complex, M: Complex) -> float:
        """``<G, M> - min over the Fantope of <G, .>``."""
        eigenvalues = np.linalg.eigvalsh(G)
        negative = int(np.sum(eigenvalues < 0))
        low, high = self.interval
        j = min(max(float(negative), low), high)
        whole = int(j)
        least = float(eigenvalues[:whole].sum())
        if j > whole:
            least += (j - whole) * float(eigenvalues[whole])
        return float(np.vdot(G, M).real) - least


def solve_fantope(
    states: Complex,
    y: NDArray[np.int64],
    s: Array,
    loss: Loss,
    *,
    d: int,
    rank: float | None,
    alpha: float = 0.0,
    tol: float = 1e-6,
    max_iter: int = 2000,
    max_time: float | None = None,
    M0: Complex | None = None,
    callback: Callable[..., Any] | None = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Minimise over the Fantope until the gap is at most ``tol``.

    Parameters
    ----------
    states : ndarray of shape (N, k)
        States in coordinates of their span.
    y : ndarray of shape (N,)
        0 or 1.
    s : ndarray of shape (N,)
        Weights with sum 1.
    loss : Loss
        Of two classes.
    d : int
        Dimension of the whole space.
    rank : float or None
        Trace of M; None for any.
    alpha : float, default=0.0
        Weight of the ridge, only with ``k == d``.
    tol : float, default=1e-6
        Gap at which to stop.
    max_iter : int, default=2000
        Largest number of iterations.
    max_time : float, optional
        Seconds.
    M0 : ndarray of shape (k, k), optional
        Start; default ``(r/d) I``.
    callback : callable, optional
        SciPy's protocol.
    verbose : {0, 1, 2}, default=0
        Progress.

    Returns
    -------
    OptimizeResult
        ``x`` (k, k), ``tangent`` (1, N) at which the lower bound was found, ``fun``,
        ``lower_bound``, ``gap``, ``nit``, ``history``.
    """
    k = states.shape[1]
    interval = trace_interval(rank, d, k)
    centre = (rank if rank is not None else d / 2) / d
    program = _Program(states, y, s, loss, alpha, centre, d, interval, rank)
    recorder = Recorder(columns=("lower_bound",), verbose=verbose, name="fantope")
    M = centre * np.eye(k, dtype=complex) if M0 is None else M0
    M = project_fantope(M, *interval)
    Z, P_M = M, program.outputs(M)
    f_M, best, tangent = program.value(M, P_M), -math.inf, P_M
    L, momentum, nfev, status, nit = 1.0, 1.0, 1, Status.MAX_ITER, 0
    for nit in range(1, max_iter + 1):
        P_Z = program.outputs(Z)
        f_Z, G = program.value(Z, P_Z), program.gradient(Z, P_Z)
        if nit <= _ALWAYS or nit % _EVERY == 0:
            bound = f_Z - program.gap(G, Z)
            if bound > best:
                best, tangent = bound, P_Z
        # A step from Z whose quadratic model lies above the objective.
        while True:
            M_new = project_fantope(Z - G / L, *interval)
            P_new = program.outputs(M_new)
            f_new, nfev = program.value(M_new, P_new), nfev + 1
            step = M_new - Z
            model = f_Z + float(np.vdot(G, step).real)
            model += 0.5 * L * float(np.linalg.norm(step)) ** 2
            if f_new <= model + _DECREASE or L > 1e12:
                break
            L *= 2.0
        if float(np.vdot(Z - M_new, M_new - M).real) > 0:  # overshoot: restart
            momentum = 1.0
        next_momentum = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * momentum**2))
        Z = M_new + (momentum - 1.0) / next_momentum * (M_new - M)
        # The extrapolated point must be feasible before logarithms are taken.
        Z = project_fantope(Z, *interval)
        momentum, L = next_momentum, _LONGER * L
        M, P_M, f_M = M_new, P_new, f_new
        gap = max(f_M - best, 0.0)
        recorder.record(nit, objective=f_M, certificate=gap, lower_bound=best)
        if callback is not None:
            try:
                callback(
                    intermediate_result=OptimizeResult(
                        x=M, fun=f_M, nit=nit, certificate=gap
                    )
                )
            except StopIteration:
                status = Status.CALLBACK
                break
        if gap <= tol:
            status = Status.CONVERGED
            break
        if max_time is not None and recorder.elapsed >= max_time:
            status = Status.MAX_TIME
            break
    return make_result(
        M,
        fun=f_M,
        status=status,
        nit=nit,
        nfev=nfev,
        history=recorder.to_dict(),
        elapsed=recorder.elapsed,
        lower_bound=max(best, 0.0),
        gap=max(f_M - max(best, 0.0), 0.0),
        tangent=np.clip(tangent, 0.0, 1.0),
        dual=None,
    )
