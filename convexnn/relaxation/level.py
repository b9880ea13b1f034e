"""The least bound that given multipliers prove, by Newton's method.

With ``M(tau, s) = [[., v'], [v, A + tau E_uu + sum_k s_k B_k]]``, where
``B_k = sym(p_k q_k)`` vanishes on every unit and so has any coefficient, the bound
``mu + tau`` is least at ``mu = v'(A + tau E_uu + sum_k s_k B_k)^{-1} v``: a convex
function of (tau, s), the matrix fractional function.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, eigvalsh
from scipy.linalg.lapack import dpotri

from convexnn._measure_global import certificate_matrix
from convexnn.relaxation.dnn import Dual

Array = NDArray[np.float64]

# Newton steps; the weight of the barrier falls by FALL until it costs DECREASE.
STEPS = 30
FALL = 0.3
DECREASE = 1e-7
# The bound is raised by this much of itself, so that rounding leaves M semidefinite.
MARGIN = 1e-10


class Fitted:
    """Proof of one lift: multipliers with their least bound.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, scaled.
    g : ndarray of shape (n,)
        Weights, sign times theta.
    dual : Dual
        Admissible multipliers; the coefficients of p_k q_k are improved.

    Attributes
    ----------
    level, trace : float
        The numbers mu and tau.
    products, cone : ndarray
        As in the certificate; products as a symmetric matrix.
    """

    def __init__(self, X: Array, g: Array, dual: Dual, steps: int = STEPS) -> None:
        n, d = X.shape
        self.cone = dual.cone
        M = certificate_matrix(X, g, packed(dual.products), dual.cone, 0.0, 0.0)[0]
        self.trace, s, self.level = least_level(
            M[0, 1:], M[1:, 1:], X, dual.trace, steps
        )
        self.products = dual.products.copy()
        sample = np.arange(n)
        for i, j in ((2, 2 + n), (2 + n, 2)):
            self.products[i + sample, j + sample] -= 0.5 * s

    @property
    def bound(self) -> float:
        """The bound on ``g'(X u)_+``, up to rounding."""
        return max(self.level + self.trace, 0.0)


def packed(products: Array) -> Array:
    """Return the lower triangle, row by row."""
    return products[np.tril_indices(len(products))]


def least_level(
    v: Array, A: Array, X: Array, tau: float = 0.0, steps: int = STEPS
) -> tuple[float, Array, float]:
    """Minimise ``tau + v'(A + tau E_uu + sum_k s_k B_k)^{-1} v``.

    Newton's method with the barrier ``-rho log det``, whose weight falls at every step.

    Parameters
    ----------
    v : ndarray of shape (d + n,)
        Row of a.
    A : ndarray of shape (d + n, d + n)
        Block of (u, p).
    X : ndarray of shape (n, d)
        Data.
    tau : float
        Where to start.
    steps : int
        Largest number of Newton steps.

    Returns
    -------
    tau : float
    s : ndarray of shape (n,)
    level : float
        The quadratic form in v, infinite if no positive definite matrix was found.
    """
    function = _Fraction(v, A, X)
    x, point = function.first(tau)
    if point is None:
        return 0.0, np.zeros(len(X)), np.inf
    best, best_f = x, point.f
    rho = abs(x[1])
    for _ in range(steps):
        gradient, hessian = function.derivatives(point, rho)
        try:
            direction = -np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            break
        decrease = -float(gradient @ direction)
        length = 1.0
        while length > 1e-4:
            trial = function.at(x + length * direction)
            if (
                trial is not None
                and trial.barrier(rho)
                <= point.barrier(rho) + 1e-8 * abs(point.f) - 0.1 * length * decrease
            ):
                break
            length *= 0.5
        else:
            break
        assert trial is not None
        x, point = x + length * direction, trial
        if point.f < best_f:
            best, best_f = x, point.f
        if len(A) * rho < DECREASE * abs(point.f):
            break
        rho *= FALL if length > 0.5 else 1.0
    raised = MARGIN * (abs(best_f) + abs(best[0]))
    return float(best[0]) + raised, best[1:], float(best_f - best[0]) + raised


