"""The best measurement with K > 2 outcomes.

    min  sum_i s_i l(y_i, (<psi_i| M_c |psi_i>)_c) + alpha sum_c |M_c - I/K|_F^2
    s.t. M_c >= 0,  sum_c M_c = I

In small dimensions a barrier method: on the central path ``M_c (G_c - Y) = mu I``, so
``Y`` is a dual point and the gap is ``K k mu``. In larger ones the multiplicative
iteration ``M_c <- L^-1 R_c M_c R_c L^-1`` with ``R_c`` the negative gradient, shifted
to be positive, and ``L`` such that the sum stays the identity (Fiurasek, "Maximum-
likelihood estimation of quantum measurement", Phys. Rev. A 64, 2001); its convergence
is linear, and the bound tells how far it came.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import OptimizeResult

from farkas.history import Recorder
from farkas.result import make_result
from farkas.status import Status
from quantum._measure_losses import Loss

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

# Newton systems have (K - 1) k^2 unknowns; 1600 of them take about a second.
MAX_UNKNOWNS = 1600
# Factor by which the barrier is lowered once a point is nearly central, the Newton
# decrement below which it counts as such, and the barrier at which rounding takes over.
_LOWER, _CENTRAL, _LEAST_BARRIER = 0.2, 0.3, 1e-14
# The multiplicative iteration evaluates its bound this often, and gives up when the
# loss fell by less than a tenth of the tolerance over so many iterations.
_EVERY, _PATIENCE = 10, 50


def is_small_enough(K: int, k: int) -> bool:
    """Tell whether the barrier method is meant for K outcomes in dimension k."""
    return (K - 1) * k * k <= MAX_UNKNOWNS


class _Program:
    """Objective, gradient and bound of measurements (K, k, k)."""

    def __init__(
        self, states: Complex, y: Integers, s: Array, loss: Loss, alpha: float
    ) -> None:
        self.states, self.y, self.s, self.loss, self.alpha = states, y, s, loss, alpha
        self.K, self.k = loss.classes, states.shape[1]
        self.centre = np.eye(self.k) / self.K

    def outputs(self, M: Complex) -> Array:
        products = self.states @ M.swapaxes(1, 2)
        return np.sum(self.states.conj() * products, axis=2).real.clip(0.0, 1.0)

    def value(self, M: Complex, P: Array) -> float:
        fit = float(self.s @ self.loss.values(P, self.y))
        return fit + self.alpha * float(np.linalg.norm(M - self.centre)) ** 2

    def gradients(self, M: Complex, P: Array) -> Complex:
        w = self.s * self.loss.slopes(P, self.y)
        G = np.stack([(self.states.T * row) @ self.states.conj() for row in w])
        return G + 2.0 * self.alpha * (M - self.centre)

    def dual_and_bound(self, M: Complex, P: Array) -> tuple[Complex, float]:
        """Dual point ``Herm(sum_c G_c M_c)`` and the bound after its repair."""
        G = self.gradients(M, P)
        Y = np.sum(G @ M, axis=0)
        Y = 0.5 * (Y + Y.conj().T)
        excess = np.linalg.eigvalsh(Y - G)
        missing = min(
            float(np.maximum(excess, 0.0).sum()), self.k * max(0.0, float(excess.max()))
        )
        linear = float(np.sum(G.conj() * M).real) - float(np.trace(Y).real)
        return Y, self.value(M, P) - linear - missing


def solve_povm(
    states: Complex,
    y: Integers,
    s: Array,
    loss: Loss,
    *,
    alpha: float = 0.0,
    tol: float = 1e-6,
    max_iter: int = 2000,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Minimise over measurements with K outcomes until the gap is at most ``tol``.

    Parameters
    ----------
    states : ndarray of shape (N, k)
        States in coordinates of their span.
    y : ndarray of shape (N,)
        Classes 0 to K - 1.
    s : ndarray of shape (N,)
        Weights with sum 1.
    loss : Loss
        Of K classes.
    alpha : float, default=0.0
        Weight of the ridge.
    tol : float, default=1e-6
        Gap at which to stop.
    max_iter : int, default=2000
        Largest number of iterations.
    max_time : float, optional
        Seconds.
    callback : callable, optional
        SciPy's protocol.
    verbose : {0, 1, 2}, default=0
        Progress.

    Returns
    -------
    OptimizeResult
        ``x`` (K, k, k), ``dual`` (k, k), ``tangent`` (K, N), ``fun``, ``lower_bound``,
        ``gap``, ``nit``, ``history``.
    """
    program = _Program(states, y, s, loss, alpha)
    M = np.tile(np.eye(program.k, dtype=complex) / program.K, (program.K, 1, 1))
    small = is_small_enough(program.K, program.k)
    method = _Barrier(program) if small else _Multiplicative(program, tol)
    recorder = Recorder(columns=("lower_bound", "barrier"), verbose=verbose)
    P = program.outputs(M)
    value = program.value(M, P)
    (dual, best), tangent = program.dual_and_bound(M, P), P
    status, nit = Status.MAX_ITER, 0
    for nit in range(1, max_iter + 1):
        M = method.step(M, P)
        P = program.outputs(M)
        value = program.value(M, P)
        if small or nit % _EVERY == 0 or nit == max_iter:
            Y, bound = program.dual_and_bound(M, P)
            if bound > best:
                best, dual, tangent = bound, Y, P
        gap = max(value - best, 0.0)
        recorder.record(
            nit, objective=value, certificate=gap, lower_bound=best,
            barrier=method.barrier,
        )  # fmt: skip
        if callback is not None:
            intermediate = OptimizeResult(x=M, fun=value, nit=nit, certificate=gap)
            try:
                callback(intermediate_result=intermediate)
            except StopIteration:
                status = Status.CALLBACK
                break
        if gap <= tol:
            status = Status.CONVERGED
            break
        if max_time is not None and recorder.elapsed >= max_time:
            status = Status.MAX_TIME
            break
        if method.is_over(value):
            status = Status.STALLED
            break
    return make_result(
        M, fun=value, status=status, nit=nit, nfev=nit, history=recorder.to_dict(),
        elapsed=recorder.elapsed, lower_bound=max(best, 0.0),
        gap=max(value - max(best, 0.0), 0.0), tangent=np.clip(tangent, 0.0, 1.0),
        dual=dual,
    )  # fmt: skip


