"""A proven lower bound of the sum of all but the r largest eigenvalues."""

import math
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, eigvalsh

from sdl._measure_data import BLOCK_SUM, EPS, Array, frobenius

# Rows of a product that are summed at a time: rounding errors of a sum of n terms then
# grow with BLOCK + n / BLOCK instead of n (Higham, 2002, section 4.2).
BLOCK = 1024
# From this order on a Cholesky decomposition is worth trying before an eigensolver.
LARGE = 256
# Room for the decomposition's rounding, relative to the trace (a little above eps).
ROOM = 1e-14
# What poor eigenvectors may cost at most, relative to an eigenvalue.
LOOSE = 1e-10


def tail_of_spectrum(
    M: Any,
    E: Array,
    xi: float,
    rank: int,
    square: float | None = None,
    leading: Array | None = None,
) -> tuple[float, float]:
    """Bound ``sum_{j>r} lambda_j(xi M'M + E'E)`` from below.

    Parameters
    ----------
    M : ndarray or sparse matrix of shape (a, b)
        Weighted data, or its transpose.
    E : ndarray of shape (K, b)
        Score block.
    xi : float
        Weight of the data.
    rank : int
        Number r of eigenvalues left out.
    square : float, optional
        ``|M|^2`` by :func:`frobenius`, where it is known already.
    leading : ndarray of shape (b, k), optional
        Approximate eigenvectors of more than r largest eigenvalues, which may save an
        eigensolver. The bound does not trust them.

    Returns
    -------
    tail : float
        Nonnegative, never more than the true sum.
    eigengap : float
        ``lambda_r - lambda_{r+1}``, not bounded; 0 where r covers the spectrum.

    Notes
    -----
    The Gram matrix is formed on the shorter side. By Weyl's inequality its rounding
    error moves an eigenvalue by at most its norm, and LAPACK's symmetric solver by a
    small multiple of m eps times the largest eigenvalue (Higham, 2002, sections 3.5
    and 20).
    """
    a, b = M.shape
    if rank >= min(a + E.shape[0], b):
        return 0.0, 0.0
    S, terms = gram(M, E, xi)
    if not np.isfinite(S).all():
        return math.nan, math.nan
    m = len(S)
    square = frobenius(M) ** 2 if square is None else square
    square = xi * square + frobenius(E) ** 2
    error = (terms + 12) * EPS * square
    whole = square * (1.0 - 2 * BLOCK_SUM * EPS)
    if leading is not None and len(leading) == m >= LARGE:
        found = proven_top(S, leading, rank)
        if found is not None:
            return max(whole - found[0] - rank * error, 0.0), found[1]
    # S is symmetric, and its transpose is what LAPACK works on without a copy.
    values = eigvalsh(S.T, overwrite_a=True, check_finite=False)
    error += (m + 10) * EPS * max(float(values[-1]), 0.0)
    small, large = values[: m - rank], values[m - rank :]
    by_trace = whole - math.fsum(large) - rank * error
    by_sum = math.fsum(small) - len(small) * error
    eigengap = float(large[0] - small[-1]) if len(small) else 0.0
    return max(by_trace, by_sum, 0.0), eigengap


def proven_top(S: Array, leading: Array, rank: int) -> tuple[float, float] | None:
    """Bound the sum of the r largest eigenvalues from above by one Cholesky run.

    If ``t I + V diag(d) V' - S`` is positive semidefinite for some d >= 0, the sum is
    at most ``r t + sum_j d_j |v_j|^2``, whatever V is; it is tight where V holds the
    leading eigenvectors and t separates r of them from the rest.

    Parameters
    ----------
    S : ndarray of shape (m, m)
        Symmetric.
    leading : ndarray of shape (m, k)
        Approximate eigenvectors, k > r.
    rank : int
        Number r.

    Returns
    -------
    top : float
        Never less than the sum.
    eigengap : float
        ``lambda_r - lambda_{r+1}`` by Rayleigh and Ritz.

    Notes
    -----
    None is returned where V is poor or the decomposition fails. One that succeeds moves
    eigenvalues by at most ``(m + 1) eps`` times its trace (Higham, 2002, theorem 10.3).
    """
    m, k = leading.shape
    try:
        Q = np.linalg.qr(leading)[0]
        SQ = S @ Q
        theta, U = np.linalg.eigh(Q.T @ SQ)
        theta, V, SV = theta[::-1], Q @ U[:, ::-1], SQ @ U[:, ::-1]
        gap = float(theta[rank - 1] - theta[rank])
        t = 0.5 * float(theta[rank - 1] + theta[rank])
        if not (gap > 0.0 and t > 0.0):
            return None
        # what V misses, by Schur's complement, and the rounding of what follows
        missed = frobenius(SV - V * theta)
        lift = 4.0 * missed * missed / gap
        if not lift <= LOOSE * t:
            return None
        lift += ROOM * (m * t + 16.0 * float(theta[0]))
        d = np.maximum(theta - t + lift, 0.0)
        N = (V * d) @ V.T
        sizes = frobenius(N) + frobenius(S)
        N -= S
        N.flat[:: m + 1] += t
        trace = float(np.trace(N))
        # its transpose is what LAPACK works on without a copy
        cholesky(N.T, lower=False, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    used = math.fsum((d * np.sum(V * V, axis=0)).tolist()) * (1.0 + (m + k) * EPS)
    rounding = (k + 4) * EPS * (used + sizes) + 2 * EPS * t + 2 * (m + 4) * EPS * trace
    return (rank * (t + rounding) + used) * (1.0 + 8 * EPS), gap


def gram(M: Any, E: Array, xi: float) -> tuple[Array, int]:
    """Return ``xi M'M + E'E``, or the same spectrum of the other side.

    Returns
    -------
    S : ndarray of shape (m, m)
        ``m = min(a + K, b)``.
    terms : int
        The rounding error of S has a norm of at most ``terms eps (xi |M|^2 + |E|^2)``.
    """
    a, b = M.shape
    if b <= a + E.shape[0]:
        S, terms = _product(M)
        return xi * S + E.T @ E, terms + len(E)
    root = math.sqrt(xi)
    S = np.empty((a + len(E), a + len(E)))
    S[:a, :a], terms = _product(M.T)
    S[:a, :a] *= xi
    S[:a, a:] = root * (M @ E.T)
    S[a:, :a] = S[:a, a:].T
    S[a:, a:] = E @ E.T
    # Cross terms are summed by BLAS over b terms; they are bounded by the same norms.
    return S, max(terms, b)


def _product(M: Any) -> tuple[Array, int]:
    """Return ``M'M`` and the number of roundings that a sum in it has seen."""
    if sparse.issparse(M):
        counts = np.bincount(M.tocoo().col, minlength=M.shape[1])
        return (M.T @ M).toarray(), int(counts.max(initial=0)) + 4
    total = np.zeros((M.shape[1], M.shape[1]))
    blocks = range(0, M.shape[0], BLOCK)
    for start in blocks:
        rows = M[start : start + BLOCK]
        total += rows.T @ rows
    return total, min(BLOCK, M.shape[0]) + len(blocks) + 4