@dataclasses.dataclass
class _Point:
    """Value of the matrix fractional function, and what its derivatives need."""

    f: float
    log_det: float
    factor: Array
    w: Array

    def barrier(self, rho: float) -> float:
        return self.f - rho * self.log_det


class _Fraction:
    """``tau + v'S^{-1} v`` with ``S = A + tau E_uu + sum_k s_k B_k``, x = (tau, s)."""

    def __init__(self, v: Array, A: Array, X: Array) -> None:
        self.v, self.A, self.X = v, A, X
        n, self.d = X.shape
        self.u, self.p = np.arange(self.d), np.arange(self.d, self.d + n)

    def at(self, x: Array) -> _Point | None:
        S, d = self.A.copy(), self.d
        S[self.u, self.u] += x[0]
        S[self.p, self.p] += x[1:]
        half = -0.5 * x[1:, None] * self.X
        S[d:, :d] += half
        S[:d, d:] += half.T
        try:
            factor = cholesky(S, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return None
        w = cho_solve((factor, True), self.v, check_finite=False)
        log_det = 2.0 * float(np.log(factor.diagonal()).sum())
        return _Point(float(x[0] + self.v @ w), log_det, factor, w)

    def first(self, tau: float) -> tuple[Array, _Point | None]:
        """Raise tau and all s_k together, as long as that lowers the function."""
        shifted = self.A.copy()
        shifted[self.u, self.u] += tau
        if not (np.isfinite(shifted).all() and np.isfinite(self.v).all()):
            return np.zeros(1 + len(self.X)), None
        largest = float(np.abs(shifted).max()) or 1.0
        ends = eigvalsh(shifted, subset_by_index=[0, 0], check_finite=False)
        shift = 2.0 * max(-float(ends[0]), 1e-8 * largest)
        best, point = np.full(1 + len(self.X), shift), None
        for _ in range(60):
            x = np.full(1 + len(self.X), shift)
            x[0] += tau
            trial = self.at(x)
            if trial is not None and (point is None or trial.f < point.f):
                best, point = x, trial
            elif point is not None:
                break
            shift *= 2.0
        return best, point

    def derivatives(self, point: _Point, rho: float) -> tuple[Array, Array]:
        """Gradient and Hessian of the function with the barrier."""
        X, d, w = self.X, self.d, point.w
        wu, wp = w[:d], w[d:]
        P = dpotri(point.factor, lower=1)[0]
        P = np.tril(P) + np.tril(P, -1).T
        to_c = P[:, d:] - P[:, :d] @ X.T  # P c_k, with c_k = e_{p_k} - x_k
        E, ec = P[d:, d:], to_c[d:]
        cc = ec - X @ to_c[:d]
        gradient = np.concatenate(
            [
                [1.0 - wu @ wu - rho * np.trace(P[:d, :d])],
                -wp * (wp - X @ wu) - rho * ec.diagonal(),
            ]
        )
        c = wp - X @ wu
        hessian = np.empty((1 + len(X), 1 + len(X)))
        # w'B_i P B_j w, with B_k = (e_k c_k' + c_k e_k') / 2
        hessian[1:, 1:] = 0.5 * (
            np.outer(c, c) * E
            + np.outer(wp, wp) * cc
            + wp[:, None] * ec.T * c
            + c[:, None] * ec * wp
        )
        hessian[1:, 1:] += 0.5 * rho * (E * cc + ec * ec.T)
        Pw = P[:, :d] @ wu
        hessian[0, 0] = 2.0 * wu @ Pw[:d] + rho * np.sum(P[:d, :d] ** 2)
        cross = c * Pw[d:] + wp * (Pw[d:] - X @ Pw[:d])
        cross += rho * np.einsum("uk,uk->k", P[:d, d:], to_c[:d])
        hessian[0, 1:] = hessian[1:, 0] = cross
        hessian[np.diag_indices_from(hessian)] *= 1.0 + 1e-12
        return gradient, hessian