class _Multiplicative:
    """``M_c <- L^-1 R_c M_c R_c L^-1``."""

    barrier = 0.0

    def __init__(self, program: _Program, tol: float) -> None:
        self.program, self.tol, self.damping = program, tol, 0.0
        self.values: list[float] = []

    def step(self, M: Complex, P: Array) -> Complex:
        G = self.program.gradients(M, P)
        # Adding the same multiple of I to all gradients changes nothing: sum M_c = I.
        shift = max(0.0, float(np.linalg.eigvalsh(G).max()))
        before = self.program.value(M, P)
        for _ in range(30):
            # A larger multiple makes a shorter step, short enough for the loss to fall.
            trial = self._moved(M, (shift + self.damping) * np.eye(self.program.k) - G)
            after = self.program.value(trial, self.program.outputs(trial))
            if after <= before + 1e-14:
                self.damping *= 0.5
                return trial
            self.damping = max(2.0 * self.damping, 0.1 * float(np.abs(G).max()))
        return M

    def _moved(self, M: Complex, R: Complex) -> Complex:
        moved = R @ M @ R
        v, V = np.linalg.eigh(moved.sum(axis=0))
        v = np.maximum(v, np.finfo(float).eps * v.max())
        inverse = (V / np.sqrt(v)) @ V.conj().T
        M = inverse @ moved @ inverse
        # Where no gradient reaches, the sum has lost rank: share what is missing.
        missing = np.eye(self.program.k) - M.sum(axis=0)
        M = M + missing / self.program.K
        return 0.5 * (M + M.conj().swapaxes(1, 2))

    def is_over(self, value: float) -> bool:
        self.values.append(value)
        if len(self.values) <= _PATIENCE:
            return False
        return self.values[-1 - _PATIENCE] - value < 0.1 * self.tol


class _Barrier:
    """Newton steps on ``loss / mu - sum_c log det M_c`` with M_K eliminated."""

    def __init__(self, program: _Program) -> None:
        self.program, self.barrier, self.decrement = program, 0.1, math.inf
        self.basis = hermitian_basis(program.k)
        states = program.states
        # Real coordinates of |psi><psi|: p = features @ coordinates of M.
        half = np.einsum("nab,ib->ian", self.basis, states)
        self.features = np.einsum("ia,ian->in", states.conj(), half).real

    def step(self, M: Complex, P: Array) -> Complex:
        if self.decrement < _CENTRAL:
            self.barrier *= _LOWER
        direction, self.decrement = self._newton(M, P)
        start, t = self._merit(M), 1.0
        for _ in range(40):
            trial = M + t * direction
            decrease = 1e-3 * t * self.decrement**2
            # Near the end rounding hides the descent.
            if self._merit(trial) <= start - decrease + 1e-10 * abs(start):
                return trial
            t *= 0.5
        return M

    def is_over(self, value: float) -> bool:
        return self.barrier < _LEAST_BARRIER

    def _merit(self, M: Complex) -> float:
        eigenvalues = np.linalg.eigvalsh(M)
        if eigenvalues.min() <= 0:
            return math.inf
        value = self.program.value(M, self.program.outputs(M)) / self.barrier
        return value - float(np.log(eigenvalues).sum())

    def _newton(self, M: Complex, P: Array) -> tuple[Complex, float]:
        program, basis = self.program, self.basis
        K, n = program.K, program.k**2
        flat = basis.reshape(n, -1).conj()
        loss, y, s = program.loss, program.y, program.s
        first = (s * loss.slopes(P, y)) @ self.features
        ridge = (flat @ (M - program.centre).reshape(K, -1).T).real.T
        first = (first + 2 * program.alpha * ridge) / self.barrier
        # Both losses are separable in the outputs: l'' = 2, or (a / p~)^2 = l'^2.
        curvature = loss.slopes(P, y) ** 2
        if loss.kind == "squared":
            curvature = np.full_like(P, 2.0)
        slopes, blocks = [], []
        for c in range(K):
            inverse = np.linalg.inv(M[c])
            inverse = 0.5 * (inverse + inverse.conj().T)
            moved = (inverse @ basis @ inverse).reshape(n, -1)
            H = (self.features.T * (s * curvature[c] / self.barrier)) @ self.features
            H += (flat @ moved.T).real
            H[np.diag_indices(n)] += 2 * program.alpha / self.barrier
            slopes.append(first[c] - (flat @ inverse.ravel()).real)
            blocks.append(H)
        A = np.tile(blocks[-1], (K - 1, K - 1))
        for c in range(K - 1):
            A[c * n : (c + 1) * n, c * n : (c + 1) * n] += blocks[c]
        g = np.concatenate([slopes[c] - slopes[-1] for c in range(K - 1)])
        x = -cho_solve(cho_factor(A, lower=True, check_finite=False), g)
        coordinates = x.reshape(K - 1, n)
        coordinates = np.vstack([coordinates, -coordinates.sum(axis=0)])
        direction = (coordinates @ basis.reshape(n, -1)).reshape(M.shape)
        return direction, math.sqrt(max(-float(g @ x), 0.0))


def hermitian_basis(k: int) -> Complex:
    """Return an orthonormal basis (k^2, k, k) of the Hermitian matrices."""
    basis = np.zeros((k * k, k, k), dtype=complex)
    half, row = math.sqrt(0.5), 0
    for i in range(k):
        basis[row, i, i] = 1.0
        row += 1
        for j in range(i):
            basis[row, i, j] = basis[row, j, i] = half
            basis[row + 1, i, j], basis[row + 1, j, i] = 1j * half, -1j * half
            row += 2
    return basis
